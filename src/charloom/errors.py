"""What can go wrong and be mended by the user: one base class, one line a message.

    CharloomError            anything below; exit code 1 on the command line
    ├── UsageError           an option or argument that makes no sense (also a ValueError; exit code 2)
    ├── DataError            a text that cannot be read as asked
    │   └── DownloadError    a corpus that could not be fetched whole
    ├── ModelError           a model folder that is missing, damaged, hostile or too new
    ├── RunError             a run folder that exists, or cannot be written
    ├── MissingExtraError    an optional library that is not installed
    └── DivergedError        training that left the finite numbers for good (exit code 3)

A message says what was found, where, and what to do, without a full stop at its end:
``book.txt: byte 10342 is not UTF-8; try --encoding latin-1``.
"""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

MENDS = {  # by the names of the errors: not every system has all
    **dict.fromkeys(("ENOSPC", "EDQUOT"), "make room"),
    **dict.fromkeys(("EACCES", "EPERM", "EROFS"), "choose a folder that you may write to"),
    "ENOENT": "make the folder {folder} first",
    "EISDIR": "a folder has this name, so choose another",
    "EEXIST": "a file has this name, so choose another",
    "ENOTDIR": "{folder} is no folder, so choose another",
}


class CharloomError(Exception):
    """Something that the user can mend; `str(error)` is the one line that says how."""

    exit_code = 1


class UsageError(CharloomError, ValueError):
    """An option or argument out of its range, or two that exclude each other."""

    exit_code = 2


class DataError(CharloomError):
    """A text, table or corpus that cannot be read as asked."""


class DownloadError(DataError):
    """A corpus that could not be fetched, or whose bytes are not the expected ones."""


class ModelError(CharloomError):
    """A model folder that is missing, damaged, hostile, or of a later format."""


class RunError(CharloomError):
    """A run folder that already exists, or that cannot be written."""


class MissingExtraError(CharloomError):
    """An optional library that is not installed.

    `what` names what was asked for, `extra` the extra that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs a library that is not installed; pip install 'charloom[{extra}]'")


class DivergedError(CharloomError):
    """Training whose loss left the finite numbers and did not come back at a lower rate."""

    exit_code = 3


def unwritable(path: Path, error: OSError, more: str = "") -> str:
    """The line on a file that could not be written: which, why, what mends that; `more` follows."""
    told = f"{path}: cannot be written ({error.strerror or error}); {mend(path, error)}"
    return f"{told}; {more}" if more else told


def mend(path: Path, error: OSError) -> str:
    """What to do where a file could not be written at `path`."""
    known = MENDS.get(errno.errorcode.get(error.errno or 0, ""), "look at the disk, or choose another folder")
    return known.format(folder=path.parent)


def closest(name: str, known: Iterable[str], similar: float = 0.6) -> str:
    """Return which of the `known` names was probably meant by `name`, or "" (`similar` as in difflib)."""
    import difflib  # most commands need no suggestion

    by_lower = {each.lower(): each for each in known}
    asked = name.strip().lower()[: 3 * max(map(len, by_lower), default=0)]  # none is closer to a longer one
    begins = [each for each in by_lower if each == asked or (len(asked) > 2 and each.startswith(asked))]
    found = begins or difflib.get_close_matches(asked, by_lower, 1, similar)
    return by_lower[found[0]] if found else ""


def in_shell(path: Path | str) -> str:
    """Return a path as a word of a shell command: quoted if need be, and never mistaken for an option."""
    text = f"./{path}" if str(path).startswith("-") else str(path)
    if not re.search("[\udc80-\udcff]", text):
        return shlex.quote(text)
    data = text.encode("utf-8", "surrogateescape")
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in data) + "'"
