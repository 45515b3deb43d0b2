"""Run folders: where they are made, what is never overwritten, and records that outlive a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charloom import run
from charloom.errors import ModelError, RunError, UsageError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(out: Path | None, name: str, *, overwrite: bool = False) -> Path:
    drafted = run.draft(out)
    (drafted / "new").touch()
    return run.publish(drafted, out, name, overwrite=overwrite)


def test_names_that_are_free() -> None:
    assert [made(None, "book") for _ in range(3)] == [
        Path("runs/book"), Path("runs/book-2"), Path("runs/book-3")
    ]  # fmt: skip
    assert made(None, "other") == Path("runs/other")
    assert made(Path("deep/down/run"), "book") == Path("deep/down/run")
    assert all(path.is_dir() for path in (Path("runs/book-3"), Path("deep/down/run")))


def test_an_empty_folder_is_used() -> None:
    out = Path("out")
    out.mkdir()
    (out / ".gitkeep").touch()
    inode = out.stat().st_ino
    run.check(out)
    first, second = (run.draft(out) for _ in range(2))  # two commands at the same time
    for drafted in (first, second):
        with run.held(drafted):
            (drafted / run.WEIGHTS).touch()
    assert run.publish(first, out, "book") == out
    assert out.stat().st_ino == inode  # it may be a disk of its own, which cannot be replaced
    assert (out / run.WEIGHTS).is_file()
    with pytest.raises(RunError, match="out: cannot be made"):
        run.publish(second, out, "book")
    run.discard(second)
    with pytest.raises(RunError, match="out: exists"):
        run.check(out)
    run.discard(out, keep_folder=True)
    assert [path.name for path in out.iterdir()] == [".gitkeep"]


HOLD = """
import sys
from pathlib import Path
from charloom import run
with run.held(Path("run")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_trains_a_run() -> None:
    """Neither resumed nor overwritten meanwhile; one that is killed lets go."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        (Path("run") / run.CONFIG).touch()
        with pytest.raises(UsageError, match="run: another process is training"), run.held(Path("run")):
            pass
        with pytest.raises(UsageError, match="run: another process is training"):
            run.check(Path("run"), overwrite=True)
        other.kill()
    with run.held(Path("run")):
        pass
    run.check(Path("run"), overwrite=True)


def test_records_come_back_but_for_a_line_cut_off() -> None:
    path = Path("metrics.jsonl")
    assert run.records(path) == []
    for step in range(3):
        run.append(path, {"step": step, "text": "né\n\u2028\ud800"})
    assert [record["step"] for record in run.records(path)] == [0, 1, 2]
    assert run.records(path)[0]["text"] == "né\n\u2028\ud800"
    whole = path.read_bytes()
    assert whole.count(b"\n") == 3
    for cut in range(1, 20):
        path.write_bytes(whole[:-cut])
        assert [record["step"] for record in run.records(path)] == ([0, 1, 2] if cut == 1 else [0, 1])


def test_trimming_forgets_what_is_taken_again() -> None:
    folder = Path("run")
    folder.mkdir()
    for step in range(5):
        run.append(folder / run.METRICS, {"step": step})
    with (folder / run.METRICS).open("a", encoding="utf-8") as file:
        file.write('{"step": 5, "na')
    run.trim(folder, 3)
    run.append(folder / run.METRICS, {"step": 4})
    assert [record["step"] for record in run.records(folder / run.METRICS)] == [0, 1, 2, 3, 4]
    assert run.records(folder / run.SAMPLES) == []


def test_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(RunError, match="cannot be written") as caught:
        run.append(tmp_path / "metrics.jsonl", {})
    assert str(tmp_path) in str(caught.value)


def test_the_newest_is_the_one_written_last() -> None:
    with pytest.raises(ModelError, match="no MODEL was named"):
        run.newest()
    for time, name in enumerate(("b", "c", "a")):
        folder = made(None, name)
        (folder / run.WEIGHTS).write_bytes(b"")
        os.utime(folder / run.WEIGHTS, (time, time))
    made(None, "without-weights")
    assert run.newest() == Path("runs/a")


def test_what_is_not_overwritten(tmp_path: Path) -> None:
    old, foreign, file = Path("old"), Path("foreign"), Path("file")
    for folder in (old, foreign):
        folder.mkdir()
        (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    (old / run.CONFIG).write_text("", encoding="utf-8")
    file.write_text("", encoding="utf-8")
    run.check(Path("free/to/use"))
    run.check(old, overwrite=True)
    for out, overwrite, told in (
        (old, False, "old: exists; choose another --out, or --overwrite it, or --resume it"),
        (foreign, False, "foreign: exists; choose"),
        (foreign, True, "foreign: exists and is no run, so it is not overwritten; choose another --out"),
        (file, True, "file: exists and is no run"),
        (file / "below", False, "file is a file); choose another --out"),
    ):
        with pytest.raises(RunError) as caught:
            run.check(out, overwrite=overwrite)
        assert told in str(caught.value)
    with pytest.raises(RunError, match="cannot be made"):
        run.draft(file / "below")
    assert (foreign / "thesis.txt").read_text("utf-8") == "mine"
    assert [path.name for path in made(old, "", overwrite=True).iterdir()] == ["new"]
    assert not list(Path().glob(".*"))
