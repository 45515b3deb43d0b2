"""What a text is like, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charloom.text.config import DataConfig
from charloom.text.corpus import Corpus, prepare
from charloom.text.documents import Mode, places
from charloom.text.sources import Report
from charloom.text.vocabulary import FirstAppearances

QUANTILES = (0, 5, 25, 50, 75, 95, 100)  # percent
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
    """Encode a text as training would, and count. Raises what `prepare` raises."""
    corpus = prepare(corpora, data, stdin=stdin, progress=progress)
    parts = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
    seen = FirstAppearances()
    of_training = 0
    lengths, hashes = [], []
    for name, part in parts.items():
        if part.documents is None:
            for block in part.blocks():
                seen.add(block)
        else:
            texts = part.texts()
            while piece := list(islice(texts, 1000)):
                seen.add("".join(piece))
                lengths.append(np.array([len(text) for text in piece]))
                hashes.append(places(text.encode("utf-8", "surrogatepass") for text in piece))
        if name == "train":
            of_training = len(seen.positions)
    characters = sum(part.characters for part in parts.values())
    every = np.concatenate(lengths) if lengths else np.array([characters])
    distinct = np.unique(np.concatenate(hashes)).size if hashes else 1
    return Inspection(
        corpus=corpus,
        mode=corpus.documents,
        reason=corpus.guess,
        encoding=corpus.provenance["encoding"],
        characters=characters,
        bytes=sum(part.bytes for part in parts.values()),
        distinct=len(seen.positions),
        unseen=len(seen.positions) - of_training,
        documents=len(every),
        lengths={q: int(np.percentile(every, q)) for q in QUANTILES},
        duplicates=1 - distinct / len(every),
        parts={name: part.characters for name, part in parts.items()},
        first=next(iter(corpus.train.blocks()))[:FIRST],
    )
