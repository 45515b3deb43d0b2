"""What suits this text, this budget and this machine, each choice with its reason."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from charloom.job import processors
from charloom.model.config import GATES, ModelConfig
from charloom.text.corpus import Corpus, Part
from charloom.training import device, layout, recurrence
from charloom.training.batches import Ids, Lanes
from charloom.training.config import DEFAULT_MINUTES, TrainConfig
from charloom.training.learner import Learner
from charloom.training.network import Network
from charloom.training.optimiser import ROUNDS, Optimiser, blocks_of
from charloom.training.ranks import Ranks

WIDTHS = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)
SAFE = 256  # however small the text: narrower would only learn less, and the best weights are kept
READ_PER_WEIGHT = 3.0  # characters that a weight needs to be trained on to be worth its time (docs/log.md)
TEXT_PER_WEIGHT = 0.5  # characters of text a weight; with fewer the model learns the text by heart
FEW_STEPS = 3000  # below it, twice as many of half the size teach more
REPEATS = 0.05  # share of a text that repeats what a halved window would not reach: then it stays whole
REPEATED = 6  # characters together; fewer come back by chance
LOOKED_AT = 200_000  # characters that are searched for repetitions
LANE_WINDOWS = 8  # windows in a lane, at least: with fewer the heads repeat themselves at once
DOCUMENT_WINDOW = 64  # characters of a document a step, as in lanes
SOURCE_WINDOW = 256  # with sources: the gradient has to reach back into them
WIDE = 256  # rows at most, where many are read faster, and the text is large (docs/log.md)
DOCUMENT_STEPS = 8  # in an epoch of documents, at least
FREE_EPOCHS = 3.0  # times that a text is read without dropout (docs/log.md)
DROPOUT = 0.14  # for every time that the epochs double beyond
MANY_EPOCHS = 10.0  # times that a text is read before it takes more to keep a model from learning it by heart
MORE_DROPOUT = 0.1  # for every time that the epochs double beyond, too
MOST_DROPOUT = 0.6
MOST_DECAY = 2.0  # of Muon, times its default
SOURCE_DROPOUT = 0.1  # at most, with sources: at 0.5 number words were not learned at all
GENTLE = 0.3  # of the rates for a model that has learned before: more would make it forget
TIMED_WIDTHS = (512, 64)  # their times tell what products cost, and what the rest does
TIMED_STEPS = 2  # after one that is not counted


@dataclass(frozen=True)
class Choice:
    """Settings by section and key, and the reason for each as `section.key`."""

    values: Mapping[str, Mapping[str, Any]]
    reasons: Mapping[str, str]


def choose(corpus: Corpus, config: TrainConfig, given: Mapping[str, Mapping[str, Any]]) -> Choice:
    """Cell, sizes, dropout, lanes, window and rates for the training part of `corpus` and a budget.

    The budget is that of `config`. What is `given` is kept and taken into account.
    """
    text = max(1, corpus.train.characters)
    vocabulary = len(corpus.vocabulary)
    sizes = ModelConfig(**given.get("model", {}))
    values: dict[str, dict[str, Any]] = {"model": {}, "train": {}}
    reasons: dict[str, str] = {}

    def take(section: str, key: str, value: Any, reason: str) -> Any:
        """Choose a value, unless another is given."""
        if key in given.get(section, {}):
            return given[section][key]
        values[section][key] = value
        reasons[f"{section}.{key}"] = reason
        return value

    take("model", "cell", sizes.cell, "learns most of the three in equal time")
    take("model", "layers", sizes.layers, "in minutes, width pays more than depth")
    speed, threads = None, config.threads or processors()
    if not config.epochs and not config.steps:
        place = device.choose(config)
        threads = place.threads
        config, speed = _paced(config, sizes, vocabulary, text, place, "lanes" in given.get("train", {}))
    part = corpus.train
    if part.documents is not None and layout.name(corpus, config) == "documents":
        count = len(part.documents) - 1
        average = len(part.ids) / count
        if corpus.vocabulary.sep is None:
            window: int = take("train", "window", DOCUMENT_WINDOW, "longer learns no more")
        else:
            window = take(
                "train", "window", SOURCE_WINDOW, "most texts are read in one piece with their source"
            )
        steps = _steps(config, sizes, vocabulary, text, speed, int(config.lanes * min(window, average)))
        rows = config.lanes // 2 if steps < FEW_STEPS and not config.steps else config.lanes
        rows = max(1, min(rows, count // DOCUMENT_STEPS))
        told = f"documents side by side, of {average:,.0f} characters on average"
        lanes: int = take("train", "lanes", rows, told)
    else:
        steps = _steps(config, sizes, vocabulary, text, speed, config.lanes * config.window)
        window = take("train", "window", *_window(config, part, steps))
        most = max(1, text // (LANE_WINDOWS * window))
        few = "the text is too short for more" if most < config.lanes else "more would step less often"
        few += f"; {threads} processor{'s' * (threads > 1)}"
        lanes = take(
            "train", "lanes", min(config.lanes, most), f"places of the text read side by side; {few}"
        )
    config = replace(config, lanes=lanes, window=window)

    def read(hidden: int) -> float:
        """Characters that the budget trains on at this width."""
        shape, characters = replace(sizes, hidden=hidden), lanes * window
        return _steps(config, shape, vocabulary, text, speed, characters) * characters

    hidden = WIDTHS[0]
    for width in WIDTHS:
        weights = _weights(replace(sizes, hidden=width), vocabulary)
        enough = width <= SAFE or text >= TEXT_PER_WEIGHT * weights
        if enough and read(width) >= READ_PER_WEIGHT * weights:
            hidden = width
    told = f"about {_rounded(read(hidden))} characters are read in the budget, of {_rounded(text)} there are"
    hidden = take("model", "hidden", hidden, told)
    epochs = read(hidden) / text
    dropout = DROPOUT * _doublings(epochs / FREE_EPOCHS) + MORE_DROPOUT * _doublings(epochs / MANY_EPOCHS)
    decay = min(MOST_DECAY, max(1.0, epochs / MANY_EPOCHS))
    told = f"the text is read about {epochs:.1f} times"
    if corpus.vocabulary.sep is not None:
        dropout, decay = min(dropout, SOURCE_DROPOUT), 1.0
        told += ", but its source wants to be read exactly"
    take("model", "dropout", round(min(MOST_DROPOUT, dropout), 2), told)
    take("train", "muon_decay", round(decay * config.muon_decay, 3), told)
    share, why = (GENTLE, "a third: it goes on from a trained model") if config.start else (1.0, "")
    for key, reason in (("rate", "Adam's, on all but"), ("muon_rate", "Muon's, on")):
        rate = round(share * getattr(config, key), 5)
        take("train", key, rate, why or f"{reason} recurrent matrices; best of several on validation parts")
    return Choice(values, reasons)


def _doublings(ratio: float) -> float:
    """How often one doubles before it is `ratio`; 0 below one."""
    return math.log2(max(ratio, 1.0))


def _window(config: TrainConfig, part: Part, steps: float) -> tuple[int, str]:
    """A short window where a long one would leave few `steps`: the state is carried on all the same."""
    whole, half = config.window, config.window // 2
    if steps >= FEW_STEPS or config.steps:
        return whole, "longer learns no more, and would step less often"
    read = Lanes(part.ids, lanes=1, window=0, seed=config.seed, documents=part.documents).read
    share = _repeats(read(np.arange(min(LOOKED_AT, len(part.ids)))), half, whole)
    if share > REPEATS:
        return whole, f"{share:.0%} of the text repeats what stands {half} to {whole} characters before it"
    return half, f"with {whole} it would be but {_rounded(steps)} steps"


def _repeats(ids: Ids, nearest: int, farthest: int) -> float:
    """Share of a text that stood there before: last more than `nearest`, at most `farthest` back."""
    looked = ids.astype(np.uint64)
    codes = np.zeros(max(0, len(looked) - REPEATED), np.uint64)
    for k in range(REPEATED):
        codes = codes * np.uint64(1_000_003) + looked[k : k + len(codes)]
    order = np.argsort(codes, kind="stable")
    back = np.diff(order)[np.diff(codes[order]) == 0]
    return float(((nearest < back) & (back <= farthest)).sum()) / max(1, len(codes))


def _steps(
    config: TrainConfig, shape: ModelConfig, vocabulary: int, text: int, speed: Speed | None, characters: int
) -> float:
    """Steps of so many `characters` that the budget is enough for; minutes need the `speed`."""
    if config.steps:
        return float(config.steps)
    if config.epochs:
        return config.epochs * text / characters
    assert speed is not None
    return 60 * (config.minutes or DEFAULT_MINUTES) / speed.seconds(shape, vocabulary, characters)


@dataclass(frozen=True)
class Speed:
    """How many operations of matrix products, and how many elements, go through a step in a second.

    An element is a logit or a value of a gate. What an alphabet of thousands adds to a narrow model's step
    is mostly elements: exponentials and their gradients, however narrow the model is.
    """

    products: float
    elements: float = math.inf

    def seconds(self, shape: ModelConfig, vocabulary: int, characters: int) -> float:
        """Return the time that a step of so many `characters` takes."""
        operations = _operations(shape, vocabulary, characters)
        return operations / self.products + _elements(shape, vocabulary, characters) / self.elements

    def rate(self, vocabulary: int, characters: int) -> float:
        """Return the operations per second of a step of so many `characters` of the wide timed model."""
        shape = ModelConfig(hidden=TIMED_WIDTHS[0])
        return _operations(shape, vocabulary, characters) / self.seconds(shape, vocabulary, characters)


def _elements(shape: ModelConfig, vocabulary: int, characters: int) -> float:
    """Numbers that a step computes one by one, forth and back."""
    return characters * (vocabulary + 2.0 * GATES[shape.cell] * shape.hidden * shape.layers)


def _weights(shape: ModelConfig, vocabulary: int) -> int:
    """Parameters that take part in every character's products."""
    recurrent = GATES[shape.cell] * shape.hidden * (2 * shape.layers - 1)
    return shape.hidden * (recurrent + vocabulary)


