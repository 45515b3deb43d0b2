"""The examples of conditions and sources run; S11, S12 and S13 hold from the command line."""

from __future__ import annotations

import csv
import io
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from typed import here

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def charloom(*arguments: object, folder: Path) -> str:
    found = here(*arguments, folder=folder)
    assert found.code == 0, found.err
    return found.out


def test_the_example_of_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"the cat sat {n},animal\nthe bus left {n},vehicle\n" for n in range(60))
    (tmp_path / "items.csv").write_text("text,label\n" + rows, encoding="utf-8")
    example("news_by_class")(tmp_path / "items.csv", "text", "label", 0.02, tmp_path / "run")
    assert {line.split(":")[0] for line in capsys.readouterr().out.splitlines()} >= {"animal", "vehicle"}


def test_the_example_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("digit_captions")(0.2, tmp_path)
    assert "of 300 right in both languages" in capsys.readouterr().out


def test_the_example_of_translation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("translate_numbers")(300, 1, tmp_path)
    assert "of 200 exact" in capsys.readouterr().out


def test_labels_arrays_and_sources_from_the_command_line(tmp_path: Path) -> None:
    """Every pair is learned by heart: a text ends where it ends (S11), by its label and image (S12), after
    its source (S13).
    """
    words = {"uno": "one", "dos": "two", "tres": "three"}
    rows = [(es, en, str.upper if k else str, k) for es, en in words.items() for k in (0, 1)] * 12
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["es", "en", "size"])
        writer.writerows((es, case(en), ["small", "large"][k]) for es, en, case, k in rows)
    ink = {es: np.eye(3)[i] * 200 for i, es in enumerate(words)}
    np.savez(tmp_path / "t.npz", image=[ink[es] for es, *_ in rows])
    common = (
        "--text en --steps 250 --hidden 32 --fractions 100/0/0 --set train.rate=0.02 --set train.threads=1"
    )
    common += " --set train.lanes=12 --set train.patience=0 --set model.dropout=0"
    charloom("train", "t.csv", *common.split(), "--condition", "size,image", "--out", "run", folder=tmp_path)
    np.save(tmp_path / "two.npy", ink["dos"])
    given = ("--condition", "large", "--condition-array", "two.npy", "--greedy")
    assert charloom("sample", "run", *given, folder=tmp_path) == "TWO\n"
    each = charloom(
        "sample", "run", "--each", "size", "-n", 4, "--condition-array", "two.npy", "--temperature", 0.3,
        "--out", "items.csv", folder=tmp_path,
    )  # fmt: skip
    assert each == ""
    written = list(csv.DictReader(io.StringIO((tmp_path / "items.csv").read_text("utf-8"))))
    assert [(row["size"], row["text"]) for row in written] == [("small", "two")] * 4 + [("large", "TWO")] * 4
    found = charloom("sample", "run", "--each", "size", "-n", 2, *given[2:], folder=tmp_path)
    heads = [line.strip("─ ").partition(", ")[2] for line in found.splitlines() if line.startswith("──")]
    assert heads == [f"size {size}, text {number}" for size in ("small", "large") for number in (1, 2)]
    told = json.loads(charloom("info", "run", "--json", folder=tmp_path))["conditions"]
    assert told == {"size": {"small": 36, "large": 36}, "image": "3 numbers"}
    (tmp_path / "new.txt").write_text("one\nTHREE\n", encoding="utf-8")
    lines = charloom("classify", "run", "new.txt", "--json", folder=tmp_path).splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["small", "large"]
    charloom("train", "t.csv", *common.split(), "--source", "es", "--out", "pairs", folder=tmp_path)
    found = charloom("sample", "pairs", "--source", "tres", "--greedy", folder=tmp_path)
    assert found.strip().lower() == "three"
    evaluated = json.loads(charloom("eval", "pairs", "--part", "train", "--json", folder=tmp_path))
    assert evaluated["characters"] == sum(len(en) for _, en, *_ in rows)
    assert evaluated["carried"]["nats"] < 0.5


@pytest.mark.slow
def test_most_digits_are_named_right_in_two_languages(tmp_path: Path) -> None:
    assert example("digit_captions")(40, tmp_path) >= 0.95 * 300


@pytest.mark.slow
def test_most_numbers_are_translated(tmp_path: Path) -> None:
    assert example("translate_numbers")(20_000, 6, tmp_path) >= 0.95 * 200
