"""Many texts in one file: every format, the same after an interruption, unique and novel where asked."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import charloom
from charloom import bulk, verdict
from charloom.character_model import CharacterModel
from charloom.errors import RunError, UsageError
from charloom.runtime.sample import Given
from charloom.text.corpus import Part

NAMES = ["anna", "berta", "carla", "dora", "emma", "frieda", "greta", "hanna", "ida", "johanna"]
OPTIONS = {"length": 12, "seed": 5}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CharacterModel:
    """A model of names, some of which it has learned by heart."""
    folder = tmp_path_factory.mktemp("names")
    lines = [name + ending for name in NAMES for ending in ("", "lina", "bella", "mira", "tine")]
    (folder / "names.txt").write_text("\n".join(lines * 8), encoding="utf-8")
    options = {"documents": "line", "steps": 120, "evaluate_steps": 60, "hidden": 32}
    options |= {"lanes": 8, "window": 16}
    return charloom.train(folder / "names.txt", out=folder / "run", **options)


@pytest.fixture(scope="module")
def training(model: CharacterModel) -> Part:
    assert model.path is not None
    return verdict.own_text(model.path, model.model, "train").part


def written(model: CharacterModel, out: Path, count: int, **limits: object) -> bulk.Progress:
    *_, last = bulk.write(model, out, count=count, options=OPTIONS, **limits)  # type: ignore[arg-type]
    return last


def direct(model: CharacterModel, count: int) -> list[str]:
    settings = model.settings(**OPTIONS)
    return [sample.text for sample in model.generator.sample_many(settings=settings, n=count, batch=7)]


@pytest.mark.parametrize("ending", [".txt", ".csv", ".jsonl", ".txt.gz", ".csv.gz", ".jsonl.gz"])
def test_every_format_holds_the_same_texts(model: CharacterModel, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"names{ending}"
    assert written(model, out, 300).written == 300
    data = gzip.decompress(out.read_bytes()) if ending.endswith(".gz") else out.read_bytes()
    lines = data.decode("utf-8").splitlines()
    if ".txt" in ending:
        found = lines
    elif ".csv" in ending:
        found = [row["text"] for row in csv.DictReader(lines)]
    else:
        found = [json.loads(line)["text"] for line in lines]
    assert found == direct(model, 300)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("ending", [".csv", ".txt.gz"])
def test_an_interrupted_file_goes_on_and_ends_the_same(
    model: CharacterModel,
    training: Part,
    tmp_path: Path,
    ending: str,
    unique: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk, "FLUSHED", 40)
    limits = {"unique": unique, "training": training}
    whole = tmp_path / f"whole{ending}"
    told = written(model, whole, 150, **limits)
    broken = tmp_path / f"broken{ending}"
    for _ in zip(range(2), bulk.write(model, broken, count=150, options=OPTIONS, **limits), strict=False):
        pass  # stopped after two writes
    part = tmp_path / f"broken{ending}.part"
    assert not broken.exists()
    with part.open("ab") as file:
        file.write(b"half a li")  # what a kill in the middle of a write leaves behind
    again = written(model, broken, 150, **limits)
    assert broken.read_bytes() == whole.read_bytes()
    assert (again.written, again.refused) == (told.written, told.refused)
    assert not part.exists()


def test_unique_texts_are_new_and_it_stops_when_none_come(
    model: CharacterModel, training: Part, tmp_path: Path
) -> None:
    out = tmp_path / "new.txt"
    options = {**OPTIONS, "temperature": 0.4}  # sure of itself, so that it says things twice
    *_, told = bulk.write(model, out, count=60, options=options, unique=True, training=training)
    found = out.read_text("utf-8").splitlines()
    assert len(found) == len(set(found)) == told.written == 60
    assert not set(found) & set(training.texts())
    assert told.refused > 0
    assert not told.exhausted

    few = tmp_path / "few.txt"
    options = {"length": 1, "only": "ab", "seed": 1}
    *_, last = bulk.write(model, few, count=50, options=options, unique=True)
    assert last.exhausted
    assert last.written == len(few.read_text("utf-8").splitlines()) < 50


def test_novel_texts_hold_no_long_passage(model: CharacterModel, training: Part, tmp_path: Path) -> None:
    out = tmp_path / "novel.txt"
    written(model, out, 40, novel=4, training=training)
    documents = list(training.texts())
    for text in out.read_text("utf-8").splitlines():
        for start in range(len(text) - 3):
            assert not any(text[start : start + 4] in document for document in documents)
    with pytest.raises(UsageError, match="novel needs the text"):
        written(model, tmp_path / "x.txt", 1, novel=4)


def test_what_cannot_be(model: CharacterModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.txt, \.csv, \.jsonl"):
        written(model, tmp_path / "names.docx", 1)
    (tmp_path / "there.txt").write_text("mine", "utf-8")
    with pytest.raises(RunError, match="exists"):
        written(model, tmp_path / "there.txt", 1)
    assert (tmp_path / "there.txt").read_text("utf-8") == "mine"
    next(bulk.write(model, tmp_path / "half.txt", count=600, options=OPTIONS))
    with pytest.raises(RunError, match="other settings"):
        next(bulk.write(model, tmp_path / "half.txt", count=600, options={**OPTIONS, "seed": 6}))


def test_texts_of_several_lines_are_parted_by_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "verse.txt").write_text("one line\nand one more\n" * 200, encoding="utf-8")
    options = {"steps": 3, "hidden": 8, "lanes": 2, "window": 16, "documents": "whole"}
    model = charloom.train(tmp_path / "verse.txt", out=tmp_path / "run", **options)
    *_, last = bulk.write(model, tmp_path / "out.txt", count=5, options={"length": 30, "only": "one"})
    assert last.written == 5
    assert len((tmp_path / "out.txt").read_text("utf-8").split("\n\n")) == 6


def test_shards_one_after_another_are_the_whole(model: CharacterModel, tmp_path: Path) -> None:
    """Whatever the number of processes; one that was interrupted goes on."""
    given = [Given(prompt) for prompt in ("a", "b", "c")]
    options = {"options": OPTIONS, "given": given, "count": 50}
    (*_, last) = bulk.write(model, tmp_path / "whole.jsonl", **options)  # type: ignore[arg-type]
    assert last.written == 150
    for rank in range(4):
        shard = (rank, 4)
        if rank == 2:
            next(bulk.write(model, tmp_path / "part.jsonl", shard=shard, **options))  # type: ignore[arg-type]
        list(bulk.write(model, tmp_path / "part.jsonl", shard=shard, **options))  # type: ignore[arg-type]
    parts = [tmp_path / f"part-0000{rank}-of-00004.jsonl" for rank in range(4)]
    joined = b"".join(path.read_bytes() for path in parts)
    assert joined == (tmp_path / "whole.jsonl").read_bytes()
    with pytest.raises(UsageError, match="one process writes them"):
        list(bulk.write(model, tmp_path / "u.txt", count=9, options=OPTIONS, unique=True, shard=(0, 2)))


def test_sample_reads_its_rank_without_torch(model: CharacterModel, tmp_path: Path) -> None:
    code = (
        "import sys; from charloom.cli import main\n"
        f"try: main(['sample', {str(model.path)!r}, '-n', '10', '--length', '5', '--out', 'n.txt'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "RANK": "1", "WORLD_SIZE": "2"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=300)
    assert [path.name for path in tmp_path.iterdir()] == ["n-00001-of-00002.txt"]
    assert len((tmp_path / "n-00001-of-00002.txt").read_text("utf-8").splitlines()) == 5