def _operations(shape: ModelConfig, vocabulary: int, characters: int) -> float:
    """Floating-point operations of a step: two products back for one forth, and Muon's on every block."""
    blocks = blocks_of(shape.cell, shape.hidden)
    rows = GATES[shape.cell] * shape.hidden / blocks
    round_ = (4 * shape.hidden + 2 * rows) * rows**2 * blocks * (2 * shape.layers - 1)
    return 6.0 * characters * _weights(shape, vocabulary) + ROUNDS * round_


def _paced(
    config: TrainConfig, sizes: ModelConfig, vocabulary: int, text: int, place: device.Place, fixed: bool
) -> tuple[TrainConfig, Speed]:
    """Return the speed of whole steps, and unless `fixed` the rows that suit the machine.

    A GPU hardly notices four times the rows; on a processor each thread needs a register of them. More rows
    mean fewer steps, so that they have to pay: twice the speed for four times the rows.
    """
    speed = _speed(config, vocabulary, place)
    rows = WIDE if place.device.type == "cuda" else min(WIDE, recurrence.COLUMNS * place.threads)
    if not fixed and rows > config.lanes:
        wide = replace(config, lanes=rows)
        faster, characters = _speed(wide, vocabulary, place), wide.lanes * wide.window
        steps = _steps(wide, sizes, vocabulary, text, faster, characters)
        gain = faster.rate(vocabulary, characters) / speed.rate(vocabulary, config.lanes * config.window)
        if gain > math.sqrt(rows / config.lanes) and steps * characters < MANY_EPOCHS * text:
            return wide, faster
    return config, speed


