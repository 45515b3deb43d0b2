"""Writing together: the real command over a pipe, and `charloom` alone in a real terminal."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import charloom
from charloom.cli.welcome import dragged
from typed import Result, command, here

CHARLOOM = [sys.executable, "-m", "charloom"]
TEXT = "The cat sat on the mat. The dog sat on the log.\nWho sat on the cat? The dog did.\n" * 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned three sentences nearly by heart."""
    folder = tmp_path_factory.mktemp("play")
    (folder / "cat.txt").write_text(TEXT, encoding="utf-8")
    options = {"steps": 150, "evaluate_steps": 50, "hidden": 48, "lanes": 4, "window": 32}
    charloom.train(folder / "cat.txt", out=folder / "run", **options)
    return folder / "run"


def play(model: Path, lines: str, *options: str, run: Callable[..., Result] = here) -> str:
    done = run("play", model, *options, input=lines.encode())
    assert done.code == 0, done.err
    return done.out


def kept(model: Path) -> str:
    return (model / "play.txt").read_text("utf-8")


@pytest.fixture(autouse=True)
def _new_story(model: Path) -> None:
    (model / "play.txt").unlink(missing_ok=True)


def test_typed_text_is_kept_and_the_likeliest_words_are_offered(model: Path) -> None:
    shown = play(model, "The cat sat on\n/quit\n", run=command)
    assert kept(model) == "The cat sat on"
    last = shown[shown.rindex("The cat sat on") :]
    assert re.search(r"1 +\d+% +the", last), last


def test_a_number_takes_the_offer_and_undo_takes_it_back(model: Path) -> None:
    play(model, "The cat sat on\n1\n/quit\n")
    assert kept(model) == "The cat sat on the"
    play(model, "1\n/undo\n/quit\n")
    assert kept(model) == "The cat sat on the"


def test_who_returns_goes_on_where_they_stopped(model: Path) -> None:
    play(model, "The dog\n")
    assert "The dog" in play(model, " sat\n/quit\n")
    assert kept(model) == "The dog sat"


def test_it_writes_on_to_the_end_of_a_sentence_or_so_many_characters(model: Path) -> None:
    play(model, "The cat\n\n/quit\n", "--temperature", "0.8")
    written = kept(model).rstrip()
    assert written.endswith((".", "?"))
    assert len(written) > len("The cat")
    play(model, "/run 25\n/quit\n", "--file", str(model / "other.txt"))
    assert len((model / "other.txt").read_text("utf-8")) == 25


def test_temperature_changes_what_is_written(model: Path) -> None:
    play(model, "The\n/temperature 0\n/run 80\n/quit\n")
    greedy = kept(model)
    (model / "play.txt").unlink()
    play(model, "The\n/temperature 3\n/run 80\n/quit\n")
    assert kept(model) != greedy
    refused = play(model, "/temperature -1\n/temperature warm\n/quit\n")
    assert "temperature is -1" in refused
    assert "'warm' is not a number" in refused


def test_seeds_write_different_texts(model: Path) -> None:
    texts = set()
    for seed in ("1", "2"):
        play(model, "The\n/run 80\n/quit\n", "--temperature", "1.5", "--seed", seed)
        texts.add(kept(model))
        (model / "play.txt").unlink()
    assert len(texts) == 2


def test_the_end_of_the_input_ends_it(model: Path) -> None:
    assert "Kept in" in play(model, "The cat")


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        ("book.txt", "book.txt"),
        ("'my book.txt'", "my book.txt"),
        ('"my book.txt" ', "my book.txt"),
        (r"/home/me/my\ book.txt", "/home/me/my book.txt"),
        ("it's", "it's"),
        ("", ""),
    ],
)
def test_a_path_dragged_into_the_window(pasted: str, meant: str) -> None:
    assert dragged(pasted) == meant


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
def test_charloom_alone_asks_trains_and_plays(tmp_path: Path) -> None:
    import pty

    (tmp_path / "my cat.txt").write_text(TEXT, encoding="utf-8")
    ours, theirs = pty.openpty()
    with subprocess.Popen(CHARLOOM, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = ""

        def until(words: str) -> None:
            nonlocal shown
            end = time.monotonic() + 300
            while words not in shown:
                ready, _, _ = select.select([ours], [], [], 1)
                if ready:
                    shown += os.read(ours, 65536).decode("utf-8", "replace")
                assert time.monotonic() < end, shown

        until("Drag the file")
        os.write(ours, b"nothing.txt\r")
        until("There is no file nothing.txt")
        os.write(ours, b"'my cat.txt'\r")
        until("How many minutes")
        os.write(ours, b"0.01\r")
        until("write together")
        until("> ")
        os.write(ours, b"The dog\r/quit\r")
        until("Kept in")
        assert process.wait(300) == 0
    os.close(ours)
    (story,) = tmp_path.glob("runs/*/play.txt")
    assert story.read_text("utf-8") == "The dog"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("/run 99999999999999999999", "length is 99999999999999999999; it takes a whole number"),
        ("/run -5", "length is -5; it takes a whole number"),
        ("/run \N{SUPERSCRIPT TWO}", "is not a number of characters; try /run 300"),
        ("/temperature", "temperature '' is not a number; try /temperature 0.8"),
    ],
)
def test_a_wrong_command_is_explained_and_writes_nothing(model: Path, typed: str, says: str) -> None:
    assert says in play(model, f"{typed}\n/quit\n")
    assert not (model / "play.txt").exists()


def test_odd_digits_and_bytes_are_text(model: Path) -> None:
    done = here("play", model, input="\N{SUPERSCRIPT TWO}\n".encode() + b"caf\xe9\n/quit\n")
    assert done.code == 0, done.err
    assert kept(model) == "\N{SUPERSCRIPT TWO}caf\N{REPLACEMENT CHARACTER}"


def test_the_last_seed_is_followed_by_the_first(model: Path) -> None:
    play(model, "The cat\n/run 5\n/quit\n", "--seed", str(2**32 - 1))
    assert len(kept(model)) == len("The cat") + 5
