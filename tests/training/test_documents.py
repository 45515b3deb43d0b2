"""A document a row: each once an epoch, from its condition, with neither padding nor sources counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.errors import DataError, UsageError
from charloom.model.config import CELLS, Cell, ModelConfig
from charloom.text.condition import slices
from charloom.text.corpus import Corpus, DataConfig, prepare
from charloom.training import device
from charloom.training.batches import UNCOUNTED, Batch
from charloom.training.config import TrainConfig
from charloom.training.documents import Documents, _buckets
from charloom.training.layout import layout, name
from charloom.training.learner import Learner
from charloom.training.network import Network
from charloom.training.optimiser import Optimiser
from charloom.training.ranks import Ranks

WINDOW = 8
PLACE = device.Place(torch.device("cpu"), "float32", 1, "")


def corpus_of(folder: Path, lengths: list[int], *, source: bool, condition: bool = True) -> Corpus:
    """Rows whose text names their own number, so that each is known wherever it is met."""
    random = np.random.default_rng(0)
    rows = ["es,text,kind"]
    for i, length in enumerate(lengths):
        text = (f"{i:04}" + "".join(random.choice(list("xyz"), max(0, length - 4))))[: max(4, length)]
        rows.append(f"{'ab' * (i % 7 + 1)},{text},{'odd' if i % 2 else 'even'}")
    path = folder / f"t{len(lengths)}{source}{condition}.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    data = DataConfig(
        text=("text",),
        condition=("kind",) if condition else (),
        source="es" if source else "",
        fractions=(100, 0, 0),
    )
    return prepare([path], data)


def made(corpus: Corpus, *, rows: int = 4, seed: int = 0, dropped: float = 0.0) -> Documents:
    return Documents(
        corpus.train,
        corpus.vocabulary,
        rows=rows,
        window=WINDOW,
        seed=seed,
        conditions=corpus.conditions,
        dropped=dropped,
    )


def read_back(corpus: Corpus, batches: list[Batch]) -> dict[str, tuple[list[int], list[float]]]:
    """Of each document by its text: the targets that counted, and the condition that it began with."""
    decode = corpus.vocabulary.decode
    found: dict[str, tuple[list[int], list[float]]] = {}
    rows: list[tuple[list[int], list[float]]] = []
    for batch in batches:
        if batch.fresh.any():
            assert batch.fresh.all()
            assert (batch.inputs[:, 0] == corpus.vocabulary.bos).all()
            for targets, condition in rows:
                assert found.setdefault(decode(targets), (targets, condition)) == (targets, condition)
            rows = [([], condition.tolist()) for condition in batch.condition]
        assert len(rows) == len(batch.inputs)
        for (targets, _), given_targets in zip(rows, batch.targets, strict=True):
            targets += given_targets[given_targets != UNCOUNTED].tolist()
    return found | {decode(targets): (targets, condition) for targets, condition in rows}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=40),
    st.booleans(),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_every_document_once_an_epoch(
    tmp_path: Path, lengths: list[int], source: bool, rows: int, seed: int
) -> None:
    corpus = corpus_of(tmp_path, lengths, source=source)
    layout = made(corpus, rows=rows, seed=seed)
    steps = int(layout.steps_per_epoch)
    texts = list(corpus.train.texts())
    vocabulary = corpus.vocabulary
    for epoch in (0, 2):
        found = read_back(corpus, [layout.batch(epoch * steps + step) for step in range(steps)])
        assert sorted(found) == sorted(texts)
        for text, (targets, condition) in found.items():
            assert targets == [*vocabulary.encode(text), vocabulary.eos]
            number = corpus.conditions[0].values.index("odd" if int(text[:4]) % 2 else "even")
            assert condition == [number == 0, number == 1, 1]


@pytest.mark.parametrize("rows", range(1, 10))
def test_no_batch_is_empty(rows: int) -> None:
    for count in range(1, 130):
        buckets = _buckets(np.repeat([1, 2, 5], [count, count // 2, 3]), rows)
        assert sum(len(bucket.documents) for bucket in buckets) == count + count // 2 + 3
        for bucket in buckets:
            assert (bucket.batches - 1) * bucket.rows < len(bucket.documents) <= bucket.batches * bucket.rows


def test_a_step_is_a_pure_function(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, list(range(5, 45)), source=True)
    one, other = made(corpus, dropped=0.5), made(corpus, dropped=0.5)
    steps = range(3 * int(one.steps_per_epoch))
    batches = [one.batch(step) for step in steps]
    for step in reversed(steps):
        for field in ("inputs", "targets", "fresh", "condition"):
            assert np.array_equal(getattr(other.batch(step), field), getattr(batches[step], field))
    first = [batch.targets[0, 0] for batch in batches]
    epoch = len(steps) // 3
    assert len({tuple(first[at : at + epoch]) for at in range(0, len(first), epoch)}) == 3


def test_conditions_are_left_out_at_random(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [10] * 400, source=False)
    layout = made(corpus, rows=50, dropped=0.3)
    known = np.concatenate(
        [b.condition[:, -1] for b in (layout.batch(s) for s in range(40)) if b.fresh.all()]
    )
    assert known.mean() == pytest.approx(0.7, abs=0.05)
    dropped = made(corpus, dropped=1.0)
    assert not dropped.batch(0).condition.any()


def test_like_lengths_stand_together(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    corpus = corpus_of(tmp_path, random.integers(4, 60, 2000).tolist(), source=False)
    layout = made(corpus, rows=16)
    batches = [layout.batch(step) for step in range(int(layout.steps_per_epoch))]
    padding = np.mean(np.concatenate([(b.targets == UNCOUNTED).ravel() for b in batches]))
    assert padding < 0.1
    assert max(len(b.inputs) for b in batches) < 2 * 16
    assert max(b.inputs.shape[1] for b in batches) <= WINDOW


def test_long_documents_of_many_lengths_share_batches(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [WINDOW * k for k in range(1, 33)], source=False)
    layout = made(corpus, rows=8)
    rows = [len(layout.batch(step).inputs) for step in range(int(layout.steps_per_epoch))]
    assert min(rows) >= 8 - 1


def test_the_layout_goes_by_what_the_corpus_has(tmp_path: Path, prepare: Any) -> None:
    config = TrainConfig(lanes=4, window=WINDOW)
    conditional = corpus_of(tmp_path, [9] * 40, source=False)
    translating = corpus_of(tmp_path, [9] * 40, source=True, condition=False)
    plain = corpus_of(tmp_path, [9] * 40, source=False, condition=False)
    assert [name(corpus, config) for corpus in (conditional, translating, plain)] == [
        "documents",
        "documents",
        "lanes",
    ]
    documents = TrainConfig(layout="documents", lanes=4, window=WINDOW)
    assert isinstance(layout(plain, documents), Documents)
    lanes = TrainConfig(layout="lanes", lanes=4, window=WINDOW)
    with pytest.raises(UsageError, match="the layout lanes reads no conditions and no sources"):
        layout(conditional, lanes, conditional.conditions)
    with pytest.raises(UsageError, match="the layout lanes reads no conditions and no sources"):
        layout(translating, lanes)
    with pytest.raises(DataError, match="takes a text a row, and this is one; use --documents line"):
        layout(prepare(), documents)
    with pytest.raises(DataError, match="needs <bos> and <eos>, which --preset lesson does without"):
        layout(prepare(lines=True, specials=False), documents)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize("window", [40, 4])
def test_side_by_side_is_one_after_the_other(cell: Cell, source: bool, window: int, tmp_path: Path) -> None:
    """The loss of padded rows, also in pieces, is that of each document alone; in one, so are gradients."""
    corpus = corpus_of(tmp_path, [6, 7, 7, 5], source=source)
    config = ModelConfig(cell=cell, layers=2, hidden=5, embedding=3, conditions=corpus.conditions)
    network = Network(config, len(corpus.vocabulary), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    layout = Documents(
        corpus.train, corpus.vocabulary, rows=4, window=window, seed=0, conditions=corpus.conditions
    )
    learner = Learner(network, Optimiser(network, TrainConfig(clip=0)), PLACE, 0, Ranks())
    counted, total = 0, 0.0
    for step in range(int(layout.steps_per_epoch)):
        count = learner.step(step, layout.batch(step), 0.0)
        total += count * sum(learner.losses())
        counted += count
    together = {key: p.grad.clone() for key, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    nats, targets = torch.zeros(()), 0
    part, sep = corpus.train, corpus.vocabulary.sep
    assert part.documents is not None
    for i in range(4):
        ids = torch.from_numpy(part.ids[part.documents[i] : part.documents[i + 1]].astype(np.int64))
        condition = torch.from_numpy(part.vectors(corpus.conditions, np.array([i])))
        state = network.begun(network.zero_state(1), torch.tensor([True]), condition)
        logits, _ = network(ids[None, :-1], state)
        first = int((ids == sep).nonzero()[0]) if source else 0
        nats = nats + torch.nn.functional.cross_entropy(logits[0, first:], ids[1 + first :], reduction="sum")
        targets += len(ids) - 1 - first
    torch.autograd.backward(nats / targets)
    assert counted == targets
    assert total == pytest.approx(nats.item(), rel=1e-5)
    if layout.steps_per_epoch > 1:
        return
    for key, p in network.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(together[key], p.grad, rtol=1e-4, atol=1e-6)
    assert all(together[key].abs().sum() > 0 for key in together if key.startswith("conditions"))


def test_unknown_conditions_begin_at_zero(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [9] * 8, source=False)
    config = ModelConfig(hidden=4, embedding=3, conditions=corpus.conditions)
    network = Network(config, len(corpus.vocabulary), torch.Generator().manual_seed(0))
    for parameter in network.conditions.parameters():
        torch.nn.init.normal_(parameter)
    ((_, place),) = slices(corpus.conditions)
    known = torch.zeros(3, place.stop)
    known[0, 1] = known[0, -1] = 1
    before = torch.ones(config.state_shape(3))
    begun = network.begun(before, torch.tensor([True, True, False]), known)
    assert begun[:, :, 0].abs().sum() > 0
    assert not begun[:, :, 1].any()
    assert torch.equal(begun[:, :, 2], before[:, :, 2])
