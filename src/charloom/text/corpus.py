"""Texts become ids on disk: read once, encoded once, then memory-mapped from the cache.

Nothing grows with the corpus but the files: the first pass reads and normalises the sources, deals
documents to the parts and notes which characters the training part has; the second turns the parts
into ids (`parts`). The cache entry is keyed by the contents and by everything that decides the ids.

One whole text: `<bos>` text, for each part, cut by position. Documents: `<bos>` text `<eos>` after each
other, dealt by a hash of the text (its source and its arrays too), so that duplicates never straddle
the split.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import Timeout

from charloom.errors import DataError, ModelError, UsageError, mend
from charloom.system.files import locked
from charloom.text import arrays, cache
from charloom.text.condition import Condition
from charloom.text.config import DataConfig, Progress, Report
from charloom.text.dealer import PARTS
from charloom.text.documents import Mode, blank_ends
from charloom.text.parts import Part, encode_documents, encode_whole, open_part
from charloom.text.reading import Reading, read
from charloom.text.sources import BLOCK, Collection, collect, require_once
from charloom.text.vocabulary import BOS, BYTE, EOS, SEP, Vocabulary

__all__ = ["Corpus", "DataConfig", "Part", "Progress", "prepare"]

FORMAT = 6  # of a cache entry, and of the notes in one that is not finished
KEYS = {  # of meta.json
    *("documents", "guess", "encoding", "conditions", "columns", "delimiter", "blank", "vocabulary", "parts"),
    *("contents", "files"),
}
MOST = 0.5  # share of lines that end in a blank, from which it is told
STALE = 2 * 24 * 3600  # seconds; no text takes so long to encode
DEFAULT = "python-docs"  # every Python carries it


@dataclass(frozen=True)
class Corpus:
    """An encoded text: `train`, `validation` and `test`, and what is known of it.

    `name` suits a folder's name. `documents` is how the text was cut: "whole", "line", "blank", "file"
    (each file a document) or "row" (of a table); `guess` the reason if that was guessed, else "".
    `conditions` are what the documents depend on: what of it the training part has. `provenance` is
    JSON: names, hashes, licences, characters, the columns of a text that has several, how it was split.
    `skipped` names the files of folders that were left out, each with the reason.
    """

    name: str
    vocabulary: Vocabulary
    train: Part
    validation: Part
    test: Part
    documents: Mode
    guess: str
    conditions: tuple[Condition, ...]
    provenance: Mapping[str, Any]
    folder: Path
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> Part:
        """The part that examples are taken from: what was not trained on, where anything was held out."""
        return self.validation if self.validation.characters else self.train


def prepare(
    corpora: Sequence[str | Path] = (),
    data: DataConfig | None = None,
    *,
    specials: bool = True,
    vocabulary: Vocabulary | None = None,
    grows: bool = False,
    conditions: Sequence[Condition] = (),
    without: Mapping[Path, str] | None = None,
    stdin: BinaryIO | None = None,
    progress: Report = lambda _: None,
) -> Corpus:
    """Encode these texts, or find them encoded in the cache.

    `corpora` are paths, globs, folders, "-" (`stdin`) or names of the catalog; none means "python-docs".
    Without `specials` the vocabulary has no specials, and holds the characters of all parts. With
    `vocabulary`, that of a model, the ids are that model's; where it `grows`, what it lacks is appended.
    With `conditions`, a model's, the labels' numbers are its, and labels that it does not know are unknown.
    Files in `without` are left out of their folders, each for a reason.

    Raises DataError for a text that cannot be read as asked, DownloadError, MissingExtraError.
    """
    data = data or DataConfig()
    if vocabulary is not None and vocabulary.unit != data.unit:
        raise UsageError(f"unit: the model's is {vocabulary.unit!r}; leave out {data.unit!r}")
    require_once([*corpora, *([data.validation] if data.validation else [])])
    root = cache.folder("corpora")
    try:
        with spooled() as spool:
            return _prepare(
                list(corpora) or [DEFAULT],
                data,
                specials,
                vocabulary,
                grows,
                {each.name: each.values for each in conditions},
                without or {},
                stdin,
                progress,
                root,
                spool,
            )
    except OSError as error:
        path = Path(error.filename or root)
        raise DataError(
            f"{path}: {error.strerror or error}; {mend(path, error)}, or set CHARLOOM_CACHE to another folder"
        ) from error


def _prepare(
    corpora: list[str | Path],
    data: DataConfig,
    specials: bool,
    vocabulary: Vocabulary | None,
    grows: bool,
    labels: Mapping[str, Sequence[str]],
    without: Mapping[Path, str],
    stdin: BinaryIO | None,
    progress: Report,
    root: Path,
    spool: Path,
) -> Corpus:
    collections, held_out = (
        [collect(c, stdin=stdin, spool=spool, progress=progress).without(without) for c in group]
        for group in (corpora, [data.validation] if data.validation else [])
    )
    total = sum(collection.size() for collection in collections + held_out)
    hashes, done = [], 0
    for collection in collections + held_out:
        hashes.append(collection.sha256(progress, done, total))
        done += collection.size()
    beside = [_sha256(path) for c in collections + held_out for path in _beside(c, data)]
    key = _key(
        collections + held_out, hashes + beside, len(held_out), data, specials, vocabulary, grows, labels
    )
    folder = root / key
    hold = cache.Hold(folder)
    meta = _valid(folder)
    if meta is None:
        with _entry(root, key, progress) as entry:
            meta = _valid(folder)  # another process may have prepared it meanwhile
            if meta is None:
                reading = read(collections, held_out, data, labels, entry, specials, progress)
                if vocabulary is None:
                    vocabulary = _vocabulary(reading, data, specials, collections[0].sources[0].label)
                elif grows:
                    more = _specials(reading.mode, data) if vocabulary.specials else ()
                    vocabulary = vocabulary.extended(reading.characters, more)
                meta = _write_entry(entry, reading, vocabulary, progress)
                shutil.rmtree(folder, ignore_errors=True)  # a damaged one
                entry.replace(folder)
        cache.trim(root)
        hold = cache.Hold(folder)
    named = [_provenance(c, sha) for c, sha in zip(collections + held_out, hashes, strict=True)]
    return _open(folder, meta, data, collections, named, hold)


def _beside(collection: Collection, data: DataConfig) -> list[Path]:
    """The files of arrays that a collection's documents may depend on."""
    return [path for source in collection.sources if data.conditions and (path := arrays.beside(source))]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _vocabulary(reading: Reading, data: DataConfig, specials: bool, name: str) -> Vocabulary:
    names = _specials(reading.mode, data) if specials else ()
    if data.unit == "byte":
        return Vocabulary.of_bytes(names)
    if len(reading.characters) < 2:
        raise DataError(
            f"{name}: the training text is nothing but {reading.characters[0]!r}; "
            "give a text with more than one character in it"
        )
    return Vocabulary.of_characters(reading.characters, names)


