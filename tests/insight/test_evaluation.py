import math
import tracemalloc
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import untrained
from charloom.errors import DataError, UsageError
from charloom.insight import evaluation, heldout
from charloom.insight.evaluation import COLD, evaluate, interval
from charloom.insight.heldout import HeldOut
from charloom.model.config import ModelConfig
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.text.corpus import Corpus, DataConfig, prepare
from charloom.text.vocabulary import Vocabulary

CONSTANT = ModelConfig(cell="rnn", hidden=3, embedding=0)


@pytest.fixture
def corpus_of(tmp_path: Path):
    def make(text: str, *, specials: bool = True, **settings) -> Corpus:
        path = tmp_path / "text.txt"
        path.write_text(text, encoding="utf-8", newline="")
        return prepare([path], DataConfig(**{"documents": "whole", **settings}), specials=specials)

    return make


def model_of(corpus: Corpus, config: ModelConfig, seed: int = 0) -> Model:
    """A network that was never trained, but is far from indifferent."""
    return untrained.of(config, corpus.vocabulary, seed)


def constant(corpus: Corpus, logits: np.ndarray) -> Model:
    """A network that always expects the same."""
    weights = {
        name: np.zeros(shape, np.float32)
        for name, shape in CONSTANT.weight_shapes(len(corpus.vocabulary)).items()
    }
    weights["embedding.weight"] = np.eye(len(corpus.vocabulary), dtype=np.float32)
    weights["output.bias"] = logits.astype(np.float32)
    return Model(config=CONSTANT, vocabulary=corpus.vocabulary, weights=weights)


