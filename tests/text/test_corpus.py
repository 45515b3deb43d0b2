"""Texts become ids: layout, parts, losslessness."""

from __future__ import annotations

import io
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.errors import DataError, UsageError
from charloom.text.condition import Condition
from charloom.text.corpus import Corpus, DataConfig, Part, prepare
from charloom.text.documents import places
from charloom.text.vocabulary import BOS, BYTE, EOS, SEP, Vocabulary

ALL = DataConfig(fractions=(100, 0, 0))


def written(folder: Path, text: str | bytes, name: str = "book.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return path


def parts(corpus: Corpus) -> list[Part]:
    return [corpus.train, corpus.validation, corpus.test]


def documents_of(corpus: Corpus, part: Part) -> list[str]:
    """What the ids say, where no character is unknown."""
    assert part.documents is not None
    return [
        corpus.vocabulary.decode(part.ids[start:stop])
        for start, stop in zip(part.documents, part.documents[1:], strict=False)
    ]


def test_a_whole_text(data_folder: Path) -> None:
    text = (data_folder / "tinyshakespeare.txt").read_text(encoding="utf-8")
    corpus = prepare([data_folder / "tinyshakespeare.txt"])
    assert (corpus.name, corpus.documents) == ("tinyshakespeare", "whole")
    assert corpus.guess
    assert len(corpus.vocabulary) == 65 + 2
    assert list(corpus.vocabulary.specials) == [BOS, BYTE]
    cuts = [0, len(text) * 90 // 100, len(text) * 95 // 100, len(text)]
    for part, start, stop in zip(parts(corpus), cuts, cuts[1:], strict=False):
        assert part.ids.dtype == np.uint8
        assert part.ids[0] == corpus.vocabulary.bos
        assert corpus.vocabulary.decode(part.ids) == text[start:stop]
        assert part.text() == text[start:stop]
        assert "".join(part.blocks()) == text[start:stop]
        assert list(part.texts()) == [text[start:stop]]
        assert part.characters == part.bytes == stop - start == len(part.ids) - 1
        assert part.documents is None
        with pytest.raises(ValueError):
            part.ids[0] = 0
    assert corpus.provenance["characters"] == len(text)
    assert corpus.provenance["corpora"] == [
        {
            "name": "tinyshakespeare",
            "sha256": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            "files": 1,
        }
    ]


def test_the_published_test_items_of_ag_news(data_folder: Path) -> None:
    """S1 and S2: 7,600 labelled items, title, a space, description; 82 distinct characters."""
    corpus = prepare(["ag_news:test"], ALL)
    texts = list(corpus.train.texts())
    assert (corpus.name, corpus.documents, len(texts)) == ("ag_news-test", "row", 7600)
    assert len(corpus.vocabulary.characters) == len(set("".join(texts))) == 82
    assert list(corpus.vocabulary.specials) == [BOS, EOS, BYTE]
    (condition,) = corpus.conditions
    assert (condition.name, condition.values) == ("class", ("World", "Sports", "Business", "Sci/Tech"))
    assert condition.counts == (1900,) * 4
    assert texts[0].startswith("Fears for T N pension after talks Unions representing workers")
    assert corpus.train.labels[:3].tolist() == [[2], [3], [3]]
    assert np.bincount(corpus.train.labels[:, 0]).tolist() == [1900] * 4
    assert documents_of(corpus, corpus.train) == texts
    assert "research use only" in corpus.provenance["corpora"][0]["licence"]


def test_documents_have_their_ends_and_go_by_hash(tmp_path: Path) -> None:
    names = [f"name {i * i}" for i in range(400)]
    corpus = prepare(
        [written(tmp_path, "\n\n".join([*names, *names]))],
        DataConfig(documents="line", fractions=(60, 20, 20)),
    )
    bos, eos = corpus.vocabulary.bos, corpus.vocabulary.eos
    where: dict[str, int] = {}
    for number, (part, low, high) in enumerate(zip(parts(corpus), (0, 60, 80), (60, 80, 100), strict=True)):
        assert part.documents is not None
        texts = documents_of(corpus, part)
        assert texts == list(part.texts())
        assert list(part.texts(3)) == texts[:3]
        assert part.text() == "".join(texts)
        assert (part.ids[part.documents[:-1]] == bos).all()
        assert (part.ids[part.documents[1:] - 1] == eos).all()
        assert part.documents[-1] == len(part.ids)
        assert part.characters == sum(map(len, texts)) == len(part.ids) - 2 * len(texts)
        assert all(low <= at < high for at in places(text.encode() for text in texts))
        for text in texts:
            assert where.setdefault(text, number) == number
    assert set(where) == set(names)


def test_characters_come_from_the_training_part_alone(tmp_path: Path) -> None:
    corpus = prepare([written(tmp_path, "ab" * 45 + "c€c€c" + "d€ée\U00010348")])
    vocabulary = corpus.vocabulary
    assert vocabulary.characters == ("a", "b")
    byte = vocabulary.byte
    assert byte is not None
    assert corpus.validation.text() == "c€c€c"
    assert corpus.validation.ids.tolist() == [vocabulary.bos] + [byte] * (3 + 2 * 3)
    assert (corpus.validation.characters, corpus.validation.bytes) == (5, 9)
    assert corpus.test.text() == "d€ée\U00010348"
    assert corpus.test.bytes == len(corpus.test.ids) - 1 == 11


def test_unknown_characters_in_documents(tmp_path: Path) -> None:
    """Expanded characters move the starts of the documents behind them."""
    names = [f"n{i}" + "é" * (i % 3) for i in range(60)]
    validation = written(tmp_path, "\n".join(f"{chr(0x4E00 + i)} {i}" for i in range(40)), "held.txt")
    corpus = prepare(
        [written(tmp_path, "\n".join(names))],
        DataConfig(documents="line", fractions=(90, 0, 10), validation=str(validation)),
    )
    part = corpus.validation
    assert part.documents is not None
    assert list(part.texts()) == validation.read_text(encoding="utf-8").split("\n")
    assert np.diff(part.documents).tolist() == [2 + 3 + 1 + len(str(i)) for i in range(40)]
    assert (part.ids[part.documents[:-1]] == corpus.vocabulary.bos).all()
    assert part.bytes == len(validation.read_bytes()) - 39


@pytest.mark.parametrize("documents", ["whole", "line"])
def test_a_validation_file_leaves_its_share_to_training(tmp_path: Path, documents: str) -> None:
    lines = [f"line {i}" for i in range(200)]
    book = written(tmp_path, "\n".join(lines))
    held = written(tmp_path, "zx\nzy", "held.txt")
    data = DataConfig(documents=documents, validation=str(held), fractions=(50, 40, 10))  # type: ignore[arg-type]
    corpus = prepare([book], data)
    plain = prepare([book], DataConfig(documents=documents, fractions=(90, 0, 10)))  # type: ignore[arg-type]
    assert corpus.train.text() == plain.train.text()
    assert corpus.test.text() == plain.test.text()
    assert len(plain.validation.ids) == plain.validation.characters == 0
    assert corpus.validation.text().replace("\n", "") == "zxzy"
    assert "z" not in corpus.vocabulary.characters
    assert corpus.provenance["split"]["validation"] == "held"


def test_without_specials_there_are_none(tmp_path: Path) -> None:
    """As the lesson has it; what only held-out parts hold comes last in the vocabulary."""
    corpus = prepare([written(tmp_path, "ba" * 45 + "ccccc" + "ddddd")], specials=False)
    assert corpus.vocabulary == Vocabulary.of_characters("bacd")
    assert [part.ids.tolist() for part in parts(corpus)] == [[0, 1] * 45, [2] * 5, [3] * 5]
    lines = [f"{i}" * 3 for i in range(300)]
    corpus = prepare([written(tmp_path, "\n".join(lines))], DataConfig(documents="line"), specials=False)
    assert not corpus.vocabulary.specials
    assert sorted(text for part in parts(corpus) for text in documents_of(corpus, part)) == sorted(lines)


@pytest.mark.parametrize("documents", ["whole", "line"])
def test_bytes_are_the_file_exactly(tmp_path: Path, documents: str) -> None:
    content = bytes(range(256)) * 40 + b"\r\n\xef\xbb\xbf\x00"
    data = DataConfig(unit="byte", documents=documents, fractions=(100, 0, 0))  # type: ignore[arg-type]
    corpus = prepare([written(tmp_path, content)], data)
    assert corpus.train.ids.dtype == np.uint16
    assert len(corpus.vocabulary) == 256 + (1 if documents == "whole" else 2)
    held = bytes(corpus.train.ids[corpus.train.ids < 256].astype(np.uint8))
    assert held == (content if documents == "whole" else content.replace(b"\n", b""))
    assert corpus.train.utf8().tobytes() == held
    assert corpus.train.characters == corpus.train.bytes == len(held)
    assert prepare([written(tmp_path, content)], data, specials=False).train.ids.dtype == np.uint8


def test_a_wide_vocabulary_takes_wider_ids(tmp_path: Path) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 2
    corpus = prepare([written(tmp_path, text)], ALL)
    assert corpus.train.ids.dtype == np.uint16
    assert corpus.vocabulary.decode(corpus.train.ids) == text


@settings(max_examples=30)
@given(st.text(st.characters(exclude_characters="\0"), min_size=20), st.booleans())
def test_nothing_is_lost(text: str, exact: bool) -> None:
    """decode(encode(s)) == normalise(s), and == s with `normalize="none"`."""
    text = "ab" + text
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), text.encode("utf-16", "surrogatepass"))
        try:
            text.encode("utf-16")
        except UnicodeEncodeError:
            with pytest.raises(DataError, match=r"is not UTF-16|cut short"):
                prepare([path], ALL)
            return
        data = DataConfig(documents="whole", fractions=(60, 20, 20), normalize="none" if exact else "nfc")
        corpus = prepare([path], data)
        text = text if exact else unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
        assert "".join(part.text() for part in parts(corpus)) == text
        assert corpus.provenance["encoding"] == "utf-16"
        for part in parts(corpus):
            ids = corpus.vocabulary.encode(part.text())
            assert part.ids[1:].tolist() == corpus.vocabulary.rows(ids).tolist()
            assert part.bytes == len(part.text().encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_the_end_of_a_part_counts_its_own_characters(tmp_path: Path, unit: str) -> None:
    text = "Über ein año 日本 😀\n" * 200
    config = DataConfig(fractions=(100, 0, 0), unit=unit, documents="whole")
    part = prepare([written(tmp_path, text)], config).train
    end = part.end(1000)
    assert (end.characters, end.bytes) == (1000, len(end.utf8()))
    assert len(end.ids) == 1000
    data = text.encode() if unit == "byte" else text
    expected = data[-1000:] if isinstance(data, bytes) else data[-1000:].encode()
    assert end.utf8().tobytes() == expected
    for count, characters in ((0, 0), (-5, 0), (10**9, part.characters)):
        end = part.end(count)
        assert (len(end.ids), end.characters) == (min(max(count, 0), len(part.ids)), characters)
        assert end.bytes == (part.bytes if characters else 0)


def test_several_texts_are_one_after_another(tmp_path: Path) -> None:
    a, b = written(tmp_path, "one", "a.txt"), written(tmp_path, "two\n", "b.txt")
    corpus = prepare([a, b, a], ALL)
    assert corpus.train.text() == "one\ntwo\none"
    assert corpus.name == "a-and-2-more"
    assert [c["name"] for c in corpus.provenance["corpora"]] == ["a", "b", "a"]


def test_many_files_of_a_folder_are_documents(tmp_path: Path) -> None:
    for i in range(50):
        written(tmp_path, f"text {i}\nof two lines\n", f"{i:02}.txt")
    written(tmp_path, b"\0\1\2", "picture.png")
    written(tmp_path, "hidden", ".hidden")
    corpus = prepare([tmp_path], ALL)
    assert (corpus.documents, corpus.guess) == ("file", "50 files, each a document")
    assert list(corpus.train.texts()) == [f"text {i}\nof two lines\n" for i in range(50)]
    assert corpus.provenance["corpora"][0]["skipped"] == 1
    assert prepare([tmp_path], DataConfig(documents="whole")).train.documents is None


def test_standard_input(tmp_path: Path) -> None:
    corpus = prepare(["-"], ALL, stdin=io.BytesIO("Grüße\r\n".encode()))
    assert (corpus.name, corpus.train.text()) == ("stdin", "Grüße\n")
    with pytest.raises(DataError, match="no standard input"):
        prepare(["-"])
    with pytest.raises(UsageError, match="but once"):
        prepare(["-", "-"], stdin=io.BytesIO(b"ab"))


def test_columns_labels_and_sources_of_a_table(tmp_path: Path) -> None:
    rows = ["es,en,kind", "uno,one,odd", "dos,two,even", "tres,three,odd"]
    data = DataConfig(text=("en",), source="es", condition=("kind",), fractions=(100, 0, 0))
    corpus = prepare([written(tmp_path, "\n".join(rows), "pairs.csv")], data)
    part = corpus.train
    assert list(corpus.vocabulary.specials) == [BOS, EOS, SEP, BYTE]
    assert list(zip(part.sources(), part.texts(), strict=True)) == [
        ("uno", "one"),
        ("dos", "two"),
        ("tres", "three"),
    ]
    assert corpus.conditions == (Condition(name="kind", kind="label", values=("odd", "even"), counts=(2, 1)),)
    assert part.labels.tolist() == [[0], [1], [0]]
    assert part.characters == part.bytes == len("onetwothree")
    v = corpus.vocabulary
    first = [v.bos, *v.encode("uno"), v.sep, *v.encode("one"), v.eos]
    assert part.documents is not None
    assert part.ids[: part.documents[1]].tolist() == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"book\.txt: is empty"),
        (b"\xef\xbb\xbf", r"book\.txt: is empty"),
        (b"aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "nothing but 'a'"),
        (b"abc", "3 characters leave nothing for validation; .* --fractions"),
    ],
)
def test_texts_that_cannot_be_learned(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare([written(tmp_path, text)])


@pytest.mark.parametrize("fractions", [(90, 5, 5), (1, 49, 50), (95, 5, 0)], ids=str)
def test_of_a_few_documents_each_part_gets_one(tmp_path: Path, fractions: tuple[float, ...]) -> None:
    """Whatever their hashes are; the same in any order, and what repeats lies in one part."""
    data = DataConfig(text=("1",), fractions=fractions)  # type: ignore[arg-type]
    wanted = sum(map(bool, fractions))
    for number in range(12):
        for rows in (wanted, 30):
            different = rows if rows == wanted else rows - 1
            lines = [f"{row % 3},{number} {row % different}\n" for row in range(rows)]
            corpus = prepare([written(tmp_path, "".join(lines), "t.csv")], data)
            texts = [set(part.texts()) for part in parts(corpus)]
            assert [bool(each) for each in texts] == [bool(share) for share in fractions]
            assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]
            other = prepare([written(tmp_path, "".join(reversed(lines)), "t.csv")], data)
            assert [set(part.texts()) for part in parts(other)] == texts
    sizes = [len(each) for each in texts]
    assert max(abs(size - share * 0.29) for size, share in zip(sizes, fractions, strict=True)) < 2


