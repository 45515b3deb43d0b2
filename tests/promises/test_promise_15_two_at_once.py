"""Guarantee 15: two commands at once never corrupt what they write; one waits or is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import untrained
from charloom import run
from charloom.errors import RunError, UsageError
from charloom.model import folder
from pages import PAGES

TRAIN = [
    "train", "text.txt", "--out", "m", "--overwrite", "--steps", "200", "--hidden", "8",
    "--documents", "whole",
    "--set", "train.lanes=4", "--set", "train.window=8", "--set", "train.precision=float32",
    "--set", "train.threads=1", "--set", "train.evaluate_steps=20", "--set", "train.checkpoint_steps=20",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def at_once(*commands: list[str]) -> list[tuple[int, str]]:
    """Run these commands as processes at the same time; return exit codes and what they printed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "charloom", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        )
        for command in commands
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def test_two_trainings_into_one_folder() -> None:
    """Both read the same text for the first time; one trains, the other is refused or comes before it."""
    Path("text.txt").write_text("Two at once\n" + PAGES[:6000], encoding="utf-8")
    ended = at_once(TRAIN, TRAIN)
    assert 0 in [code for code, _ in ended], ended
    for code, output in ended:
        if code:
            assert code in (1, 2), output
            assert "m: another process is training this run" in output or "m: cannot be made" in output
            assert "Traceback" not in output
    steps = [record["step"] for record in run.records(Path("m") / run.METRICS)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 200
    assert folder.read(Path("m")).metrics["step"] <= 200
    assert sorted(path.name for path in Path().iterdir()) == ["m", "text.txt"]  # no drafts are left


def test_what_a_killed_overwriting_left_is_no_obstacle() -> None:
    drafted = run.draft(Path("m"))
    Path(".m.old").mkdir()
    Path(".m.old", "file").touch()
    Path("m").mkdir()
    Path("m", run.CONFIG).touch()
    assert run.publish(drafted, Path("m"), "m", overwrite=True) == Path("m")
    assert not Path("m", run.CONFIG).exists()


def test_of_two_drafts_one_is_published() -> None:
    first, second = run.draft(Path("m")), run.draft(Path("m"))
    (first / "first").touch()
    (second / "second").touch()
    with run.held(first):
        run.publish(first, Path("m"), "m")
        with pytest.raises(RunError, match="m: cannot be made"):
            run.publish(second, Path("m"), "m")
        with pytest.raises(UsageError, match="another process is training"):
            run.publish(second, Path("m"), "m", overwrite=True)
    assert Path("m", "first").exists()
    run.publish(second, Path("m"), "m", overwrite=True)
    assert Path("m", "second").exists()


def test_two_bulk_generations_into_one_file() -> None:
    untrained.write(Path("model"), untrained.model(), "# A model\n")
    sample = ["sample", "model", "-n", "1000", "--length", "60", "--out", "texts.jsonl", "--seed", "1"]
    ended = at_once(sample, sample)
    assert sorted(code for code, _ in ended) == [0, 1], ended
    refused = next(output for code, output in ended if code)
    assert "texts.jsonl: another process is writing it" in refused or "texts.jsonl: exists" in refused
    texts = [json.loads(line) for line in Path("texts.jsonl").read_text("utf-8").splitlines()]
    assert [text["stream"] for text in texts] == list(range(1000))
    assert sorted(path.name for path in Path().iterdir()) == ["model", "texts.jsonl"]
