"""What is chosen suits the text and the budget, leaves alone what was given, and says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from charloom.model.config import CELLS, ModelConfig
from charloom.text.corpus import Corpus
from charloom.training import auto
from charloom.training.config import TrainConfig

Prepare = Callable[..., Corpus]
RATE = 2e10  # floating-point operations a second: two ordinary cores


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "_product_rate", lambda config: RATE)


def chosen(corpus: Corpus, config: TrainConfig, **given: dict[str, Any]) -> dict[str, Any]:
    choice = auto.choose(corpus, config, given)
    assert all(reason for reason in choice.reasons.values())
    assert {key.split(".")[1] for key in choice.reasons} <= {"lanes", "hidden", "dropout"}
    found = choice.values
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
    assert found[0]["hidden"] < found[-1]["hidden"]
    assert found[0]["dropout"] == 0.5
    assert chosen(prepare(400_000), TrainConfig(epochs=1))["dropout"] == 0
    assert chosen(prepare(4000), TrainConfig(minutes=1))["lanes"] < TrainConfig().lanes
    assert found[-1]["lanes"] == TrainConfig().lanes


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_given_is_kept(cell: str, prepare: Prepare) -> None:
    given: dict[str, Any] = {
        "model": {"hidden": 77, "layers": 2, "cell": cell},
        "train": {"lanes": 3, "window": 5},
    }
    choice = auto.choose(prepare(), TrainConfig(minutes=5, lanes=3, window=5), given)
    assert choice.values["model"]["hidden"] == 77
    assert choice.values["train"]["lanes"] == 3
    assert "model.hidden" not in choice.reasons


def test_a_text_of_a_few_characters(prepare: Prepare) -> None:
    found = chosen(prepare(30), TrainConfig(minutes=5))
    assert (found["hidden"], found["lanes"]) == (auto.WIDTHS[0], 1)


def test_the_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert auto._product_rate(TrainConfig(threads=1, precision="float32")) > 1e8