def _write_entry(entry: Path, reading: Reading, vocabulary: Vocabulary, progress: Report) -> dict[str, Any]:
    """The second pass: ids, and meta.json last, whose content is returned."""
    done = 0

    def report(size: int) -> None:
        progress(Progress(done + size, reading.bytes, "encoding"))

    described: dict[str, Any] = {}
    if reading.mode == "whole":
        for text, cuts in reading.cuts.items():
            described |= encode_whole(entry, text, cuts, vocabulary, report)
            done += (entry / text).stat().st_size
    else:
        for name in PARTS:
            described[name] = encode_documents(entry, name, vocabulary, report)
            done += (entry / f"{name}.text").stat().st_size
    for left in (*entry.glob("*.json"), *entry.glob("*.numbers")):  # by the reading
        left.unlink()
    meta: dict[str, Any] = {
        "format": FORMAT,
        "documents": reading.mode,
        "guess": reading.guess,
        "encoding": reading.encoding,
        "conditions": {condition.name: condition.to_json() for condition in reading.conditions},
        "columns": reading.columns,
        "delimiter": reading.delimiter,
        "blank": reading.blank,
        "contents": reading.contents,
        "vocabulary": vocabulary.to_json(),
        "parts": described,
        "files": {path.name: _checksum(path) for path in sorted(entry.iterdir())},
    }
    text = json.dumps(meta)
    (entry / "meta.json").write_text(text, encoding="utf-8")
    return dict(json.loads(text))


def _specials(mode: Mode, data: DataConfig) -> tuple[str, ...]:
    return (
        BOS,
        *([EOS] if mode != "whole" else []),
        *([SEP] if data.source else []),
        *([BYTE] if data.unit == "char" else []),
    )


def _key(
    collections: list[Collection],
    hashes: list[str],
    held_out: int,
    data: DataConfig,
    specials: bool,
    vocabulary: Vocabulary | None,
    grows: bool,
    labels: Mapping[str, Sequence[str]],
) -> str:
    """What decides the ids, hashed: contents, settings, and the versions of our format and of Unicode."""
    decisive = asdict(data) | {"validation": held_out}
    kinds = [
        ([source.kind + source.packed for source in c.sources], c.entry.name if c.entry else "")
        for c in collections
    ]
    given = [vocabulary.to_json(), grows, dict(labels)] if vocabulary else None
    text = json.dumps(
        [FORMAT, unicodedata.unidata_version, decisive, specials, given, hashes, kinds], sort_keys=True
    )
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