def plain_nats(model: Model, ids: list[int]) -> list[float]:
    """Nats of each id after the first, in double precision, from the equations of one LSTM layer."""
    w = {name: array.astype(np.float64) for name, array in model.weights.items()}
    h = c = np.zeros(model.config.hidden)
    nats = []
    for now, following in pairwise(ids):
        gates = w["layers.0.weight_input"] @ w["embedding.weight"][now] + w["layers.0.bias_input"]
        gates = gates + w["layers.0.weight_hidden"] @ h + w["layers.0.bias_hidden"]
        i, f, g, o = np.split(gates, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        logits = w["output.weight"] @ h + w["output.bias"]
        nats.append(np.log(np.exp(logits).sum()) - logits[following])
    return nats


def documents(lengths: list[int], bos: bool) -> tuple[SimpleNamespace, Vocabulary]:
    """A part of texts of these lengths, and its vocabulary."""
    vocabulary = Vocabulary.from_text("ab", ("<bos>", "<eos>") if bos else ())
    ids = np.concatenate([[vocabulary.bos or 0, *(k % 2 for k in range(length))] for length in lengths])
    bounds = np.cumsum([0, *(length + 1 for length in lengths)])
    return SimpleNamespace(ids=ids.astype(np.uint8), documents=bounds, characters=sum(lengths)), vocabulary


def windows(ids: list[int], bos: int | None) -> list[list[int]]:
    """What cold_256 reads of one text: `ids` without `<bos>`."""
    cut = [ids[at : at + COLD + 1] for at in range(0, max(len(ids) - 1, 1), COLD)]
    return cut if bos is None else [[bos, *window] for window in cut]


def cold_nats(model: Model, ids: list[int], bos: int | None) -> float:
    total = 0.0
    for k, window in enumerate(windows(ids, bos)):
        nats = plain_nats(model, window)
        total += sum(nats[1:] if k and bos is not None else nats)
    return total


LSTM = ModelConfig(cell="lstm", hidden=12, embedding=5)


@pytest.mark.parametrize("specials", [True, False])
def test_one_text_is_what_a_plain_loop_gives(specials, corpus_of, data_folder, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "PIECE", 384)
    monkeypatch.setattr(evaluation, "BLOCK", 128)
    text = (data_folder / "tinyshakespeare.txt").read_text(encoding="utf-8")[:4000]
    corpus = corpus_of(text, specials=specials, fractions=(70, 0, 30))
    model = model_of(corpus, LSTM)
    found = evaluate(Generator(model), corpus.test, exact=True)
    bos = corpus.vocabulary.bos
    ids = corpus.vocabulary.rows(corpus.vocabulary.encode(corpus.test.text())).tolist()
    scored = len(ids) - (not specials)
    spelling = sum(row == corpus.vocabulary.byte for row in ids) * math.log(256) if specials else 0
    given = [bos, *ids] if specials else ids
    assert found.characters == scored == corpus.test.characters - (not specials)
    assert found.carried.nats * scored == pytest.approx(sum(plain_nats(model, given)) + spelling, rel=1e-5)
    assert found.cold_256.nats * scored == pytest.approx(cold_nats(model, ids, bos) + spelling, rel=1e-5)
    assert found.carried.nats != pytest.approx(found.cold_256.nats, rel=1e-4)
    monkeypatch.setattr(heldout, "PIECES", 300)
    shares: list[float] = []
    beside = evaluate(Generator(model), corpus.test, progress=shares.append)
    assert beside.characters == scored
    assert shares == sorted(shares)
    assert len(shares) >= 2 * scored // 300
    assert shares[-1] == pytest.approx(1)
    assert (found.to_json()["exact"], beside.to_json()["exact"]) == (True, False)
    assert beside.carried.nats == pytest.approx(found.carried.nats, rel=1e-4)
    assert beside.cold_256 == found.cold_256
    monkeypatch.setattr(heldout, "AHEAD", 1)  # too few, which shows that it was read in pieces
    assert abs(evaluate(Generator(model), corpus.test).carried.nats - found.carried.nats) > 1e-4


def test_documents_are_what_a_plain_loop_gives(corpus_of, data_folder, monkeypatch) -> None:
    monkeypatch.setattr(heldout, "LONG", 300)  # the longest are then read by themselves
    monkeypatch.setattr(evaluation, "PIECE", 200)
    lines = (data_folder / "tinyshakespeare.txt").read_text(encoding="utf-8")[:12_000].split("\n")
    text = "\n".join([" ".join(lines[k : k + 1 + k % 14]) for k in range(0, len(lines), 5)])
    corpus = corpus_of(text, documents="line", fractions=(50, 0, 50))
    model = model_of(corpus, LSTM)
    vocabulary, total, cold, characters = corpus.vocabulary, 0.0, 0.0, 0
    lengths = []
    for document in corpus.test.texts():
        ids = [*vocabulary.rows(vocabulary.encode(document)).tolist(), vocabulary.eos]
        spelling = sum(row == vocabulary.byte for row in ids) * math.log(256)
        total += sum(plain_nats(model, [vocabulary.bos, *ids])) + spelling
        cold += cold_nats(model, ids, vocabulary.bos) + spelling
        characters += len(document)
        lengths.append(len(ids))
    assert min(lengths) < 100 < 300 < max(lengths)
    found = evaluate(Generator(model), corpus.test, exact=True)
    assert found.characters == characters
    assert found.carried.nats * characters == pytest.approx(total, rel=1e-5)
    assert found.cold_256.nats * characters == pytest.approx(cold, rel=1e-5)
    monkeypatch.setattr(heldout, "PIECES", 100)  # of the longest
    beside = evaluate(Generator(model), corpus.test)
    assert beside.characters == characters
    assert beside.carried.nats == pytest.approx(found.carried.nats, rel=1e-4)


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_a_constant_model_pays_the_cross_entropy_of_its_bias(unit, corpus_of) -> None:
    corpus = corpus_of("naïve café, für Elise; " * 400, unit=unit)
    logits = np.random.default_rng(2).normal(0, 2, len(corpus.vocabulary))
    nats_of = np.log(np.exp(logits).sum()) - logits
    part = corpus.test
    ids = np.asarray(part.ids[1:])  # without <bos>
    found = evaluate(Generator(constant(corpus, logits)), part)
    expected = nats_of[ids].mean()
    for measure in (found.carried, found.cold_256):
        assert measure.nats == pytest.approx(expected, rel=1e-6)
        assert measure.bits_per_character == pytest.approx(expected / math.log(2), rel=1e-6)
        assert measure.bits_per_byte == pytest.approx(
            nats_of[ids].sum() / math.log(2) / len(part.utf8()), rel=1e-6
        )
        assert measure.interval[0] <= measure.nats <= measure.interval[1]
    assert found.to_json() == {
        "characters": part.characters,
        "carried": {
            "nats": found.carried.nats,
            "bits_per_character": found.carried.bits_per_character,
            "bits_per_byte": found.carried.bits_per_byte,
            "interval": [*found.carried.interval],
        },
        "cold_256": found.to_json()["cold_256"],
        "exact": False,
    }


def test_an_unknown_character_pays_for_the_name_of_its_bytes(corpus_of) -> None:
    corpus = corpus_of("ab" * 450 + "aé→𝄞" * 25, fractions=(90, 0, 10))
    part, vocabulary = corpus.test, corpus.vocabulary
    assert set(part.text()) == set("aé→𝄞")
    assert len(vocabulary) == 4  # a, b, <bos>, <byte>
    found = evaluate(Generator(constant(corpus, np.zeros(4))), part)
    assert found.characters == part.characters == 100
    assert found.carried.nats == pytest.approx(
        (25 * math.log(4) + 25 * 9 * math.log(4 * 256)) / 100, rel=1e-6
    )
    assert found.carried.bits_per_byte == pytest.approx(
        found.carried.nats * 100 / math.log(2) / 250, rel=1e-6
    )


def test_a_cycle_costs_a_model_that_knows_it_nothing(corpus_of) -> None:
    corpus = corpus_of("abc" * 1000)
    size, bos = len(corpus.vocabulary), corpus.vocabulary.bos
    config = ModelConfig(cell="rnn", hidden=size, embedding=0)
    after = np.zeros((size, size), np.float32)
    after[[1, 2, 0], [0, 1, 2]] = 1  # what comes after a, b, c
    weights = {name: np.zeros(shape, np.float32) for name, shape in config.weight_shapes(size).items()}
    weights |= {
        "embedding.weight": np.eye(size, dtype=np.float32),
        "layers.0.weight_input": 20 * np.eye(size, dtype=np.float32),
        "output.weight": 30 * after,
    }
    model = Model(config=config, vocabulary=corpus.vocabulary, weights=weights)
    found = evaluate(Generator(model), corpus.test)
    assert bos is not None
    assert found.characters == 150
    assert found.carried.nats == pytest.approx(
        math.log(size) / 150, abs=1e-6
    )  # only what follows <bos> is open
    assert found.cold_256.nats == found.carried.nats


def test_a_limit_reads_so_much_and_no_more(corpus_of) -> None:
    corpus = corpus_of("a" * 800 + "b" * 150 + "a" * 50, fractions=(90, 0, 10))
    logits = np.array([0.0, 1.0, 0, 0])[: len(corpus.vocabulary)]
    generator = Generator(constant(corpus, logits))
    assert evaluate(generator, corpus.test, limit=10).characters == 10
    assert evaluate(generator, corpus.test, limit=10**9) == evaluate(generator, corpus.test)
    with pytest.raises(UsageError, match="limit is 0"):
        evaluate(generator, corpus.test, limit=0)


def test_nothing_held_out_is_said(corpus_of) -> None:
    corpus = corpus_of("some text" * 50, fractions=(100, 0, 0))
    with pytest.raises(DataError, match="no held-out text"):
        evaluate(Generator(model_of(corpus, CONSTANT)), corpus.test)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    size=st.integers(1, 9),
    piece=st.integers(1, 50),
    bos=st.booleans(),
)
def test_every_symbol_is_scored_once_however_it_is_cut(lengths, size, piece, bos) -> None:
    part, vocabulary = documents(lengths, bos)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heldout, "PIECE", piece)
        patch.setattr(heldout, "PIECES", piece)
        patch.setattr(heldout, "AHEAD", size)
        held_out = HeldOut(part, vocabulary)
        by_piece = np.concatenate([scored for _, _, scored in held_out.pieces()])
        together = [piece for text in held_out.streams() for piece in held_out.in_pieces(text)]
    by_stream, by_window, by_side = np.zeros((3, len(part.ids)), int)
    for start, stop, skip, _ in together:
        assert stop - start <= piece + size
        by_side[start + skip : stop] += 1
    for start, stop, skip, _ in held_out.streams():
        by_stream[start + skip : stop] += 1
    for start, stop, skip, _ in held_out.windows(size):
        assert stop - start <= size + 1
        by_window[start + skip : stop] += 1
    assert (by_stream == by_piece).all()
    assert (by_window == by_piece).all()
    assert (by_side == by_piece).all()
    assert by_piece.sum() == len(part.ids) - len(lengths)  # all but the first of each text
    assert held_out.counts.sum() == by_piece.sum()


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(100):
        random = np.random.default_rng(trial)
        characters = random.integers(100, 300, 60).astype(np.float64)
        nats = characters * random.normal(1.5, 0.2, 60)
        low, high = interval(nats, characters)
        assert low < nats.sum() / characters.sum() < high
        covered += low < 1.5 < high
    assert 0.88 < covered / 100 < 0.99


