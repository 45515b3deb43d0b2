"""Every command reads a text as `train` does: packed, marked, piped, in other encodings, as a table."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

import conditioned
from typed import here

GERMAN = "".join(f"Der Bär läuft über die Straße, {n} müde Katzen.\n" for n in range(300))
FORMS: dict[str, Callable[[str], bytes]] = {
    "plain.txt": lambda text: text.encode(),
    "a.txt.gz": lambda text: gzip.compress(text.encode()),
    "a.txt.bz2": lambda text: bz2.compress(text.encode("utf-16")),
    "a.txt.xz": lambda text: lzma.compress(text.encode()),
    "a.txt.zst": lambda text: zstandard.compress(text.encode()),
    "no-suffix": lambda text: gzip.compress(text.encode()),
    "marked.txt": lambda text: text.encode("utf-8-sig"),
    "windows.txt": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "mac.txt": lambda text: text.replace("\n", "\r").encode(),
    "wide.txt": lambda text: text.encode("utf-16"),
    "wider.txt": lambda text: text.encode("utf-32"),
    "apart.txt": lambda text: unicodedata.normalize("NFD", text).encode(),
    "old.txt": lambda text: text.encode("cp1252"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text in all forms, and a model of its lines that was trained on old.txt."""
    folder = tmp_path_factory.mktemp("forms")
    for name, form in FORMS.items():
        (folder / name).write_bytes(form(GERMAN))
    (folder / "few.txt").write_text(GERMAN[:300], encoding="utf-8")
    train = "train old.txt --encoding cp1252 --steps 2 --hidden 4 --documents line --out old"
    assert here(*train.split(), folder=folder).code == 0
    return folder


@pytest.fixture(scope="module")
def plain(folder: Path) -> str:
    """What `score` says of the text itself."""
    found = here("score", "old", "plain.txt", folder=folder)
    assert (found.code, found.err) == (0, "")
    return found.out


@pytest.mark.parametrize("name", FORMS)
def test_a_copy_in_any_form_is_the_same_text(folder: Path, plain: str, name: str) -> None:
    assert here("score", "old", name, folder=folder).out == plain
    found = json.loads(here("eval", "old", name, "--limit", "300", "--json", folder=folder).out)
    assert found["trained_on"]
    assert found["characters"] < 300
    if name == "plain.txt":
        few = json.loads(here("eval", "old", "few.txt", "--limit", "300", "--json", folder=folder).out)
        assert (few["trained_on"], few["carried"]["nats"]) == (False, found["carried"]["nats"])


@pytest.mark.parametrize("documents", ["whole", "blank"])
def test_a_whole_text_is_known_in_another_form_too(folder: Path, documents: str) -> None:
    train = f"train a.txt.gz few.txt --steps 2 --hidden 4 --documents {documents} --out {documents}"
    assert here(*train.split(), folder=folder).code == 0
    for name, seen in (("windows.txt", True), ("wide.txt", True), ("few.txt", True), ("old", False)):
        text = folder / name
        if name == "old":
            text = folder / "new.txt"
            text.write_text(GERMAN.replace("Bär", "Löwe"), encoding="utf-8")
        found = here("eval", documents, text, "--limit", "300", "--json", folder=folder)
        assert json.loads(found.out)["trained_on"] is seen, name


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other pipes")
def test_pipes_of_every_kind(folder: Path, plain: str) -> None:
    """Standard input under each of its names, what a shell substitutes, a named pipe; packed or not."""
    for name, form in (("-", "a.txt.gz"), ("/dev/stdin", "wide.txt"), ("/dev/fd/0", "old.txt")):
        assert here("score", "old", name, input=FORMS[form](GERMAN), folder=folder).out == plain
    os.mkfifo(folder / "pipe.txt")
    threading.Thread(target=(folder / "pipe.txt").write_bytes, args=(FORMS["a.txt.xz"](GERMAN),)).start()
    assert here("score", "old", "pipe.txt", folder=folder).out == plain
    charloom = f"{sys.executable} -m charloom"
    train = "train <(cat a.txt.gz) --validation /dev/stdin --steps 2 --hidden 4 --documents line --out piped"
    for typed in (f"{charloom} score old <(gzip -dc a.txt.gz)", f"cat a.txt.gz | {charloom} {train}"):
        found = subprocess.run(["bash", "-c", typed], cwd=folder, capture_output=True, timeout=300)
        assert found.returncode == 0, found.stderr
        assert found.stdout.decode() == plain or "train <(" in typed
    evaluated = here("eval", "piped", folder=folder)
    assert (evaluated.code, "came through standard input" in evaluated.err) == (1, True)
    assert json.loads(here("eval", "piped", "plain.txt", "--json", folder=folder).out)["trained_on"]
    twice = here("score", "old", "-", "/dev/stdin", folder=folder)
    assert (twice.code, twice.err) == (2, "charloom: -: can be read but once; name it once\n")


