"""Training throughput against the lesson's own loop, at hidden 64, on the same texts in the same minutes.

    CHARLOOM_DATA=… python benchmarks/throughput.py

Counted are *distinct* characters learned from in a second: the lesson's loop reads every character about
a hundred times (all windows of a text), which teaches it no more. Both run alternately, five times each,
on all cores; the ratio is that of the medians.
"""

from __future__ import annotations

import csv
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from charloom.model.config import ModelConfig
from charloom.text.config import DataConfig
from charloom.text.corpus import prepare
from charloom.training.config import TrainConfig
from charloom.training.loop import Trainer
from rows import Rows, data_folder, table

HIDDEN = 64
WINDOW = 100
ROUNDS = 5
SECONDS = 4.0


class LessonNetwork(nn.Module):
    """One-hot, LSTM, linear, as the lesson builds it."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.recurrent = nn.LSTM(vocabulary, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, vocabulary)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        one_hot = nn.functional.one_hot(ids, self.vocabulary).float()
        return self.output(self.recurrent(one_hot)[0])  # type: ignore[no-any-return]


class LessonLoop:
    """Encode every window of a text anew, take one step, go to the next text."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = [text for text in texts if len(text) >= WINDOW + 10]
        self.ids: dict[str, int] = {}
        for text in texts:
            for character in text:
                self.ids.setdefault(character, len(self.ids))
        self.network = LessonNetwork(len(self.ids))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.place = 0

    def encode(self, text: str) -> torch.Tensor:
        return torch.LongTensor([self.ids[character] for character in text])

    def step(self) -> int:
        text = self.texts[self.place % len(self.texts)]
        self.place += 1
        count = len(text) - WINDOW
        inputs = torch.stack([self.encode(text[i : i + WINDOW]) for i in range(count)])
        targets = torch.stack([self.encode(text[i + 1 : i + WINDOW + 1]) for i in range(count)])
        self.optimiser.zero_grad()
        logits = self.network(inputs)
        nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return len(text)


def rate(step: Any) -> float:
    """Distinct characters a second."""
    start, characters = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        characters += step()
    return characters / (time.perf_counter() - start)


def measure() -> dict[str, Any]:
    path = data_folder() / "ag_news" / "test.csv"
    with path.open(encoding="utf-8", newline="") as file:
        texts = [f"{title} {description}" for _, title, description in csv.reader(file)]
    lesson = LessonLoop(texts)
    corpus = prepare(["ag_news:test"], DataConfig())
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(corpus, ModelConfig(hidden=HIDDEN), TrainConfig(steps=10**6), Path(folder))
        trainer.budget.schedule.plan = [(0, 10**6)]

        def ours() -> int:
            trainer.take_step()
            return trainer.config.lanes * trainer.config.window

        with trainer.place.engaged():
            rate(lesson.step), rate(ours)  # warm up
            rates = [(rate(lesson.step), rate(ours)) for _ in range(ROUNDS)]
    theirs, mine = (statistics.median(column) for column in zip(*rates, strict=True))
    return {"lesson": theirs, "charloom": mine, "ratio": mine / theirs, "threads": torch.get_num_threads()}


def main() -> None:
    row = Rows("throughput").measure("hidden 64", measure)
    print(
        table(
            ["hidden 64, distinct characters a second", "rate"],
            [
                ["the lesson's loop", f"{row['lesson']:,.0f}"],
                ["charloom", f"{row['charloom']:,.0f}"],
                ["ratio", f"{row['ratio']:.0f} ×"],
            ],
        )
    )


if __name__ == "__main__":
    main()
