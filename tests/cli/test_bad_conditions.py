"""Bad conditions and sources: told on one line, with what mends it, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bad_input import TINY, Case, check

CASES = [
    Case(
        "a label that is the same in every row",
        f"train same.csv --condition kind {TINY}",
        "same.csv: kind is 'x' in every row; leave it out",
    ),
    Case(
        "a label that hardly two rows share",
        f"train same.csv --condition rare {TINY}",
        "same.csv: rare has … values in 99 rows, and a condition is what many rows share; leave it out, "
        "or name it as --text or --source",
    ),
    Case(
        "a label that is missing everywhere",
        f"train same.csv --condition void {TINY}",
        "same.csv: void is empty in every row to train on; leave it out",
    ),
    Case(
        "an empty list of conditions",
        f"train same.csv --set data.condition=[] {TINY}",
        "--set data.condition: condition is empty; none trains without any",
        2,
    ),
    Case(
        "rows without text",
        f"train blank.csv --condition kind {TINY}",
        "blank.csv: no row has a text; give a table with a header and rows below",
    ),
    Case(
        "arrays of differing length",
        f"train arrays.jsonl --condition image {TINY}",
        "arrays.jsonl: image of line 2 has 1 numbers, those before it 2; fix the row",
    ),
    Case(
        "an array with NaN",
        f"train nan.jsonl --condition image {TINY}",
        "nan.jsonl: image of line 1 holds NaN or infinity; fix the row",
    ),
    Case(
        "a condition for a text that is no table",
        f"train text.txt --condition kind {TINY}",
        "text.txt: is no table by its name, so it has no columns; rename it to .csv, .tsv or .json, or leave "
        "out columns and delimiter",
        2,
    ),
    Case(
        "a condition for a model without one",
        "sample run --condition Sports",
        "condition: the model was trained without any; leave it out",
        2,
    ),
    Case(
        "an unknown value of a condition",
        "sample kinds --condition kind=eve,year=2003",
        "condition kind: the model knows no 'eve'; did you mean even?",
        2,
    ),
    Case(
        "an unknown condition",
        "sample kinds --condition kin=even,year=2003",
        "condition kin: the model has none of this name; did you mean kind?",
        2,
    ),
    Case(
        "a bare value for several conditions",
        "sample kinds --condition even",
        "condition even: there are kind, year; say which, as kind=even",
        2,
    ),
    Case(
        "an unknown condition to go through",
        "sample label --condition kind=odd --each colour",
        "--each colour: the model has no labels of this name; there are kind",
        2,
    ),
    Case(
        "an array file that is none",
        "sample image --condition-array text.txt",
        "text.txt: is not a .npy file of numbers; save it with numpy.save",
        2,
    ),
    Case(
        "an array of another size",
        "sample image --condition-array long.npy",
        "condition image: 5 numbers were given; it takes 4",
        2,
    ),
    Case(
        "a model that translates, and no source",
        "sample pairs",
        "the model writes what belongs to a source; give one, as --source TEXT",
        2,
    ),
    Case(
        "a source for a model that does not translate",
        "sample run --source uno",
        "source: the model was not trained to translate; leave it out",
        2,
    ),
    Case(
        "classification by a model without labels",
        "classify run text.txt",
        "classify: the model has no labels; train with --condition COLUMN",
        2,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.when)
def test_it_is_told_on_one_line_and_nothing_is_lost(either, folder: Path, case: Case) -> None:
    check(either, folder, case)


def test_a_source_of_100_000_characters_is_read_and_told(charloom, folder: Path) -> None:
    config = json.loads((folder / "pairs" / "config.json").read_text("utf-8"))
    config["provenance"]["longest_source"] = 60
    (folder / "pairs" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = charloom("sample", "pairs", "--source", "a tale " * 14_285 + "12345", "--length", "9")
    assert found.code == 0
    assert "the source has 100,000 characters, and the longest learned 60; what comes of it" in found.err


def test_a_condition_that_is_not_given_is_told(charloom, folder: Path) -> None:
    found = charloom("sample", "kinds", "--condition", "year=2003", "--length", "9")
    assert found.code == 0
    assert "charloom: kind not given, so the text may be of any" in found.err.splitlines()
