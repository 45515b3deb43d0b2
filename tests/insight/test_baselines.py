import lzma
import math
import random
from pathlib import Path

import pytest

from charloom.insight import baselines as room
from charloom.insight.baselines import baselines, ngram, uniform, xz
from charloom.insight.heldout import HeldOut
from charloom.text.corpus import Corpus, DataConfig, prepare


@pytest.fixture
def corpus_of(tmp_path: Path):
    def make(text: str, **settings) -> Corpus:
        path = tmp_path / "text.txt"
        path.write_text(text, encoding="utf-8", newline="")
        return prepare([path], DataConfig(**{"documents": "whole", **settings}))

    return make


def test_uniform_is_the_logarithm_of_the_rows(corpus_of) -> None:
    corpus = corpus_of("abcdefgh" * 500)
    found = uniform(HeldOut(corpus.test, corpus.vocabulary))
    assert found.nats == pytest.approx(math.log(10))  # eight letters, <bos> and <byte>
    assert found.bits_per_character == pytest.approx(math.log2(10))
    assert found.fitted == 0


def test_uniform_names_the_bytes_of_unknown_characters(corpus_of) -> None:
    corpus = corpus_of("ab" * 450 + "aé→𝄞" * 25, fractions=(90, 0, 10))
    found = uniform(HeldOut(corpus.test, corpus.vocabulary))
    assert found.nats == pytest.approx((25 * math.log(4) + 25 * 9 * math.log(4 * 256)) / 100)


def test_order_0_is_the_entropy_of_the_letters(corpus_of) -> None:
    letters = random.Random(5).choices("abc", (5, 3, 2), k=200_000)
    corpus = corpus_of("".join(letters), fractions=(95, 0, 5))
    found = ngram(corpus.train, HeldOut(corpus.test, corpus.vocabulary), 0)
    shares = [corpus.test.text().count(letter) / 10_000 for letter in "abc"]
    exact = -sum(share * math.log(p) for share, p in zip(shares, (0.5, 0.3, 0.2), strict=True))
    assert found.nats == pytest.approx(exact, abs=1e-3)
    assert found.fitted == 190_001  # the letters and <bos>


def test_a_cycle_costs_uniform_the_most_and_the_rest_little(corpus_of) -> None:
    corpus = corpus_of("abcde" * 4000, fractions=(90, 0, 10))
    found = {each.name: each for each in baselines(corpus.train, corpus.test, corpus.vocabulary)}
    assert list(found) == ["uniform", "order 0", "order 2", "order 5", "xz"]
    assert found["uniform"].nats == pytest.approx(math.log(7))
    assert found["order 0"].nats == pytest.approx(math.log(5), abs=1e-3)
    assert found["order 2"].nats < 0.01  # only the first letter is open
    assert found["xz"].bits_per_character < 0.05
    assert [each.name for each in found.values() if each.simple] == ["uniform", "order 0", "order 2"]


def test_documents_pay_for_their_ends_and_know_their_beginnings(corpus_of) -> None:
    lines = [f"{word} {number}" for number in range(500) for word in ("one", "two")]
    corpus = corpus_of("\n".join(lines), documents="line", fractions=(80, 0, 20))
    held_out = HeldOut(corpus.test, corpus.vocabulary)
    count = len(corpus.test.documents) - 1
    symbols = corpus.test.characters + count
    expected = math.log(len(corpus.vocabulary)) * symbols / corpus.test.characters
    assert uniform(held_out).nats == pytest.approx(expected)
    whole_document = ngram(corpus.train, held_out, 3).nats * corpus.test.characters / count
    assert math.log(1000) < whole_document < math.log(1000) + 1  # as many are possible, equally likely


def test_xz_is_what_the_file_grows_by(corpus_of, data_folder, monkeypatch) -> None:
    monkeypatch.setattr(room, "XZ_TRAIN", 20_000)
    text = (data_folder / "tinyshakespeare.txt").read_text(encoding="utf-8")[:40_000]
    corpus = corpus_of(text, fractions=(90, 0, 10))
    train = corpus.train.text().encode("utf-8")[-20_000:]
    both = train + corpus.test.text().encode("utf-8")
    preset = 9 | lzma.PRESET_EXTREME
    grown = len(lzma.compress(both, preset=preset)) - len(lzma.compress(train, preset=preset))
    found = xz(corpus.train, corpus.test, HeldOut(corpus.test, corpus.vocabulary))
    assert found.bits_per_character == pytest.approx(8 * grown / 4000, abs=8 * 8 / 4000)  # its check aside
    assert found.fitted == 20_000


def test_xz_of_more_bytes_than_characters(corpus_of) -> None:
    draw = random.Random(1)
    corpus = corpus_of("".join(draw.choice("äöüßéèêñ") for _ in range(20_000)), fractions=(90, 0, 10))
    found = xz(corpus.train, corpus.test, HeldOut(corpus.test, corpus.vocabulary, limit=1000))
    assert (
        3 < found.bits_per_character < 6
    )  # three are in it, and xz sees two bytes where there is one letter


def test_a_vocabulary_too_large_for_order_5(corpus_of) -> None:
    text = "".join(chr(0x4E00 + k % 3000) for k in range(40_000))
    corpus = corpus_of(text, fractions=(90, 0, 10))
    found = baselines(corpus.train, corpus.test, corpus.vocabulary, limit=500)
    assert [each.name for each in found] == ["uniform", "order 0", "order 2", "order 4", "xz"]


def test_shakespeare_costs_less_the_more_is_known(corpus_of, data_folder: Path) -> None:
    text = (data_folder / "tinyshakespeare.txt").read_text(encoding="utf-8")
    corpus = corpus_of(text[:300_000], fractions=(90, 0, 10))
    found = {each.name: each.nats for each in baselines(corpus.train, corpus.test, corpus.vocabulary)}
    assert (
        found["uniform"] > 4 > found["order 0"] > 3 > found["order 2"] > found["xz"] > found["order 5"] > 1.3
    )
