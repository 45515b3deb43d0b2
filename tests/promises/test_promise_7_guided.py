"""Promise 7, by a fuzzer that follows the branches it has reached."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "support"
GOLDEN = Path(__file__).parents[1] / "model" / "golden" / "format-1"
RUNS = 20_000
LIMITS = ("-rss_limit_mb=1024", "-timeout=30", "-max_len=65536", "-len_control=0")


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not made for this Python")
def test_nothing_but_errors_is_found(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for kind, name in enumerate(("config.json", "vocab.json", "model.safetensors", "generation.json")):
        (seeds / name).write_bytes(bytes([kind]) + (GOLDEN / name).read_bytes())
    (seeds / "csv").write_bytes(b'\x04text,label\n"a ""b""",1\n')
    (seeds / "jsonl").write_bytes(b'\x06{"text": "a"}\n')
    (seeds / "toml").write_bytes(b'\x09preset = "auto"\n[train]\nsteps = 3\nplan = [[0, 3]]\n')
    done = subprocess.run(
        [sys.executable, SUPPORT / "fuzz.py", seeds, f"-runs={RUNS}", *LIMITS],
        cwd=tmp_path, capture_output=True, encoding="utf-8", errors="replace", timeout=3000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS}" in done.stderr
