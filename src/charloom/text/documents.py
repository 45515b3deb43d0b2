"""Cutting a text into documents, and dealing documents to training, validation and test."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Mode = Literal["whole", "line", "blank", "file", "row"]

BLANK = re.compile(r"\r?\n(?:[ \t\r]*\n)+")
SPACE = " \t\r\n"
FEWEST = 20  # lines or files from which a regularity is no accident
LINES = 1000  # that are looked at for blanks at their ends
RUNNING = (",", ";", "-", ":")  # how a line ends whose sentence goes on


class Document(NamedTuple):
    """A text of its own: what it depends on, and the text that it translates, if any.

    `conditions` are labels ("" where it is missing) and arrays (size,), one a condition.
    """

    text: str
    conditions: tuple[str | npt.NDArray[np.float32], ...] = ()
    source: str = ""


def lines(blocks: Iterable[str]) -> Iterator[str]:
    """The lines of a text that comes in blocks, without their ends; a last empty one is left out."""
    waiting: list[str] = []
    for block in blocks:
        first, *rest = block.split("\n")
        waiting.append(first)
        if rest:
            yield "".join(waiting)
            yield from rest[:-1]
            waiting = [rest[-1]]
    if last := "".join(waiting):
        yield last


def paragraphs(blocks: Iterable[str]) -> Iterator[str]:
    """What empty lines separate in a text that comes in blocks; a line of white space is empty."""
    waiting: list[str] = []
    tail = ""
    for block in blocks:
        text = (tail + block).rstrip(SPACE)
        tail = (tail + block)[len(text) :]  # a separator is never cut in two
        first, *rest = BLANK.split(text)
        waiting.append(first)
        if rest:
            yield "".join(waiting).strip("\r\n")
            yield from rest[:-1]
            waiting = [rest[-1]]
    yield "".join(waiting).strip("\r\n")


def places(texts: Iterable[bytes]) -> npt.NDArray[np.float64]:
    """Where documents fall between 0 and 100: by a hash of each text, the same on every machine."""
    digests = b"".join([hashlib.blake2b(text, digest_size=8).digest() for text in texts])
    return np.frombuffer(digests, dtype=">u8") * (100 / 2**64)


def guess(sample: str, files: int) -> tuple[Mode, str]:
    """What kind of documents a text has, from its beginning and its number of files, and why.

    Careful: whatever is not clearly a list of short texts is one whole text.
    """
    if files >= FEWEST:
        return "file", f"{files:,} files, each a document"
    blocks = [block for block in BLANK.split(sample.strip(SPACE)) if block]
    heads = {block[:2] for block in blocks}
    if len(blocks) >= FEWEST and len(heads) == 1 and all("\n" in block for block in blocks[:-1]):
        return "blank", f"empty lines separate blocks that all begin with {heads.pop()!r}"
    rows = sample.rstrip(SPACE).split("\n")
    full = [row for row in rows if row.strip(SPACE)]
    if len(full) < FEWEST:
        return "whole", "few lines"
    if len(full) < 0.99 * len(rows):
        return "whole", "it has empty lines"
    if _share(full, lambda row: row[0] in SPACE) > 0.01:
        return "whole", "some lines are indented"
    lower = _share(full, lambda row: row[0].islower())
    if 0.02 < lower < 0.98:
        return "whole", "some lines begin in the middle of a sentence"
    if _share(full, lambda row: row.rstrip(SPACE).endswith(RUNNING)) > 0.1:
        return "whole", "many lines end in the middle of a sentence"
    lengths = sorted(map(len, full))
    middle, long = lengths[len(lengths) // 2], lengths[int(0.98 * len(lengths))]
    if middle > 20 and middle > 0.85 * long and _share(full, lambda row: row[0].isdecimal()) < 0.9:
        return "whole", "its lines are wrapped at one width"
    return "line", "its lines begin alike and none is empty"


def blank_ends(texts: Iterable[str]) -> float:
    """The share of lines that end in a blank, which nobody sees, among the first; 0 of a few lines."""
    rows = list(islice((row for text in texts for row in text.split("\n") if row.strip(SPACE)), LINES))
    return _share(rows, lambda row: row[-1].isspace()) if len(rows) >= FEWEST else 0.0


def _share(rows: list[str], condition: Callable[[str], bool]) -> float:
    return sum(map(condition, rows)) / len(rows)
