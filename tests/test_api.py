"""From a text to a model that writes: through the Python API, as the lesson tells it and by default."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import charloom
from charloom import api, character_model, run, settings, verdict
from charloom.character_model import record
from charloom.errors import DataError, MissingExtraError, ModelError, RunError, UsageError
from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.text.vocabulary import Vocabulary
from charloom.training.events import Evaluated, Finished, Saved, Started, Warned
from pages import PAGES

TINY: dict[str, Any] = {
    "hidden": 12, "embedding": 6, "lanes": 4, "window": 8, "threads": 1, "precision": "float32",
    "evaluate_steps": 8, "dropout": 0.2,
}  # fmt: skip


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some pages of the language reference that every Python carries; the work is done beside it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "book.txt"
    path.write_text(PAGES[:9000], encoding="utf-8", newline="\n")
    return path


def weights(path: Path) -> dict[str, Any]:
    return dict(folder.read(path).weights)


def same(left: Path, right: Path) -> bool:
    a, b = weights(left), weights(right)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def training(*sources: Any, out: Path | None = None, **options: Any) -> list[Any]:
    """All events of a run with these flags, or of the settings in a file."""
    flags: dict[str, dict[str, Any]] = {}
    more = {name: options.pop(name) for name in ("file", "resume", "stop", "more") if name in options}
    for name, value in options.items():
        flags.setdefault(settings.section_of(name), {})[name] = value
    chosen = settings.resolve(corpus=map(str, sources), flags=flags, file=more.pop("file", None))
    return list(api.training(chosen, out=out, **more))


def period(text: str) -> int | None:
    """The shortest length after which `text` repeats itself to its end, at least three times."""
    return next((p for p in range(1, len(text) // 3 + 1) if text[p:] == text[:-p]), None)


def lesson(run_folder: Path, steps: int) -> tuple[api.CharacterModel, list[Any]]:
    events: list[Any] = []
    model = api.train(
        "ag_news:test",
        preset="lesson",
        out=run_folder,
        steps=steps,
        evaluate_steps=steps,
        threads=1,
        on_event=events.append,
    )
    return model, events


def test_the_lesson(data_folder: Path, tmp_path: Path) -> None:
    """S5 to S7 and S9 on real news: one-hot, hidden 64, Adam 0.01, one text a step."""
    model, events = lesson(tmp_path / "run", 60)
    assert model.model.config == ModelConfig(cell="lstm", layers=1, hidden=64, embedding=0, dropout=0.0)
    vocabulary = model.model.vocabulary
    assert len(vocabulary) == 82
    assert not vocabulary.specials
    assert model.model.parameters == 82 * 82 + 4 * 64 * (82 + 64 + 2) + 82 * 64 + 82
    corpus = next(e for e in events if isinstance(e, api.Prepared)).corpus
    first = next(corpus.train.texts())
    assert vocabulary.encode(first).tolist() == corpus.train.ids[: len(first)].tolist()
    assert corpus.documents == "row"
    train = settings.resolve(file=tmp_path / "run" / run.CONFIG).build("train")
    assert (train.layout, train.window, train.optimiser, train.rate) == ("windows", 100, "adam", 0.01)

    evaluated = [e for e in events if isinstance(e, Evaluated)]
    assert [e.step for e in evaluated] == [0, 60]
    assert evaluated[0].nats == pytest.approx(math.log(82), abs=1e-4)  # the lesson prints 4.399
    assert evaluated[1].nats < 3.4
    assert all(e.rate == 0.01 for e in evaluated)

    text = model.generate("today ", temperature=0, length=1000)
    assert len(text) == 1000
    assert period(text[400:]) is not None  # it visibly cycles
    soft = model.generate("Today ", temperature=1.0, length=1000, seed=1)
    assert period(soft[400:]) is None
    with pytest.raises(UsageError, match="give --prompt"):
        model.generate()


def test_a_run_folder(book: Path) -> None:
    events: list[Any] = []
    model = charloom.train(book, steps=20, on_event=events.append, **TINY)
    path = Path("runs/book")
    assert model.path == path
    assert isinstance(events[0], api.Prepared)
    assert isinstance(events[-1], Finished)
    assert {file.name for file in path.iterdir()} == {
        "config.json", "vocab.json", "generation.json", "README.md", "model.safetensors",
        "config.toml", "metrics.jsonl", "samples.jsonl", "checkpoints", "machine.json", "report.html",
    }  # fmt: skip
    told = run.records(path / run.METRICS)
    assert [record["step"] for record in told] == [0, 8, 16, 20]
    assert told[0]["loss"] is None  # there is no NaN in JSON
    best = min(told, key=lambda record: record["nats"])
    assert model.metrics == {"step": best["step"], "nats": best["nats"], "characters": best["characters"]}
    samples = [e for e in events if isinstance(e, api.Sampled)]
    assert run.records(path / run.SAMPLES) == [{"step": e.step, **record(e.sample)} for e in samples]
    assert samples[-1].step == 20
    assert model.model.provenance["corpora"][0]["name"] == "book"
    card = (path / "README.md").read_text("utf-8")
    assert "LSTM of 1 layer and 12 hidden units" in card
    assert charloom.train(book, steps=1, **TINY).path == Path("runs/book-2")


def test_a_run_without_matplotlib_is_kept_and_says_what_its_page_lacks(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    events: list[Any] = []
    model = charloom.train(book, steps=1, on_event=events.append, **TINY)
    assert model.path is not None
    assert not (model.path / run.PAGE).exists()
    assert isinstance(events[-1], Finished)
    (warned,) = (event.message for event in events if isinstance(event, Warned))
    assert warned.startswith("no page of its curves and samples: ")
    assert "charloom[train]" in warned


def test_writing_and_scoring(book: Path) -> None:
    model = charloom.train(book, steps=20, temperature=0.7, length=50, **TINY)
    text = model.generate("The ", seed=3)
    assert text == "".join(model.stream("The ", seed=3)) == model.sample("The ", seed=3).text
    assert len(text) == 50
    assert text != model.generate("The ", seed=4)
    assert model.sample(temperature=1.0).temperature == 1.0
    assert model.sample().temperature == 0.7  # what the run was given is the model's default
    assert len(model.sample(top=2, length=5).top) == 5
    again = charloom.load("runs/book")
    assert again.generate("The ", seed=3) == text
    score = model.score("The statement is a statement.")
    assert score.characters == 29
    assert score.bits_per_character == pytest.approx(score.nats / 29 / math.log(2))
    assert 1 < score.nats_per_character < math.log(len(model.model.vocabulary)) + 1
    assert model.score("日本").nats > model.score("is").nats  # spelt in bytes
    with pytest.raises(UsageError, match="the text to score is empty"):
        model.score("")
    with pytest.raises(UsageError, match="temperature is -1"):
        model.generate(temperature=-1)


def test_a_long_text_is_scored_in_pieces(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = charloom.train(book, steps=4, **TINY)
    text = book.read_text("utf-8")[:700] + "日"
    whole = model.score(text)
    monkeypatch.setattr(character_model, "PIECE", 64)
    assert model.score(text).nats == pytest.approx(whole.nats, rel=1e-6)


def test_the_written_settings_repeat_the_run(book: Path) -> None:
    """Chosen by `auto` where nobody named it, resolved, written, read: the same model."""
    chosen = {name: TINY[name] for name in ("window", "threads", "evaluate_steps")}
    training(book, out=Path("first"), steps=12, cell="gru", layers=2, seed=5, **chosen)
    training(file=Path("first") / run.CONFIG, out=Path("again"))
    assert same(Path("first"), Path("again"))
    a, b = ((Path(name) / run.CONFIG).read_bytes() for name in ("first", "again"))
    assert [line.split(b"  #")[0] for line in a.splitlines()] == [
        line.split(b"  #")[0] for line in b.splitlines()
    ]
    texts = [[r["text"] for r in run.records(Path(name) / run.SAMPLES)] for name in ("first", "again")]
    assert texts[0] == texts[1]
    training(file=Path("first") / run.CONFIG, out=Path("other"), seed=6)
    assert not same(Path("first"), Path("other"))


def test_a_run_by_minutes_repeats(book: Path) -> None:
    events = training(book, out=Path("first"), minutes=0.03, **{**TINY, "evaluate_steps": 0})
    steps = events[-1].step
    assert settings.resolve(file=Path("first") / run.CONFIG).build("train").plan[-1][1] == steps
    again = training(file=Path("first") / run.CONFIG, out=Path("again"))
    assert again[-1].step == steps
    assert same(Path("first"), Path("again"))


def stop_after(count: int) -> Callable[[], str]:
    """Asked twice before the first step and once after each, and at every window of an evaluation."""
    asked = iter(range(count))
    return lambda: "" if next(asked, None) is not None else "interrupted"


def test_stopped_and_resumed(book: Path) -> None:
    """With the newest checkpoint damaged in between, which is said and passed over."""
    training(book, out=Path("whole"), steps=40, checkpoint_steps=5, **TINY)
    parted = Path("parted")
    events = training(book, out=parted, steps=40, checkpoint_steps=5, stop=stop_after(30), **TINY)
    assert events[-1].reason == "interrupted"
    at = events[-1].step
    assert 10 < at < 40
    assert not run.records(parted / run.METRICS)[-1]["step"] > at
    newest = next(e.path for e in reversed(events) if isinstance(e, Saved))
    (newest / "optimiser.safetensors").write_bytes(b"")
    events = training(file=parted / run.CONFIG, resume=parted)
    assert any(isinstance(e, Warned) and str(newest) in e.message for e in events)
    assert next(e.step for e in events if isinstance(e, Started)) < at
    assert same(Path("whole"), parted)
    told = [
        [
            {k: v for k, v in record.items() if k not in ("seconds", "loss")}
            for record in run.records(name / run.METRICS)
        ]
        for name in (Path("whole"), parted)
    ]
    assert told[0] == told[1]
    events = training(file=parted / run.CONFIG, resume=parted, more=True, steps=8)
    assert events[-1].step == 48
    assert settings.resolve(file=parted / run.CONFIG).build("train").plan == ((0, 40), (40, 48))


def test_a_changed_text_is_not_resumed(book: Path) -> None:
    training(book, out=Path("run"), steps=2, **TINY)
    book.write_text(book.read_text("utf-8") + "!", encoding="utf-8")
    with pytest.raises(DataError, match="has changed since"):
        training(file=Path("run") / run.CONFIG, resume=Path("run"))


def test_callbacks_run_under_the_settings_of_the_caller(book: Path) -> None:
    """Threads, denormal numbers, gradients and random state, during the training and after it."""

    def settings_of_torch() -> tuple[Any, ...]:
        return (
            torch.get_num_threads(),
            sys.float_info.min / 2 == 0,
            torch.is_grad_enabled(),
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),
            random.getstate(),
        )

    threads, found = torch.get_num_threads(), []

    def look(event: Any) -> None:
        found.append(settings_of_torch())
        if isinstance(event, Finished):
            raise ZeroDivisionError

    try:
        torch.set_num_threads(3)
        for flushed in (True, False):
            torch.set_flush_denormal(flushed)
            before = settings_of_torch()
            assert before[:3] == (3, flushed, True)
            with torch.no_grad(), pytest.raises(ZeroDivisionError):
                charloom.train(book, steps=8, on_event=look, **TINY)
            assert settings_of_torch() == before
            assert len(found) > 5
            assert all(one == (*before[:2], False, *before[3:]) for one in found)
            found.clear()
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def test_a_text_too_short_to_learn_from(book: Path) -> None:
    """It is refused, or the run says what to expect."""
    book.write_text("The quick brown fox likes the dogs.", encoding="utf-8")
    with pytest.raises(DataError, match="31 characters, too few to learn from; at least 100 are needed"):
        charloom.train(book, steps=5)
    assert not Path("runs").exists()
    book.write_text(PAGES[:150], encoding="utf-8")
    events = training(book, steps=2, documents="whole", **{**TINY, "lanes": 1})
    assert any(isinstance(e, Warned) and "is short: 135 characters" in e.message for e in events)


def test_what_comes_to_nothing_leaves_nothing(book: Path) -> None:
    book.write_text("a short text of a line\n" * 6, encoding="utf-8")
    with pytest.raises(DataError, match=r"use more text or a smaller --set train\.window"):
        charloom.train(book, steps=5, documents="whole", window=200)
    assert not Path("runs").exists()
    with pytest.raises(UsageError, match=r"there is no option 'hiden'; did you mean 'hidden'\?"):
        charloom.train(book, hiden=3)
    with pytest.raises(UsageError, match="minutes and steps are given"):
        charloom.train(book, minutes=1, steps=5)
    with pytest.raises(UsageError, match="preset 'big' is not known"):
        charloom.train(book, preset="big")
    with pytest.raises(DataError, match=r"nowhere\.txt"):
        charloom.train("nowhere.txt")
    with pytest.raises(RunError, match="exists"):
        charloom.train(book, out=book.parent)
    with pytest.raises(ModelError, match="there is no such model folder"):
        charloom.load("nowhere")
    assert not Path("runs").exists()


def test_without_torch_one_line_says_what_to_install(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'charloom\[train\]'"):
        charloom.train(book)


def test_bytes_and_labels_are_trained_on_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("noise.bin").write_bytes(np.random.default_rng(0).bytes(3000))
    model = charloom.train("noise.bin", unit="byte", documents="whole", steps=3, **TINY)
    assert model.model.vocabulary == Vocabulary.of_bytes(("<bos>",))
    described = json.loads(Path("runs/noise/config.json").read_text("utf-8"))
    assert described["unit"] == "byte"
    model.generate(length=20)


def test_a_prompt_takes_the_form_that_the_text_was_brought_into(tmp_path: Path) -> None:
    """An é of two code points, and another system's line ends, are what the model has learned as one."""
    (tmp_path / "cafe.txt").write_text("café\n" * 300, encoding="utf-8")
    options = {"steps": 2, "hidden": 8, "lanes": 2, "window": 16, "documents": "whole"}
    composed = charloom.train(tmp_path / "cafe.txt", out=tmp_path / "nfc", **options)
    kept = charloom.train(tmp_path / "cafe.txt", out=tmp_path / "none", normalize="none", **options)
    apart, together = "cafe\u0301\r\n", "caf\u00e9\n"
    assert composed.model.encode(apart).tolist() == composed.model.encode(together).tolist()
    assert kept.model.encode(apart).tolist() != kept.model.encode(together).tolist()
    assert composed.generate(apart, seed=3) == composed.generate(together, seed=3)
    assert composed.score(apart).nats == composed.score(together).nats


