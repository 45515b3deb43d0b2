"""Which files a corpus is, and their bytes: files, folders, globs, standard input, compressed or not."""

from __future__ import annotations

import bz2
import contextlib
import glob
import gzip
import hashlib
import io
import lzma
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal, cast

from charloom.errors import DataError, MissingExtraError, UsageError
from charloom.text import catalog
from charloom.text.config import Progress, Report
from charloom.text.encodings import likely_encoding, marked
from charloom.text.formats import HEAD, PACKED, format_of, packing

Kind = Literal["text", "csv", "tsv", "json", "parquet"]
TABLES: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
HASHED = 2**22  # bytes hashed between two reports of progress
BLOCK = 2**18  # bytes read at a time: its code points still fit a processor's second cache


@dataclass(frozen=True)
class Source:
    """One file, or its bytes from `start` to `end`: `label` is what messages call it.

    A `plain` one is text, whatever its name says.
    """

    path: Path
    label: str
    start: int = 0
    end: int | None = None
    plain: bool = False

    @cached_property
    def packed(self) -> str:
        """The suffix of its compression, by its name or else by how it begins; "" where it has none."""
        suffix = PurePath(self.label).suffix.lower()
        if suffix in PACKED:
            return suffix
        with contextlib.suppress(OSError), self.path.open("rb") as file:  # who reads it says so
            return packing(file.read(HEAD))
        return ""

    @property
    def kind(self) -> Kind:
        """What its name says it holds."""
        if self.plain:
            return "text"
        name = PurePath(self.label)
        packed = name.suffix.lower() in PACKED
        return TABLES.get((name.with_suffix("") if packed else name).suffix.lower(), "text")

    def open(self) -> BinaryIO:
        """Its bytes, decompressed. Raises DataError, or MissingExtraError for .zst."""
        try:
            match self.packed:
                case ".gz":
                    return cast(BinaryIO, gzip.open(self.path, "rb"))
                case ".bz2":
                    return cast(BinaryIO, bz2.open(self.path, "rb"))
                case ".xz":
                    return cast(BinaryIO, lzma.open(self.path, "rb"))
                case ".zst":
                    return io.BufferedReader(_Zstandard(self.path))
                case _:
                    return self.path.open("rb")
        except OSError as error:
            raise unreadable(self.label, error) from error

    def cut(self, size: int) -> Iterator[Source]:
        """The file in pieces of at least `size` bytes that end with a line; whole if it is compressed."""
        whole = self.path.stat().st_size
        start = 0
        if not self.packed:
            with self.path.open("rb") as file:
                while start + 2 * size <= whole:
                    file.seek(start + size)
                    file.readline()
                    yield replace(self, start=start, end=file.tell())
                    start = file.tell()
        yield replace(self, start=start) if start else self

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """Its bytes, decompressed, `size` at a time. Raises DataError where they are damaged."""
        with self.open() as file:
            if self.start:
                file.seek(self.start)
            left = None if self.end is None else self.end - self.start
            while True:
                try:
                    block = file.read(size if left is None else min(size, left))
                except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
                    raise self._damaged(error) from error
                except Exception as error:
                    if type(error).__name__ != "ZstdError":  # its module is there only if it is installed
                        raise
                    raise self._damaged(error) from error
                if not block:
                    return
                if left is not None:
                    left -= len(block)
                yield block

    def _damaged(self, error: Exception) -> DataError:
        if not self.packed:
            return unreadable(self.label, error)
        return DataError(
            f"{self.label}: damaged, or not a {self.packed} file ({error}); fetch or pack it again"
        )


@dataclass(frozen=True)
class Arriving(Source):
    """A stream that is read once, in blocks of what has arrived."""

    stream: io.BufferedReader[Any] | None = None

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """What has arrived, `size` bytes at most."""
        assert self.stream is not None
        while block := self.stream.read1(size):
            yield block
        if self.path.exists():  # else it is the caller's
            self.stream.close()


