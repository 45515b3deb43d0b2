"""The loss that training measures is the one that `eval` measures."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charloom.insight.evaluation import evaluate
from charloom.model.config import CELLS, Cell, ModelConfig
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.text import corpus as corpus_room
from charloom.text.corpus import Corpus, DataConfig
from charloom.training import device
from charloom.training.config import TrainConfig
from charloom.training.events import Finished
from charloom.training.heldout import PIECE, WARM, HeldOut, _pieces
from charloom.training.loop import Trainer
from charloom.training.network import Network

Prepare = Callable[..., Corpus]
PLACE = device.Place(torch.device("cpu"), "float32", 1, "")


def trained(corpus: Corpus, run: Path, cell: Cell = "lstm", steps: int = 120) -> Network:
    """Some seconds of training: a state that matters, and losses that differ from character to character."""
    config = TrainConfig(
        steps=steps, lanes=16, window=32, rate=0.02, muon_rate=0.1, threads=1, precision="float32",
        layout="auto", evaluate_steps=1000,
    )  # fmt: skip
    run.mkdir()
    made = Trainer(corpus, ModelConfig(cell=cell, hidden=48, embedding=16), config, run)
    assert isinstance(list(made.train())[-1], Finished)
    return made.network


def ours(network: Network, corpus: Corpus, part: str = "validation") -> float:
    nats = HeldOut(getattr(corpus, part), corpus.vocabulary, PLACE).nats(network)
    assert nats is not None
    return nats


def theirs(network: Network, corpus: Corpus, part: str = "validation") -> float:
    model = Model(config=network.config, vocabulary=corpus.vocabulary, weights=network.to_weights())
    return evaluate(Generator(model), getattr(corpus, part), exact=True).carried.nats


@pytest.mark.parametrize("cell", CELLS)
def test_whole_texts(cell: Cell, data_folder: Path, tmp_path: Path) -> None:
    """Many pieces read side by side, against one stream from beginning to end."""
    text = (data_folder / "tinyshakespeare.txt").read_text("utf-8")[:60_000]
    # a few characters that training never sees, of two to four bytes each
    text += " Œuvre — “日本” 😀 naïve".join(text[start : start + 400] for start in range(0, 4000, 400))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8", newline="\n")
    corpus = corpus_room.prepare(
        [tmp_path / "text.txt"], DataConfig(documents="whole", fractions=(88, 12, 0))
    )
    assert len(corpus.validation.ids) > 5 * PIECE
    assert (corpus.validation.ids == corpus.vocabulary.byte).any()
    network = trained(corpus, tmp_path / "run", cell)
    nats = ours(network, corpus)
    assert 1.5 < nats < 3.2
    assert nats == pytest.approx(theirs(network, corpus), abs=1e-3)


@pytest.mark.parametrize("specials", [True, False])
def test_documents(specials: bool, data_folder: Path, tmp_path: Path) -> None:
    """News items, each from a zero state; without specials the first character of each is not scored."""
    options: Any = {} if specials else {"normalize": "none"}
    corpus = corpus_room.prepare(
        ["ag_news:test"], DataConfig(fractions=(98, 1, 1), **options), specials=specials
    )
    network = trained(corpus, tmp_path / "run")
    nats = ours(network, corpus)
    assert 1.5 < nats < 3.2
    assert nats == pytest.approx(theirs(network, corpus), abs=1e-3)


@pytest.mark.parametrize("specials", [True, False])
def test_lines_of_unlike_lengths(specials: bool, prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare(30_000, lines=True, specials=specials, fractions=(60, 20, 20))
    network = trained(corpus, tmp_path / "run", steps=30)
    for part in ("validation", "test", "train"):
        assert ours(network, corpus, part) == pytest.approx(theirs(network, corpus, part), abs=1e-3)


def test_nothing_held_out(prepare: Prepare) -> None:
    corpus = prepare(fractions=(90, 0, 10))
    held_out = HeldOut(corpus.validation, corpus.vocabulary, PLACE)
    network = Network(ModelConfig(hidden=4), len(corpus.vocabulary), torch.Generator())
    assert held_out.empty
    nats = held_out.nats(network)
    assert nats is not None
    assert math.isnan(nats)


def test_it_can_be_cut_short(prepare: Prepare) -> None:
    corpus = prepare()
    held_out = HeldOut(corpus.train, corpus.vocabulary, PLACE)
    network = Network(ModelConfig(hidden=4), len(corpus.vocabulary), torch.Generator())
    answers = iter([False, False, True])
    assert held_out.nats(network, lambda: next(answers)) is None
    nats = held_out.nats(network, lambda: False)
    assert nats == pytest.approx(math.log(len(corpus.vocabulary)), rel=0.01)


@pytest.mark.parametrize("most", [10**9, 5000, 2500, 1])
@pytest.mark.parametrize("bounds", [[0, 5000], [0, 1], [0, 7, 8, 8, 2500, 2600, 5000]])
def test_targets_are_scored_once_after_enough_text(most: int, bounds: list[int]) -> None:
    scored = np.zeros(5000, int)
    for piece in _pieces(np.array(bounds[:-1]), np.array(bounds[1:]), most):
        targets = range(piece.start + 1 + piece.warm, piece.end)
        scored[targets] += 1
        begin = max(start for start in bounds if start <= piece.start)
        assert piece.start == begin or piece.warm == WARM
        assert len(targets) <= PIECE
        assert len({np.searchsorted(bounds, target, "right") for target in (piece.start, *targets)}) == 1
    first = np.isin(np.arange(5000), bounds)
    every = ~first & (np.arange(5000) < bounds[-1])
    assert scored.max(initial=0) <= 1
    assert not scored[~every].any()
    if every.sum() <= most:
        assert scored[every].all()
    elif most > 1:
        assert 0.5 * most < scored.sum() <= 1.2 * most
        assert scored[:2500].any()
        assert scored[2500:].any()
    else:
        assert scored.sum() <= PIECE


@pytest.mark.parametrize("conditions", [False, True])
def test_a_part_of_many_documents_is_looked_at_here_and_there(conditions: bool, tmp_path: Path) -> None:
    """Each with its own condition, though most are left out."""
    random = np.random.default_rng(0)
    rows = [f"{i}{'x' * int(random.integers(9))},{i % 2}" for i in range(900)]
    (tmp_path / "t.csv").write_text("\n".join(["text,kind", *rows]) + "\n", encoding="utf-8")
    data = DataConfig(text=("text",), condition=("kind",) if conditions else (), fractions=(10, 90, 0))
    corpus = corpus_room.prepare([tmp_path / "t.csv"], data)
    held_out = HeldOut(corpus.validation, corpus.vocabulary, PLACE, corpus.conditions, 100)
    documents = [held_out._apart * piece.document for piece in held_out._pieces]
    assert held_out._apart == 9
    assert min(documents) < 100
    assert max(documents) > 700
    begins = corpus.validation.documents[documents]
    assert [piece.start for piece in held_out._pieces] == begins.tolist()


@pytest.mark.parametrize(("source", "condition"), [("", ("kind",)), ("es", ()), ("es", ("kind",))])
def test_what_is_given_of_documents(source: str, condition: tuple[str, ...], tmp_path: Path) -> None:
    """Conditions begin, sources are read and not scored; with long documents and strange characters."""
    random = np.random.default_rng(0)
    rows = ["es,text,kind"]
    for i in range(300):
        size = 3000 if i % 100 == 7 else int(random.integers(1, 60))
        text = "".join(random.choice(list("abcd " if i % 2 else "cdef "), size)) + "日é"[: i % 3]
        rows.append(f"{'ñ日a' * (i % 5 + 1)},{text}x,{'' if i % 9 == 0 else 'odd' if i % 2 else 'even'}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    data = DataConfig(text=("text",), source=source, condition=condition, fractions=(60, 40, 0))
    corpus = corpus_room.prepare([tmp_path / "t.csv"], data)
    config = TrainConfig(steps=25, lanes=8, window=64, threads=1, precision="float32", evaluate_steps=1000)
    (tmp_path / "run").mkdir()
    model = ModelConfig(hidden=24, embedding=8, conditions=corpus.conditions)
    network = Trainer(corpus, model, config, tmp_path / "run")
    assert isinstance(list(network.train())[-1], Finished)
    held_out = HeldOut(corpus.validation, corpus.vocabulary, PLACE, corpus.conditions)
    nats = held_out.nats(network.network)
    assert nats is not None
    assert nats == pytest.approx(theirs(network.network, corpus), abs=1e-3)
