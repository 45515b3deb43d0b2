"""Corpora that go by name: what they are, where they come from, and under which licence."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import os
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charloom.errors import DataError, DownloadError, closest, unwritable
from charloom.system.files import unique_name
from charloom.text import cache
from charloom.text.config import Progress, Report

TIMEOUT = 30  # seconds without a byte; a slow line still gives one
AG_NEWS = "mhjabreel/CharCnn_Keras/555590db4219b1243abb1918effd6a7425a2d75f/data/ag_news_csv"
SHAKESPEARE = "karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare"
BASE = "https://raw.githubusercontent.com"
NOT_SOURCE = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "idle_test",
    "__pycache__",
}


@dataclass(frozen=True)
class File:
    """One file of a corpus: its path below the source's address, its name below CHARLOOM_DATA, its hashes.

    `size` is in bytes, 0 where it is not known; so are empty hashes.
    """

    remote: str
    local: str
    size: int = 0
    sha256: str = ""
    md5: str = ""


@dataclass(frozen=True)
class Entry:
    """A corpus that goes by name.

    `documents` is the mode that suits it. For a table, `text` and `condition` are its columns, `called`
    is the condition's name, and `labels` are the values that its numbers 1, 2, … stand for.
    """

    name: str
    title: str
    licence: str
    documents: Literal["whole", "row"]
    files: tuple[File, ...] = ()
    text: tuple[str, ...] = ()
    condition: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    called: str = "label"

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        if not self.files:
            return f"CPython {sys.version.split()[0]}"
        return f"{BASE}/{self.files[0].remote.rpartition('/')[0]}"


_TRAIN = File(f"{AG_NEWS}/train.csv", "ag_news/train.csv", md5="b1a00f826fdfbd249f79597b59e1dc12")
_TEST = File(
    f"{AG_NEWS}/test.csv",
    "ag_news/test.csv",
    size=1857427,
    sha256="521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
    md5="d52ea96a97a2d943681189a97654912d",
)


def _ag_news(name: str, title: str, *files: File) -> Entry:
    return Entry(
        name=name,
        title=title,
        licence="research use only (AG's corpus of news articles: non-commercial)",
        documents="row",
        files=files,
        text=("1", "2"),
        condition=("0",),
        called="class",
        labels=("World", "Sports", "Business", "Sci/Tech"),
    )


ENTRIES = (
    Entry("python-docs", "the Python language reference, as every Python carries it", "PSF-2.0", "whole"),
    Entry("python-source", "the source text of Python's standard library", "PSF-2.0", "whole"),
    _ag_news("ag_news", "127,600 news items in four classes", _TRAIN, _TEST),
    _ag_news("ag_news:train", "the 120,000 training items of ag_news", _TRAIN),
    _ag_news("ag_news:test", "the 7,600 test items of ag_news", _TEST),
    Entry(
        "tinyshakespeare",
        "40,000 lines of Shakespeare, a million characters",
        "public domain",
        "whole",
        (
            File(
                f"{SHAKESPEARE}/input.txt",
                "tinyshakespeare.txt",
                size=1115394,
                sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    ),
)


def entries() -> tuple[Entry, ...]:
    """Every corpus that goes by name."""
    return ENTRIES


def known(name: str) -> bool:
    """Whether the catalog has a corpus of this name."""
    return any(entry.name == name for entry in ENTRIES)


def find(name: str) -> Entry:
    """The corpus of this name. Raises DataError, with the nearest name, if there is none."""
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    raise unknown(name)


def unknown(name: str) -> DataError:
    """Neither a file nor a corpus of the catalog."""
    near = closest(name, [entry.name for entry in ENTRIES]) or _similar_file(Path(name))
    mend = f"did you mean {near}?" if near else "`charloom data list` names the corpora there are"
    return DataError(f"{name}: there is no such file or folder, nor a corpus of that name; {mend}")


def _similar_file(path: Path) -> str:
    """Return the file or folder beside `path` that was probably meant, or ""."""
    try:
        beside = [each.name for each in path.parent.iterdir() if not each.name.startswith(".")]
    except OSError:
        return ""
    meant = closest(path.name, beside, 0.75)
    return str(path.with_name(meant)) if meant else ""


def fetch(name: str, progress: Report = lambda _: None, base: str = BASE) -> tuple[Path, ...]:
    """The files of a corpus: from the folder CHARLOOM_DATA, the cache, or the network, and checked.

    `base` is the address that the files' paths follow. Raises DownloadError where a file cannot be
    had whole, DataError where the local one is not the expected one.
    """
    entry = find(name)
    if entry.name == "python-docs":
        return (_python_docs(),)
    if entry.name == "python-source":
        return tuple(python_source(Path(sysconfig.get_path("stdlib"))))
    return tuple(_fetch(file, progress, base) for file in entry.files)


def python_source(stdlib: Path) -> Iterator[Path]:
    """The library's own modules that are UTF-8, sorted by path; no tests, no installed packages."""
    for path in sorted(stdlib.rglob("*.py"), key=lambda p: p.relative_to(stdlib).as_posix()):
        if NOT_SOURCE.isdisjoint(path.relative_to(stdlib).parts):
            data = path.read_bytes()
            try:
                data.decode("utf-8")
            except UnicodeDecodeError:
                continue
            if data and b"\0" not in data:
                yield path