def test_going_on_from_a_model_with_a_larger_alphabet(book: Path, tmp_path: Path) -> None:
    """Old ids stay, new rows are learned, sizes are the model's; it resumes, and knows what was held out."""
    training(book, out=tmp_path / "first", steps=24, **TINY)
    second = tmp_path / "second.txt"
    second.write_text("€ and ß, " * 900, encoding="utf-8")
    options = {key: value for key, value in TINY.items() if key not in ("hidden", "embedding")}
    events = training(second, out=tmp_path / "on", steps=24, start=str(tmp_path / "first"), **options)
    first, on = folder.read(tmp_path / "first"), folder.read(tmp_path / "on")
    assert on.vocabulary.tokens[: len(first.vocabulary)] == first.vocabulary.tokens
    assert {"€", "ß"} <= set(on.vocabulary.tokens) - set(first.vocabulary.tokens)
    assert (on.config.hidden, on.config.embedding) == (12, 6)
    assert on.provenance["from"]["corpora"] == first.provenance["corpora"]
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert evaluated[-1].nats < evaluated[0].nats

    more = training(file=tmp_path / "on" / run.CONFIG, resume=tmp_path / "on", steps=8, more=True)
    assert next(event for event in more if isinstance(event, Started)).step == 24
    assert folder.read(tmp_path / "on").vocabulary == on.vocabulary
    assert not verdict.own_text(tmp_path / "on", on).seen
    assert verdict.other_text(tmp_path / "on", on, [str(book)]).seen  # the first model was trained on it

    with pytest.raises(UsageError, match="hidden is 20"):
        training(
            second, out=tmp_path / "no", steps=1, start=str(tmp_path / "first"), **{**TINY, "hidden": 20}
        )
    with pytest.raises(ModelError, match="nowhere"):
        training(second, out=tmp_path / "no", steps=1, start=str(tmp_path / "nowhere"), **options)
    assert not (tmp_path / "no").exists()


