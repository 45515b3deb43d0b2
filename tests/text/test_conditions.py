"""What documents depend on, from tables, JSON lines and `.npz` files to numbers beside the ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charloom.errors import DataError, UsageError
from charloom.text.condition import Condition
from charloom.text.corpus import DataConfig, Part, prepare

ALL = (100, 0, 0)
PIXELS = np.arange(24, dtype=np.float64).reshape(6, 2, 2)
WORDS = ["nil", "one", "two", "three", "four", "five"]


def table(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def vectors(part: Part, conditions: Any) -> Any:
    assert part.documents is not None
    return part.vectors(conditions, np.arange(len(part.documents) - 1))


def test_several_labels_and_missing_ones(tmp_path: Path) -> None:
    rows = ["a b,Ann,2003", "c d,Bob,2004", "e f,,2003", "g h, Ann ,"]
    path = table(tmp_path / "t.csv", "text,author,year", rows)
    corpus = prepare([path], DataConfig(condition=("author", "year"), fractions=ALL))
    assert corpus.conditions == (
        Condition(name="author", kind="label", values=("Ann", "Bob"), counts=(2, 1)),
        Condition(name="year", kind="label", values=("2003", "2004"), counts=(2, 1)),
    )
    assert corpus.train.labels.tolist() == [[0, 0], [1, 1], [-1, 0], [0, -1]]
    assert vectors(corpus.train, corpus.conditions).tolist() == [
        [1, 0, 1, 1, 0, 1],
        [0, 1, 1, 0, 1, 1],
        [0, 0, 0, 1, 0, 1],
        [1, 0, 1, 0, 0, 0],
    ]


def test_labels_of_held_out_rows_alone_are_unknown(tmp_path: Path) -> None:
    rows = [f"text number {i},{'rare' if i == 7 else 'odd' if i % 2 else 'even'}" for i in range(200)]
    path = table(tmp_path / "t.csv", "text,kind", rows)
    held_out = table(tmp_path / "v.csv", "text,kind", ["new,odd", "newer,unheard", "newest,even"])
    data = DataConfig(condition=("kind",), validation=str(held_out), fractions=(50, 0, 50))
    corpus = prepare([path], data)
    (kind,) = corpus.conditions
    texts, labels = list(corpus.validation.texts()), corpus.validation.labels[:, 0].tolist()
    told = {text: kind.values[n] if n >= 0 else None for text, n in zip(texts, labels, strict=True)}
    assert told == {"new": "odd", "newer": None, "newest": "even"}
    assert sum(kind.counts) == len(corpus.train.labels)
    for part in (corpus.train, corpus.test):
        for text, (number,) in zip(part.texts(), part.labels.tolist(), strict=True):
            i = int(text.split()[-1])
            expected = "rare" if i == 7 else "odd" if i % 2 else "even"
            assert (kind.values[number] if number >= 0 else "rare") == expected


def npz(path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), image=PIXELS, other=np.zeros(3))
    return table(path, "caption,kind", [f"{word},{'ab'[i % 2]}" for i, word in enumerate(WORDS)])


def jsonl(path: Path) -> Path:
    rows = [
        {"caption": word, "kind": "ab"[i % 2], "image": PIXELS[i].tolist()} for i, word in enumerate(WORDS)
    ]
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("write", [npz, jsonl])
def test_arrays_beside_a_table_or_in_it(write: Callable[[Path], Path], tmp_path: Path) -> None:
    data = DataConfig(text=("caption",), condition=("kind", "image"), fractions=ALL)
    corpus = prepare([write(tmp_path / "t.csv")], data)
    _, image = corpus.conditions
    train = corpus.train.arrays
    assert (image.kind, image.size) == ("array", 4)
    assert image.mean == pytest.approx(train.mean())
    assert image.deviation == pytest.approx(train.std())
    for text, array in zip(corpus.train.texts(), corpus.train.arrays, strict=True):
        assert array.tolist() == PIXELS[WORDS.index(text)].ravel().tolist()


def test_arrays_beside_lines(tmp_path: Path) -> None:
    path = table(tmp_path / "t.txt", WORDS[0], [WORDS[1], "", *WORDS[3:]])
    np.savez(tmp_path / "t.npz", image=PIXELS)
    data = DataConfig(documents="line", condition=("image",), fractions=ALL)
    corpus = prepare([path], data)
    assert list(corpus.train.texts()) == [*WORDS[:2], *WORDS[3:]]
    assert corpus.train.arrays[2].tolist() == PIXELS[3].ravel().tolist()
    assert corpus.provenance["without_text"] == 1
    np.savez(tmp_path / "t.npz", image=-PIXELS)
    assert prepare([path], data).train.arrays[2].tolist() == (-PIXELS[3]).ravel().tolist()
    with pytest.raises(DataError, match=r"t\.txt: pixels is no array in an \.npz beside it"):
        prepare([path], DataConfig(documents="line", condition=("pixels",), fractions=ALL))
    (tmp_path / "t.npz").unlink()
    with pytest.raises(UsageError, match="is no table by its name, so it has no columns"):
        prepare([path], data)


def test_several_texts_are_columns(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "title,body", ["One,\tfirst", ",second", " , "])
    corpus = prepare([path], DataConfig(text=("title", "body"), fractions=ALL))
    assert list(corpus.train.texts()) == ["One\t first", "\tsecond"]
    assert corpus.provenance["columns"] == ["title", "body"]
    assert corpus.provenance["without_text"] == 1


LINES = '{"text": "a", "x": [1, 2]}\n{"text": "b", "x": %s}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "text,x\na,1\nb,1\n", r"t\.csv: x is '1' in every row; leave it out"),
        ("t.csv", "text,x\na,\nb, \n", r"t\.csv: x is empty in every row to train on; leave it out"),
        (
            "t.csv",
            "text,x\n" + "".join(f"a{i},{i // 3 * 2}{i % 3 % 2}\n" for i in range(60)),
            r"t\.csv: x has 40 values in 60 rows, and a condition is what many rows share",
        ),
        ("t.csv", "text,x\n,1\n ,2\n", r"t\.csv: no row has a text"),
        ("t.csv", "text,y\na,1\n", r"t\.csv: there is no column 'x'; there are text, y"),
        ("t.jsonl", LINES % "[1]", r"t\.jsonl: x of line 2 has 1 numbers, those before it 2; fix the row"),
        ("t.jsonl", LINES % "[1, NaN]", r"t\.jsonl: x of line 2 holds NaN or infinity; fix the row"),
        ("t.jsonl", LINES % "[]", r"t\.jsonl: x of line 2 is empty; fix the row"),
        ("t.jsonl", LINES % '["a", 1]', r"t\.jsonl: x of line 2 is a list, but not of numbers; fix the row"),
        ("t.jsonl", LINES % '"a"', r"t\.jsonl: x is a label in some rows and an array in others; mend them"),
        (
            "t.jsonl",
            LINES % '{"a": 1}',
            r"t\.jsonl: x of line 2 is an object, not text; name a field of it, such as x\.a",
        ),
    ],
)
def test_conditions_that_tell_nothing_or_do_not_fit(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        prepare([tmp_path / name], DataConfig(condition=("x",), fractions=ALL))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 4))}, r"t\.csv: has 3 documents, but x beside it has 2 rows; give as many"),
        ({"x": np.zeros((4, 4))}, r"t\.csv: has 3 documents, but x beside it has 4 rows; give as many"),
        ({"x": np.full((3, 2), np.nan)}, r"t\.npz: x: row 0 holds NaN or infinity"),
        ({"x": np.array(["a", "b", "c"])}, r"t\.npz: x is no array of numbers"),
        ({"x": np.array([{}, {}, {}])}, r"t\.npz: is no \.npz of plain arrays"),
        ({"y": np.zeros((3, 2))}, r"t\.csv: there is no column 'x'; there are text"),
        (b"PK\x03\x04 broken", r"t\.npz: is no \.npz of plain arrays"),
        (b"broken", r"t\.npz: is no \.npz of plain arrays"),
    ],
)
def test_broken_arrays_beside(tmp_path: Path, arrays: Any, message: str) -> None:
    path = table(tmp_path / "t.csv", "text", ["a", "b", "c"])
    if isinstance(arrays, bytes):
        (tmp_path / "t.npz").write_bytes(arrays)
    else:
        np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=message):
        prepare([path], DataConfig(condition=("x",), fractions=ALL))


def test_a_missing_array_is_unknown(tmp_path: Path) -> None:
    rows = [{"text": "a", "x": [1, 3]}, {"text": "b", "x": None}, {"text": "c"}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    corpus = prepare([tmp_path / "t.jsonl"], DataConfig(condition=("x",), fractions=ALL))
    assert vectors(corpus.train, corpus.conditions).tolist() == [[-1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_the_catalog_knows_the_classes(data_folder: Path) -> None:
    data = DataConfig(condition=("class",), fractions=(80, 10, 10))
    assert prepare(["ag_news:test"], data).conditions[0].values[1] == "Sports"
    path = data_folder / "ag_news" / "test.csv"
    by_number = prepare([path], DataConfig(text=("1", "2"), condition=("0",), fractions=(80, 10, 10)))
    assert sorted(by_number.conditions[0].values) == ["1", "2", "3", "4"]
    assert "\t" in next(by_number.train.texts())


def test_documents_of_one_text_are_dealt_by_what_else_they_are(tmp_path: Path) -> None:
    """Many images have one caption: each must be in every part. What repeats wholly does not straddle."""
    rows = [f"{word},{'ab'[k % 2]}" for word in WORDS for k in range(40)] * 2
    path = table(tmp_path / "t.csv", "caption,kind", rows)
    images = np.tile(np.arange(len(WORDS) * 40)[:, None], (2, 3))
    np.savez(tmp_path / "t.npz", image=images)
    data = DataConfig(text=("caption",), condition=("image", "kind"), fractions=(60, 20, 20))
    corpus = prepare([path], data)
    where: dict[float, str] = {}
    for name in ("train", "validation", "test"):
        part = getattr(corpus, name)
        assert set(part.texts()) == set(WORDS)
        for image in part.arrays[:, 0].tolist():
            assert where.setdefault(image, name) == name
    by_text = prepare([path], DataConfig(text=("caption",), condition=("kind",), fractions=(60, 20, 20)))
    assert not set(by_text.train.texts()) & set(by_text.test.texts())
