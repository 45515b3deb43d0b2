"""What a text is like, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from charloom.errors import DataError
from charloom.text.config import DataConfig, Progress, Report
from charloom.text.corpus import Corpus, prepare
from charloom.text.decoding import text_blocks
from charloom.text.documents import Mode, places
from charloom.text.reading import columns_of
from charloom.text.sources import collect, is_stream
from charloom.text.tables import rows as rows_of
from charloom.text.vocabulary import FirstAppearances

Hashes = npt.NDArray[np.float64]
Lengths = npt.NDArray[np.int64]

QUANTILES = (0, 5, 25, 50, 75, 95, 100)  # percent
MOST = 2**22  # documents that are looked at one by one: 64 MB, and an error of a thousandth
FIRST = 1000  # characters of the first document that are shown at most


@dataclass(frozen=True)
class Inspection:
    """A text in figures.

    `characters`, `bytes` (of UTF-8) and `distinct` characters count the normalised text of all parts;
    `parts` gives each part's characters, `unseen` the distinct characters that the training part lacks.
    `documents` is how many there are (1 for a whole text), `lengths` their length in characters at each
    quantile in percent, `duplicates` the share of documents that repeat another. `encoding` is what the
    files were read in.
    """

    corpus: Corpus
    mode: Mode
    reason: str
    encoding: str
    characters: int
    bytes: int
    distinct: int
    unseen: int
    documents: int
    lengths: Mapping[int, int]
    duplicates: float
    parts: Mapping[str, int]
    first: str


def inspect(
    corpora: Sequence[str | Path],
    data: DataConfig | None = None,
    *,
    stdin: BinaryIO | None = None,
    progress: Report = lambda _: None,
) -> Inspection:
    """Encode a text as training would, and count; files among several that cannot be read are left out.

    Raises what `prepare` raises.
    """
    try:
        corpus = prepare(corpora, data, stdin=stdin, progress=progress)
    except DataError:
        if not (odd := _odd(corpora, data or DataConfig(), progress)):
            raise
        corpus = prepare(corpora, data, without=odd, stdin=stdin, progress=progress)
    parts = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
    seen = FirstAppearances()
    of_training = 0
    texts_seen = _Sample()
    total = sum(part.bytes for part in parts.values())
    done = 0  # bytes

    def counted(size: int) -> None:
        nonlocal done
        done += size
        progress(Progress(done, total, "counting"))

    for name, part in parts.items():
        if part.documents is None:
            for block in part.blocks():
                seen.add(block)
                counted(len(block.encode("utf-8", "surrogatepass")))
        else:
            texts = part.texts()
            while piece := list(islice(texts, 1000)):
                seen.add("".join(piece))
                encoded = [text.encode("utf-8", "surrogatepass") for text in piece]
                texts_seen.add(places(encoded), np.array([len(text) for text in piece]))
                counted(sum(map(len, encoded)))
        if name == "train":
            of_training = len(seen.positions)
    characters = sum(part.characters for part in parts.values())
    hashes, lengths = texts_seen.taken()
    if not texts_seen.count:
        hashes, lengths = np.zeros(1), np.array([characters])
    return Inspection(
        corpus=corpus,
        mode=corpus.documents,
        reason=corpus.guess,
        encoding=corpus.provenance["encoding"],
        characters=characters,
        bytes=total,
        distinct=len(seen.positions),
        unseen=len(seen.positions) - of_training,
        documents=max(1, texts_seen.count),
        lengths={q: int(np.percentile(lengths, q)) for q in QUANTILES},
        duplicates=1 - np.unique(hashes).size / len(hashes),
        parts={name: part.characters for name, part in parts.items()},
        first=next(iter(corpus.train.blocks()))[:FIRST],
    )


def _odd(corpora: Sequence[str | Path], data: DataConfig, progress: Report) -> dict[Path, str]:
    """The files that cannot be read as asked, and why, where others can."""
    odd: dict[Path, str] = {}
    if any(map(is_stream, corpora)):  # they cannot be read again
        return odd
    count = 0
    for corpus in corpora:
        collection = collect(corpus, stdin=None, spool=Path(), progress=progress)
        count += len(collection.sources)
        for source in collection.sources:
            try:
                rows = source.kind != "text"
                read = (
                    rows_of(source, columns_of(collection, data), data) if rows else text_blocks(source, data)
                )
                for _ in read:
                    pass
            except DataError as error:
                odd[source.path] = str(error).removeprefix(f"{source.label}: ")
    return odd if len(odd) < count else {}


class _Sample:
    """Hashes and lengths of documents: of all, or, of more than `MOST`, of a share drawn by their hashes.

    Texts that repeat each other are drawn together, so the share of duplicates stays what it is.
    """

    def __init__(self) -> None:
        self.count = 0
        self._below = 100.0  # hashes lie between 0 and 100
        self._held = 0
        self._pieces: list[tuple[Hashes, Lengths]] = []

    def add(self, hashes: Hashes, lengths: Lengths) -> None:
        """The next documents."""
        self.count += len(hashes)
        self._take(hashes, lengths)
        while self._held > MOST:
            self._below /= 2
            pieces, self._pieces, self._held = self._pieces, [], 0
            for piece in pieces:
                self._take(*piece)

    def taken(self) -> tuple[Hashes, Lengths]:
        """Those that were drawn."""
        if not self._pieces:
            return np.zeros(0), np.zeros(0, np.int64)
        hashes, lengths = zip(*self._pieces, strict=True)
        return np.concatenate(hashes), np.concatenate(lengths)

    def _take(self, hashes: Hashes, lengths: Lengths) -> None:
        chosen = hashes < self._below
        self._pieces.append((hashes[chosen], lengths[chosen]))
        self._held += int(chosen.sum())
