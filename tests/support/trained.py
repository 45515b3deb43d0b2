"""Small runs, stopped where one likes, and what two of them have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.text.corpus import Corpus
from charloom.training import checkpoint
from charloom.training.config import TrainConfig
from charloom.training.events import Evaluated
from charloom.training.loop import Trainer

Prepare = Callable[..., Corpus]
MODEL_FILES = ("config.json", "vocab.json", "generation.json", "README.md", folder.WEIGHTS)


MODEL = ModelConfig(hidden=12, embedding=6, layers=2, dropout=0.2)


TRAIN = TrainConfig(
    steps=24,
    lanes=4,
    window=8,
    threads=1,
    precision="float32",
    evaluate_steps=6,
    sample_steps=12,
    restarts=0.2,
)


def trainer(
    corpus: Corpus, run: Path, config: TrainConfig = TRAIN, model: ModelConfig = MODEL, **options: Any
) -> Trainer:
    run.mkdir(exist_ok=True)
    return Trainer(corpus, model, config, run, **options)


def after(count: int) -> Callable[[Trainer], str]:
    """Stop when so many steps are done."""
    return lambda made: "interrupted" if made.step >= count else ""


def stopping(corpus: Corpus, run: Path, when: Callable[[Trainer], str], *more: Any) -> Trainer:
    made: list[Trainer] = []
    made.append(trainer(corpus, run, *more, stop=lambda: when(made[0])))
    return made[0]


def metrics(events: list[Any]) -> list[tuple[Any, ...]]:
    """Evaluations without seconds, and without a loss that is a mean since the last report."""
    return [(e.step, e.characters, e.nats, e.rate, e.best) for e in events if isinstance(e, Evaluated)]


def weights(run: Path) -> dict[str, Any]:
    with folder.safetensors.safe_open(run / folder.WEIGHTS, framework="numpy") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        return {**found, "metrics": json.loads(file.metadata()["metrics"])}


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def require_same(left: Trainer, right: Trainer, *runs: Path) -> None:
    """Bit for bit: network, optimiser, carried state, schedule, best; and what lies on the disk."""
    a, b = left.snapshot(), right.snapshot()
    assert a.step == b.step
    for group in checkpoint.GROUPS:
        assert a.tensors[group].keys() == b.tensors[group].keys()
        for name, tensor in a.tensors[group].items():
            assert torch.equal(tensor, b.tensors[group][name]), (group, name)
    for fact in ("characters", "best", "plan", "rate_share", "retries", "evaluated", "finished"):
        assert a.facts[fact] == b.facts[fact], fact
    assert same(weights(runs[0]), weights(runs[1]))
    require_same_files(*runs)


def require_same_files(left: Path, right: Path) -> None:
    """The same bytes: the model folder, and the tensors of the checkpoints that both runs have."""
    paths = [path for path in left.glob("*.*") if path.name in MODEL_FILES]
    checkpoints = left.glob("checkpoints/step-*/*.safetensors")
    paths += [path for path in checkpoints if (right / path.relative_to(left).parent).is_dir()]
    assert any(path.name == folder.WEIGHTS for path in paths)
    for path in paths:
        assert path.read_bytes() == (right / path.relative_to(left)).read_bytes(), path
