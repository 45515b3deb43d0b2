"""Promise 3: the same resolved settings and the same seed give the same model and the same text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import charloom
from charloom import run as runs
from pages import PAGES
from trained import require_same_files

OPTIONS: dict[str, Any] = {
    "steps": 12, "hidden": 8, "dropout": 0.2, "lanes": 4, "window": 8, "precision": "float32", "threads": 1,
    "documents": "whole", "evaluate_steps": 4, "sample_steps": 4,
}  # fmt: skip


def test_the_same_seed_is_the_same_model_and_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(PAGES[:6000], encoding="utf-8")
    made = [
        charloom.train(text, out=tmp_path / name, seed=seed, **OPTIONS)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    same, other = made[1].model.weights, made[2].model.weights
    for name, array in made[0].model.weights.items():
        assert np.array_equal(array, same[name])
    assert not np.array_equal(made[0].model.weights["output.weight"], other["output.weight"])
    samples = [runs.records(tmp_path / name / runs.SAMPLES) for name in ("a", "b")]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 3
    require_same_files(tmp_path / "a", tmp_path / "b")
    texts = [model.generate("the ", length=50, seed=3) for model in made]
    assert texts[0] == texts[1]
    assert texts[0] != made[0].generate("the ", length=50, seed=4)