@dataclass(frozen=True)
class Collection:
    """What one corpus argument stands for: its files, in a fixed order.

    `skipped` names the files of a folder that are left out, each with the reason. `entry` is the catalog's,
    if it is one.
    """

    name: str
    sources: tuple[Source, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    entry: catalog.Entry | None = field(default=None)

    def without(self, odd: Mapping[Path, str]) -> Collection:
        """The same without these files, each left out for a reason."""
        left_out = [(source.label, odd[source.path]) for source in self.sources if source.path in odd]
        rest = tuple(source for source in self.sources if source.path not in odd)
        return replace(self, sources=rest, skipped=(*self.skipped, *left_out))

    def size(self) -> int:
        """Bytes on disk."""
        return sum(source.path.stat().st_size for source in self.sources)

    def sha256(self, progress: Report, done: int, total: int) -> str:
        """Of the file; of several, of one line each: hash, two spaces, name (as `sha256sum` writes it)."""
        listing = hashlib.sha256()
        for source in self.sources:
            try:
                hashed = hashlib.sha256()
                with source.path.open("rb") as file:
                    while block := file.read(HASHED):
                        hashed.update(block)
                        done += len(block)
                        progress(Progress(done, total, "checking"))
                digest = hashed.hexdigest()
            except OSError as error:
                raise unreadable(source.label, error) from error
            if len(self.sources) == 1:
                return digest
            listing.update(f"{digest}  {PurePath(source.label).name}\n".encode("utf-8", "surrogateescape"))
        return listing.hexdigest()


def collect(corpus: str | Path, *, stdin: BinaryIO | None, spool: Path, progress: Report) -> Collection:
    """The files of one corpus argument: a path, a glob, "-", or a name of the catalog.

    A name of the catalog wins over a file called the same (which is `./NAME`). What can be read only once
    (standard input, a pipe, a device) is copied to `spool`, since a text is read more than once. Raises
    DataError if there is no such thing.
    """
    path = Path(corpus)
    if is_stream(corpus):
        name, label, stream = _stream(path, stdin)
        with contextlib.nullcontext() if stream is stdin else stream:
            return Collection(name, (_copied(stream, label, spool, progress),))
    if isinstance(corpus, str) and catalog.known(corpus):
        entry = catalog.find(corpus)
        files = catalog.fetch(corpus, progress)
        return Collection(entry.name.replace(":", "-"), tuple(Source(p, p.name) for p in files), (), entry)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return Collection(_stem(path), (Source(path, str(path)),))
    if glob.has_magic(str(corpus)):
        found = glob.glob(str(corpus), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        matches = sorted(p for p in map(Path, found) if p.is_file())
        if not matches:
            raise DataError(f"{corpus}: no file matches; quote the pattern, or give a folder")
        return Collection(_stem(matches[0]), tuple(Source(p, str(p)) for p in matches))
    raise catalog.unknown(str(corpus))


def collect_arriving(corpus: str, *, stdin: BinaryIO | None, spool: Path) -> Collection:
    """`collect`, but what can be read once is read as it arrives, unless it is compressed or a table."""
    if is_stream(corpus):
        name, label, stream = _stream(Path(corpus), stdin)
        reader = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(Any, stream))
        source = Arriving(Path(corpus), label, stream=reader)
        if source.kind == "text" and not packing(reader.peek(1)):
            return Collection(name, (source,))
        with contextlib.nullcontext() if stream is stdin else reader:
            return Collection(name, (_copied(reader, label, spool, lambda _: None),))
    return collect(corpus, stdin=stdin, spool=spool, progress=lambda _: None)


def _stream(path: Path, stdin: BinaryIO | None) -> tuple[str, str, BinaryIO]:
    """The name, the label and the bytes of what can be read only once. Raises DataError."""
    if str(path) in STDIN or not path.exists():  # a run that read a shell's pipe goes on with standard input
        if stdin is None:
            raise DataError(f"{path}: there is no standard input here; give a file")
        return "stdin", "standard input", stdin
    try:
        stream = path.open("rb")
    except OSError as error:
        raise unreadable(str(path), error) from error
    return "pipe" if path.parts[:2] in (("/", "dev"), ("/", "proc")) else _stem(path), str(path), stream


def is_stream(corpus: str | Path) -> bool:
    """Return whether this corpus can be read only once: standard input, a pipe, a device."""
    path = Path(corpus)
    if str(corpus) == "-":
        return True
    if path.exists():
        return not (path.is_file() or path.is_dir())
    return str(corpus).startswith(("/dev/fd/", "/proc/self/fd/"))


def require_once(corpora: Iterable[str | Path]) -> None:
    """Raises UsageError where something that can be read only once is named twice."""
    streams = ["-" if str(each) in STDIN else str(each) for each in corpora if is_stream(each)]
    if twice := next((each for each in streams if streams.count(each) > 1), None):
        raise UsageError(f"{twice}: can be read but once; name it once")


def _copied(stream: BinaryIO, label: str, spool: Path, progress: Report) -> Source:
    spool.mkdir(parents=True, exist_ok=True)
    copy = spool / str(len(list(spool.iterdir())))
    done = 0
    with copy.open("wb") as file:
        while block := stream.read(BLOCK):
            file.write(block)
            done += len(block)
            progress(Progress(done, None, "copying"))
    return Source(copy, label)


def unreadable(label: str, error: Exception) -> DataError:
    """A file that the system will not read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"{label}: cannot be read ({reason}); look at its name and permissions")


def _folder(folder: Path) -> Collection:
    files = sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix())
    texts, skipped = [], []
    for source in (Source(path, str(path)) for path in files):
        if source.kind == "parquet" or not (reason := _no_text(source)):
            texts.append(source)
        else:
            skipped.append((source.label, reason))
    if not texts:
        raise DataError(f"{folder}: no text file lies in this folder")
    if any(source.kind == "text" for source in texts):  # then .json are settings among code, say
        texts = [replace(source, plain=_is_json(source)) for source in texts]
    return Collection(_readable(folder.resolve().name), tuple(texts), tuple(skipped))


def _files(folder: Path) -> Iterable[Path]:
    """The files in a folder and those below it, but for hidden ones. Raises DataError for a closed folder."""

    def fail(error: OSError) -> None:
        raise unreadable(str(error.filename or folder), error)

    for parent, _, names in os.walk(folder, onerror=fail):
        if not _hidden(Path(parent).relative_to(folder)):
            yield from (
                Path(parent, name) for name in names if name[0] != "." and Path(parent, name).is_file()
            )


def _is_json(source: Source) -> bool:
    """Whether this is .json, packed or not, rather than JSON lines."""
    return source.kind == "json" and ".json" in PurePath(source.label.lower()).suffixes[-2:]


def _hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _no_text(source: Source) -> str:
    """Why a file of a folder is left out, judged by its first bytes; "" for one that is to be read."""
    try:
        head = next(source.blocks(2**13), b"")
    except DataError:  # who reads it on says so, and with which of the others
        return ""
    if not head:
        return "is empty"
    if found := format_of(head):
        return f"is {found[0]}"
    return "is binary data" if b"\0" in head and not (marked(head) or likely_encoding(head)) else ""


def _stem(path: Path) -> str:
    return _readable(path.name.split(".")[0] or path.name.strip("."))


def _readable(name: str) -> str:
    """A name without what stands for bytes that are not UTF-8, which other programs refuse."""
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", name)


class _Zstandard(io.RawIOBase):
    """A .zst file; unlike the library's own reader it notices a frame that breaks off."""

    def __init__(self, path: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise MissingExtraError("reading .zst", "data") from None
        self._file = path.open("rb")
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new()
        self._packed = self._ready = b""
        self._fed = False  # whether the present frame has begun

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if self._frame.eof:
                self._packed, self._frame, self._fed = self._frame.unused_data, self._new(), False
            block = self._packed or self._file.read(2**14)
            if not block:
                if self._fed:
                    raise EOFError("it breaks off")
                return 0
            self._ready, self._packed, self._fed = self._frame.decompress(block), b"", True
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()