def test_going_on_from_a_model_with_labels(tmp_path: Path) -> None:
    """The new spreadsheet has one label more, in another order, and lacks one."""
    for name, kinds in (("first", "abc"), ("second", "dca")):
        rows = [f"{kind * 3} {i},{kind}" for i in range(60) for kind in kinds]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,kind", *rows]) + "\n", encoding="utf-8")
    options = {"text": "text", "condition": "kind", "steps": 4, "lanes": 4, "window": 16}
    first = charloom.train(tmp_path / "first.csv", out=tmp_path / "first", hidden=8, embedding=4, **options)
    second = charloom.train(tmp_path / "second.csv", out=tmp_path / "on", start=str(first.path), **options)
    (condition,) = second.model.config.conditions
    assert sorted(condition.values) == ["a", "c", "d"]
    second.generate(condition="d", length=5)
    with pytest.raises(UsageError, match="knows no 'b'"):
        second.generate(condition="b", length=5)


def test_the_same_text_cut_anew_is_not_held_out(book: Path, tmp_path: Path) -> None:
    training(book, out=tmp_path / "first", steps=2, **TINY)
    for name, fractions, seen in (("same", (90, 5, 5), False), ("other", (50, 25, 25), True)):
        path = tmp_path / name
        training(book, out=path, steps=2, start=str(tmp_path / "first"), fractions=fractions, **TINY)
        assert verdict.own_text(path, folder.read(path)).seen is seen
