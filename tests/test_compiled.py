"""Without numba, and where nothing can be written, text is still generated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.compiled import COMPILES, cache_folder

SUPPORT = Path(__file__).parent / "support"
SCRIPT = """
import sys
{before}
sys.path.insert(0, {support!r})
import untrained
from charloom import compiled
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
compiled.on_compile.append(lambda: print("compiling"))
generator = Generator(untrained.model("gru", layers=2))
print(type(generator.engine).__name__)
for options in ({{}}, {{"temperature": 0}}, {{"top_p": 0.5, "stop": ("t",)}}, {{"match": "[a-d]{{4}}"}}):
    print(repr(generator.sample("the ", settings=SamplerConfig(length=20, **options)).text))
print("torch" in sys.modules)
"""


def run(before: str = "", **environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "CHARLOOM_CACHE")}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before, support=str(SUPPORT))],
        env={**kept, **environment},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return result.stdout.splitlines()


def test_without_numba_the_twins_write(tmp_path) -> None:
    lines = run("sys.modules['numba'] = None", CHARLOOM_CACHE=str(tmp_path))
    assert lines[0] == "Twins"
    assert lines[-1] == "False"
    assert len(lines) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="/proc stands for a disk that cannot be written")
@pytest.mark.parametrize("name", ["CHARLOOM_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_a_folder_that_cannot_be_written_is_not_used(tmp_path, monkeypatch, name) -> None:
    for other in ("CHARLOOM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, str(tmp_path))
    assert tmp_path in cache_folder().parents
    for nowhere in ("/proc/nowhere", str(Path(__file__) / "below a file")):
        monkeypatch.setenv(name, nowhere)
        assert cache_folder() is None


@pytest.mark.slow
@pytest.mark.skipif(not COMPILES, reason="numba is not installed")
def test_the_cache_is_used_and_can_be_done_without(tmp_path) -> None:
    first = run(CHARLOOM_CACHE=str(tmp_path / "cache"))
    again = run(CHARLOOM_CACHE=str(tmp_path / "cache"))
    assert first[:2] == ["Kernels", "compiling"]
    assert again == [line for line in first if line != "compiling"]
    (tmp_path / "file").write_text("no folder can be made below a file", encoding="utf-8")
    assert run(CHARLOOM_CACHE=str(tmp_path / "file")) == first
