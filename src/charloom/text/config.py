"""How a text is to be read: the `[data]` settings, and what is told while it is done."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from charloom.errors import UsageError

Documents = Literal["auto", "whole", "line", "blank"]
DOCUMENTS = ("auto", "whole", "line", "blank")
SPELLED = {"tab": "\t", "\\t": "\t"}  # what a shell does not easily pass on
NONE = "none"  # the condition of who wants none


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Everything that decides what ids a text becomes. Raises UsageError for a value out of its range.

    `fractions` are percentages: training, validation, test. `text`, `condition` and `source` name the
    columns of a table, by name or by number from 0, of JSON and Parquet also by path (`data.text`);
    `validation` is a file or corpus of its own.
    """

    documents: Documents = "auto"  # most people do not know that there is a choice; the guess is told
    fractions: tuple[float, float, float] = (90, 5, 5)  # training text matters most, 5 % measures well enough
    unit: Literal["char", "byte"] = "char"  # a character is what people write; bytes are for everything else
    normalize: Literal["nfc", "none"] = (
        "nfc"  # one way to write é, one kind of line end: fewer things to learn
    )
    encoding: str = "utf-8"  # a wrong guess would train on garbage, so nothing else is tried unasked
    text: tuple[str, ...] = ()  # empty: the column called "text", or the only one
    condition: tuple[str, ...] = ()  # empty: the labels of the catalog entry, if it has some; none: no labels
    source: str = ""  # empty: nothing is translated
    delimiter: str = ""  # empty: recognized from the header
    quotes: bool = True  # double quotes may enclose a cell; false: they are part of the text
    validation: str = ""  # empty: a part of the text itself

    @property
    def conditions(self) -> tuple[str, ...]:
        """The columns of `condition`, without "none"."""
        return () if self.condition == (NONE,) else self.condition

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("documents", self.documents, DOCUMENTS),
            ("unit", self.unit, ("char", "byte")),
            ("normalize", self.normalize, ("nfc", "none")),
        ):
            if value not in allowed:
                raise UsageError(f"{name}: {value!r} is none of {', '.join(allowed)}")
        object.__setattr__(self, "delimiter", SPELLED.get(self.delimiter, self.delimiter))
        if any(character in '"\r\n' for character in self.delimiter):
            raise UsageError(f"delimiter: {self.delimiter!r} cannot separate cells; use another, such as ;")
        total = math.fsum(self.fractions)
        if len(self.fractions) != 3 or min(self.fractions) < 0 or not math.isclose(total, 100):
            given = "/".join(f"{fraction:g}" for fraction in self.fractions)
            raise UsageError(f"fractions: {given} are not three percentages that sum to 100, such as 90/5/5")
        if not self.fractions[0]:
            raise UsageError("fractions: nothing is left to train on; give the first one more than 0")
        first, _, other = self.encoding.partition(",")
        for name in (first, other or first):
            try:
                b"a".decode(name)
            except UnicodeError:
                continue  # an encoding with more than a byte a character
            except (LookupError, ValueError):
                raise UsageError(
                    f"encoding: there is none called {name!r}; utf-8, latin-1, cp1252 are some"
                ) from None
        if other and codecs.lookup(first).name != "utf-8":
            raise UsageError(
                f"encoding: {first} cannot have another one beside it; only utf-8 can, as utf-8,cp1252"
            )


@dataclass(frozen=True)
class Progress:
    """How far a text has been read: `done` bytes of `total` (None: unknown), and at what.

    "reading on" is going on from where an interrupted process had come to.
    """

    done: int
    total: int | None
    doing: Literal[
        "downloading",
        "copying",
        "checking",
        "reading",
        "reading on",
        "encoding",
        "counting",
        "waiting for another process",
    ]


Report = Callable[[Progress], None]
