"""The commands one after another on real texts, as a user would type them.

One of each kind is a process of its own; the others run in this one, in which everything is loaded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charloom.model.folder import read
from charloom.settings import PRESETS
from charloom.text.corpus import prepare
from typed import command, here

LESSON = "0.3,0.8,1.0,1.3,1.8"


def run(folder: Path, *words: str, input: str | None = None, alone: bool = False, code: int = 0) -> str:
    """What the command wrote to standard output; `alone` in a process of its own."""
    found = (command if alone else here)(*words, folder=folder, input=(input or "").encode())
    assert found.code == code, found.err
    return found.out


def events(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_train_sample_eval_info_on_tiny_shakespeare(data_folder: Path, tmp_path: Path) -> None:
    train = "train tinyshakespeare --steps 60 --hidden 48 --layers 2 --set train.evaluate_steps=20 --json"
    told = events(run(tmp_path, *train.split(), alone=True))
    assert {"start", "eval", "sample", "checkpoint", "done"} <= {event["event"] for event in told}
    done = told[-1]
    assert done["event"] == "done"
    assert done["run"] == str(Path("runs", "tinyshakespeare"))
    assert done["characters"] == 60 * 64 * 64
    assert done["seconds"] > 0
    model = read(tmp_path / done["run"])
    assert done["parameters"] == model.parameters
    assert 2 < done["best_nats"] < 3.4  # letter frequencies alone give 3.4

    text = run(tmp_path, "sample", "--prompt", "ROMEO:", "--length", "80", "--seed", "3", alone=True)
    assert text.startswith("ROMEO:")
    assert len(text) == len("ROMEO:") + 80 + 1
    assert text == run(tmp_path, "sample", "--prompt", "ROMEO:", "--length", "80", "--seed", "3")

    held_out = prepare(["tinyshakespeare"]).test
    scored = json.loads(run(tmp_path, "eval", "--limit", "20000", "--json", alone=True))
    assert scored["characters"] == 20000
    assert not scored["trained_on"]
    assert scored["carried"]["nats"] == pytest.approx(done["best_nats"], abs=0.1)  # another twentieth
    assert scored["carried"]["bits_per_character"] == pytest.approx(
        scored["carried"]["nats"] / 0.6931, rel=1e-3
    )
    assert scored["carried"]["interval"][0] < scored["carried"]["nats"] < scored["carried"]["interval"][1]
    assert scored["cold_256"]["nats"] >= scored["carried"]["nats"] - 0.02
    named = {baseline["name"]: baseline["nats"] for baseline in scored["baselines"]}
    assert named["uniform"] > named["order 0"] > scored["carried"]["nats"] > named["order 5"]

    (tmp_path / "same.txt").write_text(held_out.text()[:20000], encoding="utf-8")
    by_file = json.loads(run(tmp_path, "eval", "runs/tinyshakespeare", "same.txt", "--json"))
    assert by_file["characters"] == 20000
    assert by_file["carried"]["nats"] == pytest.approx(scored["carried"]["nats"], abs=1e-6)
    assert by_file["cold_256"]["nats"] == pytest.approx(scored["cold_256"]["nats"], abs=1e-6)

    facts = json.loads(run(tmp_path, "info", "runs/tinyshakespeare", "--json", alone=True))
    assert (facts["cell"], facts["layers"], facts["hidden"]) == ("lstm", 2, 48)
    assert facts["metrics"]["nats"] == done["best_nats"]


def test_the_lesson_from_the_command_line(data_folder: Path, tmp_path: Path) -> None:
    """S5: its network. S7: its training, a text a step. S9: greedy. S10: the table of temperatures."""
    train = "train ag_news:test --preset lesson --steps 30 --set train.evaluate_steps=30 --json"
    told = events(run(tmp_path, *train.split()))
    first = next(event for event in told if event["event"] == "eval")
    assert first["step"] == 0
    assert first["nats"] == pytest.approx(4.399, abs=0.1)  # about ln 82, as the lesson prints
    assert told[-1]["best_nats"] < 3.4  # thirty texts teach it little more than which letters there are
    model = read(tmp_path / told[-1]["run"])
    assert model.config.to_json() == {**PRESETS["lesson"]["model"]}
    assert not model.vocabulary.specials

    greedy = run(tmp_path, "sample", "--greedy", "--prompt", "today ", "--length", "100")
    assert greedy.startswith("today ")
    text = greedy.removesuffix("\n")
    assert len(text) == len("today ") + 100
    last = text[-8:]
    assert text.count(last) > 1  # it goes round in circles, as the lesson says

    table = run(tmp_path, "sample", "--temperature", LESSON, "--prompt", "Today ", "--length", "300")
    heads = [line for line in table.splitlines() if line.startswith("── temperature")]
    assert [head.split()[2] for head in heads] == ["0.3", "0.8", "1", "1.3", "1.8"]
    assert table.count("\nToday ") == 5
    refused = here("sample", "--prompt", "Ω", folder=tmp_path)
    assert refused.code == 1
    assert "'Ω'" in refused.err.splitlines()[-1]


def test_standard_input_is_a_text(tmp_path: Path) -> None:
    lines = "".join(f"a line of verse, number {n}\n" for n in range(300))
    train = ("train", "-", "--steps", "3", "--hidden", "8", "--out", "run")
    out = run(tmp_path, *train, input=lines, alone=True)
    assert "stdin" in out
    refused = here("eval", "run", folder=tmp_path)
    assert refused.code == 1
    assert "came through standard input" in refused.err
    scored = json.loads(run(tmp_path, "eval", "run", "-", "--json", input=lines))
    assert scored["trained_on"]
    assert "which it was TRAINED on" in run(tmp_path, "eval", "run", "-", input=lines)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other pipes")
def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    verse = tmp_path / "verse.txt"
    verse.write_text("".join(f"a line of verse, number {n}\n" for n in range(300)), encoding="utf-8")
    for arguments in ("train verse.txt --steps 40 --hidden 8 --json --out run", "sample run --length 200000"):
        with subprocess.Popen(
            [sys.executable, "-m", "charloom", *arguments.split()],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(10)
            process.stdout.close()
            assert "Traceback" not in process.stderr.read()
        assert process.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_a_signal_ends_training_after_a_checkpoint_and_it_goes_on(tmp_path: Path) -> None:
    verse = tmp_path / "verse.txt"
    verse.write_text("".join(f"a line of verse, number {n}\n" for n in range(300)), encoding="utf-8")
    arguments = ["train", "verse.txt", "--steps", "1000000", "--hidden", "8", "--json", "--out", "run"]
    arguments += ["--set", "train.evaluate_steps=5"]
    with subprocess.Popen(
        [sys.executable, "-m", "charloom", *arguments],
        cwd=tmp_path, stdout=subprocess.PIPE, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert [(event["event"], event["step"]) for event in told] == [("start", 0), ("eval", 0), ("eval", 5)]
        process.send_signal(signal.SIGINT)
        told += events(process.stdout.read())
    assert process.returncode == 130
    assert [event["event"] for event in told[-2:]] == ["checkpoint", "done"]
    assert told[-1]["reason"] == "interrupted"
    assert (tmp_path / "run" / "model.safetensors").is_file()
    more = events(run(tmp_path, "train", "--resume", "run", "--steps", "5", "--json"))
    assert more[0]["step"] == told[-1]["step"]
    assert more[-1]["step"] == told[-1]["step"] + 5
    assert more[-1]["characters"] > told[-1]["characters"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_a_signal_while_the_text_is_read_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "charloom", "train", "-", "--steps", "1"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "CHARLOOM_CACHE": str(tmp_path / "cache")},
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        corpora = tmp_path / "cache" / "corpora"
        while not any(path.is_dir() for path in corpora.glob("spool-*")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        told = process.stderr.read()
    assert process.returncode == 143
    assert told == "charloom: terminated before the training began; nothing was written\n"
    assert not (tmp_path / "runs").exists()
    assert list(corpora.iterdir()) == []