def test_documents_beside_a_validation_file_are_tested_too(tmp_path: Path) -> None:
    held = written(tmp_path, "three", "held.txt")
    data = DataConfig(documents="line", validation=str(held))
    corpus = prepare([written(tmp_path, "one\ntwo\n")], data)
    assert [len(list(part.texts())) for part in parts(corpus)] == [1, 1, 1]


def test_enough_documents_are_split_by_hash_alone(tmp_path: Path) -> None:
    """More of them leave those that were there before in their parts."""
    names = [f"name {i}" for i in range(300)]
    few, more = (
        prepare([written(tmp_path, "\n".join(names[:count]))], DataConfig(documents="line"))
        for count in (200, 300)
    )
    for part, other in zip(parts(few), parts(more), strict=True):
        assert set(part.texts()) <= set(other.texts())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", ""), ("t.csv", "one line"), ("t.csv", "text,id\n"), ("t.json", "[]"), ("t.jsonl", "\n"),
        ("t.json", '[{"text": null}]'),
    ],
)  # fmt: skip
def test_a_table_without_a_text(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(DataError, match="no row has a text; give a table with a header and rows below"):
        prepare([written(tmp_path, content, name)])


def test_one_document_leaves_nothing_for_validation(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 documents leave nothing for validation"):
        prepare([written(tmp_path, "one\none\n")], DataConfig(documents="line"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fractions": (90, 5, 6)}, "90/5/6 are not three percentages"),
        ({"fractions": (110, -5, -5)}, "are not three percentages"),
        ({"fractions": (0, 50, 50)}, "nothing is left to train on"),
        ({"documents": "lines"}, "'lines' is none of auto, whole, line, blank"),
        ({"unit": "word"}, "unit"),
        ({"normalize": "nfd"}, "normalize"),
        ({"encoding": "klingon"}, "there is none called 'klingon'"),
        ({"encoding": "hex"}, "there is none called 'hex'"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DataConfig(**settings)  # type: ignore[arg-type]


def test_columns_of_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"book\.txt: is no table"):
        prepare([written(tmp_path, "ab" * 50)], DataConfig(text=("a",)))
    with pytest.raises(UsageError, match="the rows of a table are documents"):
        prepare([written(tmp_path, "text\nab", "t.csv")], DataConfig(documents="line"))


def test_ids_of_a_model_s_vocabulary(tmp_path: Path) -> None:
    """For scoring: any text, in the ids of a model that has never seen it."""
    book = written(tmp_path, "bbé")
    whole = prepare([book], ALL, vocabulary=Vocabulary.from_text("ab", (BOS, BYTE)))
    assert whole.train.ids.tolist() == [2, 1, 1, 3, 3]
    other = prepare([book], ALL, vocabulary=Vocabulary.from_text("bé", (BOS, BYTE)))
    assert other.train.ids.tolist() == [2, 0, 0, 1]
    assert prepare([written(tmp_path, "bbb")], ALL, vocabulary=other.vocabulary).train.characters == 3
    with pytest.raises(DataError, match="'b', is not in the vocabulary"):
        prepare([book], ALL, vocabulary=Vocabulary.from_text("xy"))
    with pytest.raises(UsageError, match="unit: the model's is 'byte'"):
        prepare([book], ALL, vocabulary=Vocabulary.of_bytes())


def test_a_validation_text_is_of_the_same_kind(tmp_path: Path) -> None:
    book, table = written(tmp_path, "ab" * 50), written(tmp_path, "text\nab\nba\n", "t.csv")
    with pytest.raises(UsageError, match=r"t\.csv is a table, but the training text is none"):
        prepare([book], DataConfig(validation=str(table)))
    with pytest.raises(UsageError, match=r"book\.txt is no table, but the training text is one"):
        prepare([table], DataConfig(validation=str(book)))