def test_bytes_that_do_not_fit_are_told_of_once(trained: Path, tmp_path: Path) -> None:
    """A model of UTF-8 goes on; with the encoding that is named to it, nothing is lost."""
    (tmp_path / "log.txt").write_bytes(b"the fog\n" * 40 + "caf\u00e9\nt\u00e9\n".encode("cp1252"))
    found = here("score", trained, "log.txt", folder=tmp_path)
    assert found.code == 0
    assert found.out.splitlines()[-1].endswith("\tt\ufffd")
    assert found.err == (
        "charloom: log.txt: byte 323 is not UTF-8; try --encoding cp1252; U+FFFD stands for such bytes\n"
    )
    for command in ("score", "eval"):
        refused = here(command, trained, "log.txt", folder=tmp_path)
        assert refused.code == (command == "eval")
        assert "try --encoding cp1252" in refused.err
        named = here(command, trained, "log.txt", "--encoding", "cp1252", folder=tmp_path)
        assert (named.code, named.err) == (0, "")
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    refused = here("score", trained, "picture", folder=tmp_path)
    assert (refused.code, refused.err) == (1, "charloom: picture: this is a PNG image; give a text\n")


def test_a_byte_model_scores_the_bytes_that_are_there(folder: Path) -> None:
    train = "train old.txt --unit byte --steps 2 --hidden 4 --documents line --out bytes"
    assert here(*train.split(), folder=folder).code == 0
    (record, *_) = here("score", "bytes", "old.txt", "--json", folder=folder).out.splitlines()
    found = json.loads(record)
    assert found["text"] == "Der B\ufffdr l\ufffduft \ufffdber die Stra\ufffde, 0 m\ufffdde Katzen."
    assert len(found["surprise"]) == len(found["text"])
    assert json.loads(here("eval", "bytes", "old.txt", "--json", "--limit", "99", folder=folder).out)[
        "trained_on"
    ]


def test_tables_folders_and_catalog_names_are_classified_and_scored(tmp_path: Path) -> None:
    conditioned.lay(tmp_path)
    rows = 'kind,year,text\neven,2004,a fine day\n,,"it rains"\n'
    (tmp_path / "in").mkdir()
    for name, data in (("a.csv.gz", gzip.compress(rows.encode("utf-16"))), ("b.csv", rows.encode())):
        (tmp_path / "in" / name).write_bytes(data)
    for command in ("classify kinds in --condition kind", "score kinds in"):
        found = here(*command.split(), folder=tmp_path)
        assert found.code == 0, found.err
        assert [line.rpartition("\t")[2] for line in found.out.splitlines()] == ["a fine day", "it rains"] * 2
    of_table = here("score", "kinds", "in/b.csv", folder=tmp_path).out.splitlines()[0]
    given = ("--condition", "kind=even,year=2004")
    assert of_table == here("score", "kinds", "-", *given, input=b"a fine day\n", folder=tmp_path).out.strip()
    lines = here(
        "classify", "kinds", "-", "--condition", "kind", input="é fog\r\n".encode("utf-16"), folder=tmp_path
    )
    assert lines.out.endswith("\té fog\n")


def test_a_prompt_file_is_read_as_the_text_was(folder: Path) -> None:
    shutil.copytree(folder / "old", folder / "copy", dirs_exist_ok=True)
    prompt = "Der Bär\n"
    write = "sample copy --length 5 --seed 1 --prompt-file"
    expected = here(*write.split()[:-1], "--prompt", prompt, folder=folder).out
    for name, form in FORMS.items():
        (folder / f"prompt-{name}").write_bytes(form(prompt))
        assert here(*write.split(), f"prompt-{name}", folder=folder).out == expected, name
        assert here(*write.split(), "-", input=form(prompt), folder=folder).out == expected, name
    missing = here(*write.split(), "nowhere.txt", folder=folder)
    assert (missing.code, missing.err) == (
        2,
        "charloom: nowhere.txt: there is no such file; give a text file\n",
    )