def _speed(config: TrainConfig, vocabulary: int, place: device.Place) -> Speed:
    """The speed of whole steps on this machine: some are taken, of a wide and a narrow model nobody keeps.

    They are short ones: what a step takes whatever it reads is more of these than of long ones. A GPU takes
    as long for both, so that the wide one tells all.
    """
    characters = config.lanes * max(1, config.window // 2)
    widths = TIMED_WIDTHS if place.device.type == "cpu" else TIMED_WIDTHS[:1]
    shapes = [ModelConfig(hidden=width) for width in widths]
    seconds = np.array([_step_seconds(config, shape, vocabulary, place) for shape in shapes])
    costs = np.array(
        [[of(shape, vocabulary, characters) for of in (_operations, _elements)] for shape in shapes]
    )
    products, elements = costs[0] / seconds[0]  # as if one of them took all of the time
    if len(shapes) == 1:
        return Speed(products)
    a_product, an_element = np.linalg.solve(costs, seconds)
    if a_product <= 0:
        return Speed(math.inf, elements)
    return Speed(1 / a_product, 1 / an_element) if an_element > 0 else Speed(products)


def _step_seconds(config: TrainConfig, shape: ModelConfig, vocabulary: int, place: device.Place) -> float:
    """The least time that one of some steps takes."""
    window = max(1, config.window // 2)
    network = Network(shape, vocabulary, torch.Generator().manual_seed(0)).to(place.device)
    learner = Learner(network, Optimiser(network, config), place, 0, Ranks())
    ids = np.random.default_rng(0).integers(0, vocabulary, config.lanes * window + 1)
    batch = Lanes(ids, lanes=config.lanes, window=window, seed=0).batch(0)
    best = math.inf
    with place.engaged():
        for step in range(1 + TIMED_STEPS):
            start = time.perf_counter()
            learner.step(step, batch, 0.0)
            learner.losses()  # waits for a GPU
            if step:
                best = min(best, time.perf_counter() - start)
    return best


def _rounded(number: float) -> str:
    """Two digits that count: a reason needs no more."""
    digits = max(0, len(str(int(number))) - 2)
    return f"{round(number, -digits):,.0f}"
