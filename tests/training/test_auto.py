"""What is chosen suits the text and the budget, leaves alone what was given, and says why."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from charloom.model.config import CELLS, ModelConfig
from charloom.text.corpus import Corpus
from charloom.training import auto
from charloom.training.config import TrainConfig
from charloom.training.device import Place

Prepare = Callable[..., Corpus]
SPEED = auto.Speed(2e11)  # floating-point operations a second: two ordinary cores
CHOSEN = {
    "model": {"cell", "layers", "hidden", "dropout"},
    "train": {"window", "lanes", "rate", "muon_rate", "muon_decay"},
}


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "_speed", lambda *_: SPEED)


def chosen(corpus: Corpus, config: TrainConfig, **given: dict[str, Any]) -> dict[str, Any]:
    choice = auto.choose(corpus, config, given)
    found = choice.values
    assert {s: v.keys() | given.get(s, {}).keys() for s, v in found.items()} == {
        s: keys | given.get(s, {}).keys() for s, keys in CHOSEN.items()
    }
    assert choice.reasons.keys() == {f"{section}.{key}" for section in found for key in found[section]}
    assert all(reason and "\n" not in reason for reason in choice.reasons.values())
    ModelConfig(**{**given.get("model", {}), **found["model"]})
    TrainConfig(**found["train"])
    return {**found["model"], **found["train"]}


def test_more_time_is_a_wider_model(prepare: Prepare) -> None:
    corpus = prepare(400_000)
    widths = [chosen(corpus, TrainConfig(minutes=minutes))["hidden"] for minutes in (0.01, 0.5, 5, 60)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    steps = [chosen(corpus, TrainConfig(steps=steps))["hidden"] for steps in (1, 100, 10_000)]
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]


def test_more_text_is_a_wider_model_with_less_dropout(prepare: Prepare) -> None:
    found = [chosen(prepare(size), TrainConfig(minutes=60)) for size in (2000, 40_000, 400_000)]
    assert [one["hidden"] for one in found] == sorted(one["hidden"] for one in found)
    assert found[0]["hidden"] >= auto.SAFE  # the text alone never makes it narrower
    assert found[0]["hidden"] < found[-1]["hidden"]
    assert found[0]["dropout"] == auto.MOST_DROPOUT
    assert chosen(prepare(400_000), TrainConfig(epochs=1))["dropout"] == 0
    decays = [chosen(prepare(400_000), TrainConfig(epochs=n))["muon_decay"] for n in (10, 15, 20, 500)]
    assert decays == [0.05, 0.075, 0.1, 0.1]
    assert chosen(prepare(4000), TrainConfig(minutes=1))["lanes"] < TrainConfig().lanes
    assert found[-1]["lanes"] == TrainConfig().lanes


def test_a_trained_model_goes_on_gently(prepare: Prepare) -> None:
    anew, on = (chosen(prepare(), TrainConfig(minutes=1, start=start)) for start in ("", "somewhere"))
    for key in ("rate", "muon_rate"):
        assert on[key] == pytest.approx(auto.GENTLE * anew[key])


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_given_is_kept(cell: str, prepare: Prepare) -> None:
    given: dict[str, Any] = {
        "model": {"hidden": 77, "layers": 2, "cell": cell},
        "train": {"lanes": 3, "window": 5},
    }
    found = chosen(prepare(), TrainConfig(minutes=5, lanes=3, window=5), **given)
    assert not found.keys() & {"hidden", "layers", "cell", "lanes", "window"}


@pytest.mark.parametrize(
    ("kind", "threads", "size", "gain", "lanes"),
    [
        ("cuda", 1, 400_000, 3.5, auto.WIDE),
        ("cuda", 1, 400_000, 1.5, TrainConfig().lanes),
        ("cuda", 1, 40_000, 3.5, TrainConfig().lanes),
        ("cpu", 4, 400_000, 3.5, TrainConfig().lanes),
        ("cpu", 8, 400_000, 1.5, 128),
        ("cpu", 16, 400_000, 2.5, auto.WIDE),
        ("cpu", 16, 400_000, 1.5, TrainConfig().lanes),
    ],
)
def test_more_rows_where_they_are_read_faster(
    kind: str,
    threads: int,
    size: int,
    gain: float,
    lanes: int,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        auto,
        "_speed",
        lambda config, *_: replace(SPEED, products=SPEED.products * (gain if config.lanes > 64 else 1)),
    )
    place = Place(torch.device(kind), "float32", threads, "")
    monkeypatch.setattr(auto.device, "choose", lambda config: place)
    assert chosen(prepare(size), TrainConfig(minutes=0.1))["lanes"] == lanes
    reason = auto.choose(prepare(size), TrainConfig(minutes=0.1), {}).reasons["train.lanes"]
    assert f"; {threads} processor" in reason
    given = {"lanes": 32}
    assert "lanes" not in chosen(prepare(size), TrainConfig(minutes=0.1, lanes=32), train=given)


def test_a_text_of_a_few_characters(prepare: Prepare) -> None:
    found = chosen(prepare(30), TrainConfig(minutes=5))
    assert (found["hidden"], found["lanes"]) == (auto.SAFE, 1)


def test_a_short_window_reaches_what_a_text_repeats(prepare: Prepare) -> None:
    corpus = prepare(100_000)
    assert chosen(corpus, TrainConfig(minutes=0.5))["window"] == TrainConfig().window // 2
    line = np.arange(48, dtype=np.uint8) % len(corpus.vocabulary)
    lines = replace(corpus, train=replace(corpus.train, ids=np.tile(line, len(corpus.train.ids) // 48)))
    assert chosen(lines, TrainConfig(minutes=0.5))["window"] == TrainConfig().window


def test_repetitions_are_counted_by_how_far_back_they_are() -> None:
    text = "abcdefgh" + "0123456789" * 4 + "abcdefgh" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ids = np.frombuffer(text.encode(), np.uint8)
    assert auto._repeats(ids, 40, 60) == 3 / (len(ids) - 6)  # abcdef, bcdefg, cdefgh
    assert auto._repeats(ids, 5, 10) == 25 / (len(ids) - 6)
    assert auto._repeats(ids, 60, 90) == auto._repeats(ids[:5], 1, 9) == 0


def test_the_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large alphabet, steps of widths that were not timed take about the time that is predicted."""
    monkeypatch.undo()
    config = TrainConfig(threads=1, precision="float32", window=32)
    place = auto.device.choose(config)
    monkeypatch.setattr(auto.time, "perf_counter", time.process_time)  # other programs take their time, too
    speed = auto._speed(config, 3000, place)
    for hidden in (32, 128):
        shape = ModelConfig(hidden=hidden)
        taken = auto._step_seconds(config, shape, 3000, place)
        assert 0.5 < speed.seconds(shape, 3000, config.lanes * config.window // 2) / taken < 2


def test_a_large_alphabet_takes_time(prepare: Prepare) -> None:
    """Its logits are exponentials and their gradients, which a narrow model does not have fewer of."""
    speed = auto.Speed(2e11, 2e8)
    narrow = ModelConfig(hidden=64)
    assert speed.seconds(narrow, 6000, 4096) > 10 * speed.seconds(narrow, 100, 4096)