def test_the_interval_of_equal_blocks_is_a_point() -> None:
    assert interval(np.full(7, 3.0), np.full(7, 2.0)) == (1.5, 1.5)
    assert interval(np.array([3.0, 0.0]), np.array([2.0, 0.0]))[1] == 1.5  # an empty document


def test_many_documents_are_put_together_and_change_nothing() -> None:
    random = np.random.default_rng(8)
    nats = random.normal(1.5, 0.5, 25_000)
    low, high = interval(nats, np.ones(25_000))
    width = 2 * 1.96 * nats.std() / math.sqrt(25_000)
    assert high - low == pytest.approx(width, rel=0.1)
    assert (low + high) / 2 == pytest.approx(nats.mean(), abs=width / 10)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(corpus_of) -> None:
    letters = np.random.default_rng(9).choice(list("abc \n"), 2_000_000)
    corpus = corpus_of("".join(letters), fractions=(50, 0, 50))
    generator = Generator(model_of(corpus, CONSTANT))
    peaks = []
    for limit in (1000, 250_000, 1_000_000):  # the first compiles
        tracemalloc.start()
        evaluate(generator, corpus.test, limit=limit)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]


def test_dynamic_pays_before_it_learns(corpus_of, monkeypatch) -> None:
    """At a rate of zero it is carried; a text that repeats itself gets cheaper; the model stays as it is."""
    from charloom.training import dynamic

    corpus = corpus_of("the same line again and again, " * 130, fractions=(50, 0, 50))
    model = model_of(corpus, LSTM)
    before = {name: value.copy() for name, value in model.weights.items()}
    generator = Generator(model)
    monkeypatch.setattr(dynamic, "RATE", 0.0)
    still = evaluate(generator, corpus.test, dynamic=True)
    assert still.dynamic.nats == pytest.approx(still.carried.nats, rel=1e-5)
    assert still.dynamic.bits_per_byte == pytest.approx(still.carried.bits_per_byte, rel=1e-5)
    monkeypatch.setattr(dynamic, "RATE", 0.01)
    learning = evaluate(generator, corpus.test, dynamic=True)
    assert learning.dynamic.nats < 0.8 * learning.carried.nats
    first = evaluate(generator, corpus.test, limit=dynamic.STRETCH - 1, dynamic=True)
    assert first.dynamic.nats == pytest.approx(first.carried.nats, rel=1e-5)  # nothing was learned yet
    assert all((model.weights[name] == value).all() for name, value in before.items())
    assert learning.to_json()["dynamic"]["nats"] == learning.dynamic.nats
    assert "dynamic" not in evaluate(generator, corpus.test).to_json()


@pytest.mark.parametrize("specials", [True, False])
def test_dynamic_scores_the_symbols_that_carried_scores(specials, corpus_of, monkeypatch) -> None:
    from charloom.training import dynamic

    monkeypatch.setattr(dynamic, "RATE", 0.0)
    monkeypatch.setattr(dynamic, "STRETCH", 7)
    corpus = corpus_of("one line\nand another one\nx\n" * 30, documents="line", fractions=(50, 0, 50))
    if not specials:
        corpus = corpus_of("one long text é" * 60, specials=False, fractions=(50, 0, 50))
    found = evaluate(Generator(model_of(corpus, LSTM)), corpus.test, dynamic=True)
    assert found.dynamic.nats == pytest.approx(found.carried.nats, rel=1e-5)
