"""Ids and back: the lesson's numbers, losslessness for every string, and a reader that trusts nobody."""

from __future__ import annotations

import json
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import DataError, ModelError
from charloom.text import vocabulary as vocabulary_module
from charloom.text.vocabulary import (
    BOS,
    BYTE,
    EOS,
    POINTS,
    SEP,
    SPECIALS,
    Special,
    Utf8Decoder,
    Vocabulary,
    code_points,
)

LESSON = (
    "Wall St. Bears Claw Back Into the Black (Reuters) Reuters - Short-sellers, Wall Street's "
    "dwindling\\band of ultra-cynics, are seeing green again."
)
TEXTS = st.text(st.characters())  # every code point, lone surrogates among them


def test_the_lessons_ids() -> None:
    """S2 and S3: ids by first appearance in the first training text, specials behind them."""
    vocabulary = Vocabulary.from_text(LESSON, SPECIALS)
    assert len(LESSON) == 144
    assert "".join(map(str, vocabulary.characters)) == "Wal St.BersCwckInoh(Ru)-,'dig\\bfy"
    assert vocabulary.specials == {BOS: 33, EOS: 34, SEP: 35, BYTE: 36}
    ids = vocabulary.encode(LESSON)
    assert ids.dtype == np.int32
    assert ids[:20].tolist() == [0, 1, 2, 2, 3, 4, 5, 6, 3, 7, 8, 1, 9, 10, 3, 11, 2, 1, 12, 3]
    assert ids[-7:].tolist() == [3, 1, 28, 1, 27, 16, 6]


@given(TEXTS, TEXTS)
def test_every_string_comes_back(learned: str, text: str) -> None:
    for vocabulary in (Vocabulary.from_text(learned, (BOS, BYTE)), Vocabulary.of_bytes((BOS,))):
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == text
        rows = vocabulary.rows(ids)
        assert len(rows) == len(ids)
        assert ((rows >= 0) & (rows < len(vocabulary))).all()


@given(TEXTS, TEXTS)
def test_unknown_characters_are_their_utf8_bytes(learned: str, text: str) -> None:
    """The plain twin: one character at a time."""
    vocabulary = Vocabulary.from_text(learned, (BYTE,))
    expected: list[int] = []
    for character in text:
        if character in learned:
            expected.append(vocabulary.characters.index(character))
        else:
            expected += [len(vocabulary) + b for b in character.encode("utf-8", "surrogatepass")]
    assert vocabulary.encode(text).tolist() == expected
    assert vocabulary.rows(expected).tolist() == [min(i, len(vocabulary.characters)) for i in expected]


@given(TEXTS, TEXTS, st.randoms())
def test_pieces_decode_like_the_whole(learned: str, text: str, random: object) -> None:
    for vocabulary in (Vocabulary.from_text(learned, (BYTE,)), Vocabulary.of_bytes()):
        decoder, pieces = vocabulary.decoder(), []
        ids = vocabulary.encode(text).tolist()
        while ids:
            size = random.randint(1, 3)  # type: ignore[attr-defined]
            pieces.append(decoder.feed(ids[:size]))
            ids = ids[size:]
        assert all(piece in text for piece in pieces)
        assert decoder.flush() == ""
        assert "".join(pieces) == text


@given(st.lists(st.integers(0, 600), max_size=20), st.randoms())
def test_few_ids_decode_as_many_do(ids: list[int], random: object) -> None:
    """The quick way for short pieces says what the plain one does: specials, bytes and halves among them."""
    for vocabulary in (Vocabulary.from_text("aé€😀", (EOS, BYTE)), Vocabulary.of_bytes((EOS,))):
        known = [i % len(vocabulary.spelling[0]) for i in ids]
        quick, plain = vocabulary.decoder(), vocabulary.decoder()
        while known:
            size = random.randint(1, 3)  # type: ignore[attr-defined]
            found = quick.feed(np.array(known[:size], np.int32))
            with mock.patch.object(vocabulary_module, "FEW", -1):
                assert found == plain.feed(known[:size])
            known = known[size:]
        assert quick.flush() == plain.flush()


@given(st.binary())
def test_any_bytes_decode_in_any_pieces(data: bytes) -> None:
    vocabulary = Vocabulary.of_bytes()
    assert vocabulary.encode(data).tolist() == list(data)
    decoder = Utf8Decoder()
    pieces = "".join(decoder.decode(data[i : i + 1]) for i in range(len(data))) + decoder.decode(b"", True)
    whole = vocabulary.decode(list(data))
    assert pieces == whole
    if "\ufffd" not in whole:
        assert whole.encode("utf-8", "surrogatepass") == data


def test_much_garbage_decodes() -> None:
    assert Vocabulary.of_bytes().decode(np.full(100_000, 0xFF)) == "\ufffd" * 100_000


def test_half_a_character_is_held_back() -> None:
    vocabulary = Vocabulary.from_text("ab", (BYTE,))
    decoder = vocabulary.decoder()
    first, *rest = vocabulary.encode("é")
    assert decoder.feed(first) == ""
    assert decoder.feed(rest) == "é"
    assert decoder.feed([first]) == ""
    assert decoder.feed(vocabulary.encode("a")) == "\ufffda"
    assert decoder.feed([first]) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""


