"""The cache: keyed by content, rebuilt when damaged, done without where it cannot be written."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from charloom.text import cache
from charloom.text.config import Progress
from charloom.text.corpus import FORMAT, KEYS, DataConfig, prepare
from charloom.text.vocabulary import Vocabulary
from typed import here

ALL = DataConfig(fractions=(100, 0, 0))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests leave unfinished entries in the one they share."""
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "own-cache"))


def written(folder: Path, text: str | bytes, name: str = "book.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no passwd")
def test_a_user_without_a_home_folder_has_a_temporary_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("CHARLOOM_CACHE", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = cache.folder("corpora")
    assert folder.is_dir()
    assert folder.is_absolute()
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_used_and_keyed_by_content(tmp_path: Path) -> None:
    book = written(tmp_path, "ab" * 100)
    doing: list[str] = []

    def watch(progress: Progress) -> None:
        assert progress.total is None or progress.done <= progress.total
        doing.append(progress.doing)

    first = prepare([book], progress=watch)
    assert set(doing) == {"checking", "reading", "encoding"}
    doing.clear()
    again = prepare([shutil.copy(book, tmp_path / "copy.txt")], progress=watch)
    assert set(doing) == {"checking"}
    assert (again.folder, again.name) == (first.folder, "copy")
    assert prepare([book], DataConfig(fractions=(80, 10, 10))).folder != first.folder
    assert prepare([book], specials=False).folder != first.folder
    written(tmp_path, "ba" * 100)
    assert prepare([book]).folder != first.folder
    assert not list(first.folder.parent.glob("new-*"))


@pytest.mark.parametrize("name", ["train.ids", "meta.json", "whole.text"])
@pytest.mark.parametrize("damage", ["removed", "cut", "altered"])
def test_a_damaged_cache_entry_is_rebuilt(tmp_path: Path, name: str, damage: str) -> None:
    book = written(tmp_path, "abc" * 100)
    whole = prepare([book])
    ids = np.array(whole.train.ids)
    victim = whole.folder / name
    content = victim.read_bytes()
    if damage == "removed":
        victim.unlink()
    else:
        victim.write_bytes(content[:-1] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    again = prepare([book])
    assert again.folder == whole.folder
    assert np.array_equal(again.train.ids, ids)
    assert victim.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = written(tmp_path, "not a folder", "cache")
    monkeypatch.setenv("CHARLOOM_CACHE", str(blocked))
    corpus = prepare([written(tmp_path, "ab" * 50)], ALL)
    assert corpus.train.text() == "ab" * 50
    assert blocked.read_text(encoding="utf-8") == "not a folder"


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    root = prepare([written(tmp_path, "ab" * 50)]).folder.parent
    for name, age in (("new-old", 3 * 24 * 3600), ("new-young", 3600)):
        (root / name / "entry").mkdir(parents=True)
        os.utime(root / name, (time.time() - age,) * 2)
    prepare([tmp_path / "book.txt"])
    assert [path.name for path in root.glob("new-*")] == ["new-young"]
    (root / "new-young" / "entry").rmdir()
    (root / "new-young").rmdir()


def test_the_entry_says_what_it_is(tmp_path: Path) -> None:
    corpus = prepare([written(tmp_path, "ab" * 50)], ALL)
    meta = json.loads((corpus.folder / "meta.json").read_text(encoding="utf-8"))
    assert meta["format"] == FORMAT
    assert meta.keys() == KEYS | {"format"}
    (corpus.folder / "meta.json").write_text(json.dumps(meta | {"format": FORMAT + 1}), encoding="utf-8")
    assert prepare([tmp_path / "book.txt"], ALL).train.text() == "ab" * 50
    assert json.loads((corpus.folder / "meta.json").read_text(encoding="utf-8")) == meta
    assert Vocabulary.from_json(meta["vocabulary"]) == corpus.vocabulary
    assert stat.S_ISDIR(corpus.folder.stat().st_mode)


def test_texts_that_are_used_stay_and_the_longest_unused_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    corpora = [prepare([written(tmp_path, f"{letter}b" * 500)], ALL) for letter in "axyz"]
    folders = [corpus.folder for corpus in corpora]
    root = folders[0].parent

    def age(hours: float, *indices: int) -> None:
        for index in indices:
            os.utime(folders[index] / "meta.json", (time.time() - 3600 * hours - index,) * 2)

    assert {entry.path for entry in cache.entries(root)} == set(folders)
    assert not any(entry.remove() for entry in cache.entries(root))
    part = corpora[0].train
    corpora.clear()  # the part of the first is still somebody's
    monkeypatch.setattr(cache, "limit", lambda root: 1)
    age(1, 0, 1, 2, 3)
    cache.trim(root)
    assert all(folder.exists() for folder in folders)  # used today
    age(100, 0, 2, 3)
    with monkeypatch.context() as patched:
        total = sum(entry.bytes for entry in cache.entries(root))
        patched.setattr(cache, "limit", lambda root: total - 1)
        cache.trim(root)
    assert [folder.exists() for folder in folders] == [True, True, True, False]
    cache.trim(root)
    assert [folder.exists() for folder in folders] == [True, True, False, False]
    assert part.text() == "ab" * 500
    del part
    assert prepare([written(tmp_path, "zb" * 500)], ALL).train.text() == "zb" * 500
    assert not folders[0].exists()  # the new one set it off


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks, and keeps open files")
def test_a_text_in_use_by_another_process_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    book = written(tmp_path, "ab" * 500)
    script = f"""
from charloom.text.corpus import prepare
corpus = prepare([{str(book)!r}])
print(corpus.folder, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        found = here("data", "cache")
        assert (found.code, "1 text, " in found.out) == (0, True)
        assert here("data", "cache", "--clear").out == "0 removed, 1 text in use kept\n"
        assert folder.exists()
        process.stdin.write("\n")
    assert json.loads(here("data", "cache", "--clear", "--json").out)["removed"] == 1
    assert list((tmp_path / "cache" / "corpora").iterdir()) == []
