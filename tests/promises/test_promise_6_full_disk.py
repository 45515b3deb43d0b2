"""Promise 6: disk full, read-only, no permission: the last checkpoint survives, and the path is named."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from charloom.cli import main
from charloom.errors import mend
from charloom.model import folder
from charloom.training import checkpoint
from pages import PAGES

TRAIN = [
    "train", "text.txt", "--out", "run", "--steps", "40", "--hidden", "8", "--documents", "whole",
    "--set", "train.lanes=4", "--set", "train.window=8", "--set", "train.precision=float32",
    "--set", "train.threads=1", "--set", "train.evaluate_steps=10", "--set", "train.checkpoint_steps=10",
]  # fmt: skip


FILES = ("optimiser.safetensors", "sums.json", ".model.safetensors", "metrics.jsonl")
REASONS = (errno.EROFS, errno.EACCES, errno.EIO)


@pytest.mark.parametrize(
    ("reason", "file"),
    [*((errno.ENOSPC, file) for file in FILES), *((reason, FILES[0]) for reason in REASONS)],
    ids=lambda value: value if isinstance(value, str) else os.strerror(value),
)
def test_the_disk_refuses(
    reason: int,
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After the first checkpoint the system writes no such file any more."""
    monkeypatch.chdir(tmp_path)
    text = PAGES[:6000]
    Path("text.txt").write_text(text, encoding="utf-8")
    real = Path.open

    def refusing(path: Path, mode: str = "r", *given: Any, **options: Any) -> Any:
        begun = (tmp_path / "run" / "checkpoints" / "step-10").is_dir()
        if begun and path.name.startswith(file) and mode[0] in "wa":
            raise OSError(reason, os.strerror(reason), str(path))
        return real(path, mode, *given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refusing)
        with pytest.raises(SystemExit) as ended:
            main(TRAIN)
    assert ended.value.code == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("charloom: run")
    assert os.strerror(reason) in told
    assert mend(Path(file), OSError(reason, "")) in told
    assert "kept" in told
    folder.read(Path("run"))
    found, passed = checkpoint.latest(Path("run"))
    assert found is not None
    # a record that cannot be written ends the training like any error of a caller: with a checkpoint
    assert found.step == (20 if file == "metrics.jsonl" else 10)
    assert not passed
    with pytest.raises(SystemExit) as ended:  # there is room again
        main(["train", "--resume", "run"])
    assert not ended.value.code