def _python_docs() -> Path:
    if importlib.util.find_spec("pydoc_data") is None:
        raise DataError(
            "python-docs: this Python was packed without pydoc_data; give a file, or python-source"
        )
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name].strip("\n") for name in sorted(topics)) + "\n"
    data = text.encode("utf-8")
    path = cache.folder("named") / f"python-docs-{hashlib.sha256(data).hexdigest()[:16]}.txt"
    if not path.is_file() or path.read_bytes() != data:
        cache.replace_file(path, data)
    return path


def _fetch(file: File, progress: Report, base: str) -> Path:
    mirror = os.environ.get("CHARLOOM_DATA")
    if mirror and (local := Path(mirror) / file.local).is_file():
        if problem := _problem(local, file):
            raise DataError(
                f"{local}: {problem}; it is not the published file, remove it or unset CHARLOOM_DATA"
            )
        return local
    path = cache.folder("named") / file.local
    if path.is_file() and not _problem(path, file):
        return path
    partial = unique_name(path)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        _download(f"{base}/{file.remote}", partial, progress)
        if problem := _problem(partial, file):
            raise DownloadError(f"{base}/{file.remote}: {problem}; try again, or {_by_hand(file)}")
        partial.replace(path)
    except OSError as error:
        raise DownloadError(unwritable(path, error, "or set CHARLOOM_CACHE to another folder")) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _download(url: str, path: Path, progress: Report) -> None:
    where = f"{url}: "
    mend = "look at the connection and try again, or put the file into the folder that CHARLOOM_DATA names"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, path.open("wb") as file:
            length = answer.headers.get("Content-Length")
            total = int(length) if length else None
            done = 0
            while block := answer.read(2**16):
                file.write(block)
                done += len(block)
                progress(Progress(done, total, "downloading"))
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{where}refused by the server ({error.code} {error.reason}); {mend}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = " ".join(str(getattr(error, "reason", None) or error).split())
        raise DownloadError(f"{where}cannot be reached ({reason}); {mend}") from error
    if total is not None and done < total:
        raise DownloadError(f"{where}broke off after {done:,} of {total:,} bytes; {mend}")


def at_hand(entry: Entry) -> bool:
    """Whether fetching it would need no network. Only sizes are looked at, where they are known."""
    mirror = os.environ.get("CHARLOOM_DATA")
    roots = [cache.folder("named"), *([Path(mirror)] if mirror else [])]
    return all(
        any((path := root / file.local).is_file() and file.size in (0, path.stat().st_size) for root in roots)
        for file in entry.files
    )


def _problem(path: Path, file: File) -> str:
    """What is wrong with this copy of the file, or ""."""
    if file.size and (size := path.stat().st_size) != file.size:
        return f"{size:,} bytes came, not {file.size:,}"
    for method, expected in (("sha256", file.sha256), ("md5", file.md5)):
        if expected:
            with path.open("rb") as opened:
                found = hashlib.file_digest(opened, lambda: hashlib.new(method, usedforsecurity=False))  # noqa: B023
            if found.hexdigest() != expected:
                return f"its {method.upper()} is {found.hexdigest()[:12]}…, not {expected[:12]}…"
    return ""


def _by_hand(file: File) -> str:
    return f"put the file as {file.local} into the folder that CHARLOOM_DATA names"