def test_specials_give_no_text_and_text_gives_no_specials() -> None:
    vocabulary = Vocabulary.from_text("<eos>", SPECIALS)
    ids = vocabulary.encode("<eos>")
    assert ids.tolist() == [0, 1, 2, 3, 4]
    assert (
        vocabulary.decode([vocabulary.bos, *ids, vocabulary.eos, vocabulary.sep, vocabulary.byte]) == "<eos>"
    )  # type: ignore[list-item]


def test_stand_ins_become_specials() -> None:
    vocabulary = Vocabulary.from_text("ab", (BOS, EOS, BYTE))
    points = np.array([POINTS, ord("a"), ord("c"), POINTS + 1], dtype=np.uint32)
    assert vocabulary.encode_points(points).tolist() == [2, 0, 5 + ord("c"), 3]
    assert code_points("aé").tolist() == [ord("a"), ord("é")]


def test_an_unknown_character_without_byte_is_named() -> None:
    with pytest.raises(DataError, match="character 2 of the text, 'é'"):
        Vocabulary.from_text("ab").encode("abé")


def test_an_id_out_of_range_is_refused() -> None:
    vocabulary = Vocabulary.from_text("ab", (BYTE,))
    assert vocabulary.decode([3 + 65]) == "A"
    for ids in ([259], [-1]):
        with pytest.raises(DataError, match="this vocabulary has 0 to 258"):
            vocabulary.decode(ids)


def test_extended_keeps_every_id() -> None:
    old = Vocabulary.from_text("ab", (BOS, BYTE))
    new = old.extended("cabc\ud800")
    assert new.tokens == ("a", "b", Special(BOS), Special(BYTE), "c", "\ud800")
    assert new.characters == ("a", "b", "c", "\ud800")
    assert new.specials == old.specials
    assert new.decode(new.encode("abc\ud800é")) == "abc\ud800é"
    assert Vocabulary.of_bytes().extended("é") == Vocabulary.of_bytes()


@given(TEXTS, st.lists(st.sampled_from(SPECIALS), unique=True))
def test_json_and_back(text: str, specials: list[str]) -> None:
    vocabularies = [Vocabulary.from_text("a" + text, specials).extended("\U0001f600")]
    if BYTE not in specials:
        vocabularies.append(Vocabulary.of_bytes(specials))
    for vocabulary in vocabularies:
        assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


def test_json_reads_as_the_format_says() -> None:
    assert Vocabulary.from_text("Wa", (BOS,)).to_json() == {
        "format": 1,
        "unit": "char",
        "ids": ["W", "a", {"special": "<bos>"}],
    }
    assert Vocabulary.of_bytes().to_json()["ids"][:2] == [{"byte": 0}, {"byte": 1}]


BYTES = [{"byte": b} for b in range(256)]


@pytest.mark.parametrize(
    "obj",
    [
        None,
        [],
        {},
        {"format": True, "unit": "char", "ids": ["a"]},
        {"format": 0, "unit": "char", "ids": ["a"]},
        {"format": 2, "unit": "char", "ids": ["a"]},
        {"format": 1, "unit": "word", "ids": ["a"]},
        {"format": 1, "unit": ["char"], "ids": ["a"]},
        {"format": 1, "unit": "char", "ids": []},
        {"format": 1, "unit": "char", "ids": "ab"},
        {"format": 1, "unit": "char", "ids": ["ab"]},
        {"format": 1, "unit": "char", "ids": [""]},
        {"format": 1, "unit": "char", "ids": [7]},
        {"format": 1, "unit": "char", "ids": [["a"]]},
        {"format": 1, "unit": "char", "ids": ["a", "a"]},
        {"format": 1, "unit": "char", "ids": ["a", {"byte": 1}]},
        {"format": 1, "unit": "char", "ids": ["a", {"special": "<pad>"}]},
        {"format": 1, "unit": "char", "ids": ["a", {"special": "<bos>", "byte": 1}]},
        {"format": 1, "unit": "char", "ids": ["a", {"special": "<bos>"}, {"special": "<bos>"}]},
        {"format": 1, "unit": "char", "ids": ["a"] * (POINTS + 5)},
        {"format": 1, "unit": "byte", "ids": ["a"]},
        {"format": 1, "unit": "byte", "ids": BYTES[:255]},
        {"format": 1, "unit": "byte", "ids": BYTES[::-1]},
        {"format": 1, "unit": "byte", "ids": [*BYTES, {"byte": 256}]},
        {"format": 1, "unit": "byte", "ids": [*BYTES, {"byte": True}]},
        {"format": 1, "unit": "byte", "ids": [*BYTES, {"special": "<byte>"}]},
    ],
)
def test_damaged_json_is_refused(obj: object) -> None:
    with pytest.raises(ModelError, match=r"^vocab\.json: "):
        Vocabulary.from_json(obj)