@contextlib.contextmanager
def _entry(root: Path, key: str, progress: Report) -> Iterator[Path]:
    """Yield a folder for what is being read: what an interrupted process left, if any.

    Only one process or thread prepares a text at a time; the others wait here.
    """
    lock, entry = root / f"{key}.lock", root / f"new-{key}"
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(lock, timeout=0.5, remove=True))
                break
            except Timeout:
                progress(Progress(0, None, "waiting for another process"))
        entry.mkdir(exist_ok=True)
        try:
            yield entry
        except Exception:
            shutil.rmtree(entry, ignore_errors=True)
            raise  # after an interrupt the folder stays: who reads this text next goes on from here
        shutil.rmtree(entry, ignore_errors=True)  # where it was not needed


@contextlib.contextmanager
def spooled() -> Iterator[Path]:
    """Yield a folder of this call's own, for copies of what can be read but once."""
    root = cache.folder("corpora")
    _sweep(root)
    folder = root / f"spool-{os.urandom(6).hex()}"
    with locked(folder.with_suffix(".lock"), timeout=-1, remove=True):
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what killed processes left: copies of pipes at once, work to go on with after two days."""
    for left in root.glob("spool-*"):
        with contextlib.suppress(OSError), locked(left.with_suffix(".lock"), remove=True):
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
    for left in root.glob("new-*"):
        with contextlib.suppress(OSError):  # another process was quicker
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)


def _valid(folder: Path) -> dict[str, Any] | None:
    """The description of a cache entry that is whole, else None."""
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if (
            meta["format"] == FORMAT
            and meta.keys() >= KEYS
            and all(_checksum(folder / n) == c for n, c in meta["files"].items())
        ):
            Vocabulary.from_json(meta["vocabulary"])
            return meta
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelError):
        pass
    return None


def _checksum(path: Path) -> list[int]:
    """Size and CRC-32: enough to know a broken disk or a broken copy from a whole one."""
    crc = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            crc = zlib.crc32(block, crc)
        return [file.tell(), crc]


def _provenance(collection: Collection, sha256: str) -> dict[str, Any]:
    told: dict[str, Any] = {"name": collection.name, "sha256": sha256, "files": len(collection.sources)}
    if collection.skipped:
        told["skipped"] = len(collection.skipped)
    if collection.entry:
        told |= {"licence": collection.entry.licence, "source": collection.entry.source}
    return told


def _open(
    folder: Path,
    meta: dict[str, Any],
    data: DataConfig,
    collections: list[Collection],
    named: list[dict[str, Any]],
    hold: cache.Hold,
) -> Corpus:
    vocabulary = Vocabulary.from_json(meta["vocabulary"])
    conditions = tuple(Condition.from_json(*item) for item in meta["conditions"].items())
    parts = {name: open_part(folder, name, meta["parts"][name], vocabulary, conditions) for name in PARTS}
    hold.until_gone(*parts.values())
    blank = blank_ends(parts["train"].blocks())
    more = f"-and-{len(collections) - 1}-more" if len(collections) > 1 else ""
    split = {
        "by": "position" if meta["documents"] == "whole" else "hash of the document",
        "fractions": list(data.fractions),
        "validation": named[-1]["name"] if data.validation else "",
    }
    return Corpus(
        name=collections[0].name + more,
        vocabulary=vocabulary,
        documents=meta["documents"],
        guess=meta["guess"],
        conditions=conditions,
        provenance={
            "corpora": named,
            "contents": meta["contents"],
            "characters": sum(part.characters for part in parts.values()),
            "encoding": meta["encoding"],
            "normalize": data.normalize,
            "documents": meta["documents"],
            **({"columns": meta["columns"]} if len(meta["columns"]) > 1 else {}),
            **({"delimiter": meta["delimiter"]} if meta["delimiter"] else {}),
            **({"without_text": meta["blank"]} if meta["blank"] else {}),
            **({"blank_ends": blank} if blank > MOST else {}),
            **({"longest_source": parts["train"].longest_source} if data.source else {}),
            "split": split,
            "python": sys.version.split()[0],
        },
        folder=folder,
        skipped=tuple(each for collection in collections for each in collection.skipped),
        **parts,
    )
