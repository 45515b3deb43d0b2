"""Delimited text (CSV, TSV and their kin) to records: the dialect is recognized, damage is an error.

`csv` alone drops nothing, but a lone quote swallows every row up to the next one. So it runs in its strict
mode, every row must have as many cells as the first, and an error names the line on which the quote opened.
"""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, product

from charloom.errors import DataError

DELIMITERS = ",;\t|"  # those that are recognized; any other is named with --delimiter
SAMPLE = 2**16  # characters from which the dialect is recognized
HEADER = 8  # lines that the names of columns may take, quoted ones with line breaks
MAX_CELL = 2**28  # characters; csv's own limit, 131,072, is shorter than a book
MAX_SWALLOWED = 20  # lines of one cell with as many delimiters as rows, from which that is no accident
MAX_NUMBERED = 3  # the same, where the lines are numbered one after another
SEPARATOR = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # the first line that Excel understands
QUOTED = r'"[^"]*+(?:""[^"]*+)*+"'
ESCAPED = re.compile(r'\\(["\\])')
# A decoder never gives lone surrogates, so they can stand for what csv must not see.
LONG_DELIMITER, QUOTE, BACKSLASH = "\udc00", "\udc22", "\udc5c"
MARKS = {ord(QUOTE): '"', ord(BACKSLASH): "\\"}


@dataclass(frozen=True)
class Dialect:
    r"""How cells are told apart.

    `delimiter` may have several characters. `quotes`: cells may be quoted. `spaces`: the delimiter is
    followed by spaces that belong to no cell. `escapes`: `\"` is a quote and `\\` a backslash.
    """

    delimiter: str
    quotes: bool = True
    spaces: bool = False
    escapes: bool = False


def lines(blocks: Iterable[str]) -> Iterator[str]:
    r"""Yield the lines of a text that comes in blocks, each with its end: `\n`, `\r\n` or `\r`."""
    waiting: list[str] = []
    held = ""  # a \r whose \n may come with the next block
    for block in blocks:
        block = held + block
        held = "\r" if block.endswith("\r") else ""
        for line in io.StringIO(block.removesuffix(held), newline=""):
            waiting.append(line)
            if line[-1] in "\r\n":
                yield "".join(waiting)
                waiting.clear()
    if last := "".join(waiting) + held:
        yield last


def records(
    text: Iterator[str], names: Sequence[str], chosen: Dialect, usual: str, label: str
) -> tuple[Dialect, Iterator[tuple[int, list[str]]]]:
    """Return the dialect of these lines, and their records, each with the number of its first line.

    An empty delimiter of `chosen` is recognized from the header, in which `names` should be, and the rows
    after it; `usual` is the one that the file's name suggests. Records raise DataError for what is damaged.
    """
    sample: list[str] = []
    size = 0
    for line in text:
        sample.append(line)
        if (size := size + len(line)) > SAMPLE:
            break
    skipped = 0
    if sample and (found := SEPARATOR.fullmatch(sample[0])):
        usual, skipped = found[1], 1
    rows = sample[skipped:]
    head = "".join(rows[:HEADER])
    if chosen.delimiter:
        likely = [chosen.delimiter]
    elif skipped:
        likely = [usual]
    else:
        likely = [each for each in dict.fromkeys((usual, *DELIMITERS)) if each in head or each == usual]
    flags = (False, True) if chosen.quotes else (False,)
    dialects = [
        replace(chosen, delimiter=d, spaces=s, escapes=e) for d, s, e in product(likely, flags, flags)
    ]
    # The first of the best: what is usual wins where nothing speaks against it.
    dialect = max(dialects, key=lambda each: _fit(each, rows, set(names), usual)) if rows else dialects[0]
    return dialect, iter(_Records(chain(rows, text), dialect, label, skipped))


def _fit(
    dialect: Dialect, sample: Sequence[str], wanted: set[str], usual: str
) -> tuple[bool, bool, float, int]:
    """Rate a dialect by a sample: what its header has, the share of lines in whole rows, the columns."""
    found = _Records(iter(sample), dialect, "", 0, switches=False)
    header: list[str] = []
    good = 0
    try:
        for start, cells in found:
            header = header or cells
            if not any(cell[:1] == " " and cell.lstrip(" ")[:1] == '"' for cell in cells):
                good += found.line - start + 1
    except DataError:
        pass
    several = len(header) > 1
    share = good / len(sample) if several or dialect.delimiter == usual else 0.0
    return wanted <= set(header), several, share, len(header)


class _Records:
    r"""Records with the number of their first line; see `records`.

    Where `\"` escapes turn up only after the sample, the file is read so from that record on.
    """

    def __init__(
        self, text: Iterator[str], dialect: Dialect, label: str, line: int, switches: bool = True
    ) -> None:
        csv.field_size_limit(MAX_CELL)
        self.line = line  # the number of the last line read
        self._text, self._label = text, label
        self._switches = switches and dialect.quotes
        self._record: list[str] = []  # its lines as they came
        self._use(dialect)

    def _use(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._delimiter = dialect.delimiter if len(dialect.delimiter) == 1 else LONG_DELIMITER
        self._plain = self._delimiter == dialect.delimiter and not dialect.escapes

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        width = 0
        while True:
            start, problem = self.line + 1, ""
            try:
                for cells in self._reader():
                    if not width and any(cells):
                        width = len(cells)
                    if cells and (problem := self._problem(cells, width, start)):
                        break
                    if cells and len(cells) == width:
                        yield start, cells if self._plain else list(map(self._restored, cells))
                    self._record.clear()
                    start = self.line + 1
            except csv.Error as error:
                problem = self._damage(start, str(error))
            if not problem:
                return
            if not self._switches or self._dialect.escapes or not any('\\"' in line for line in self._record):
                raise DataError(problem)
            self._use(replace(self._dialect, escapes=True))
            self.line -= len(self._record)
            self._text = chain(self._record, self._text)
            self._record = []

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(
            self._read(),
            delimiter=self._delimiter,
            quoting=csv.QUOTE_MINIMAL if self._dialect.quotes else csv.QUOTE_NONE,
            skipinitialspace=self._dialect.spaces,
            strict=True,
        )

    def _read(self) -> Iterator[str]:
        for line in self._text:
            self._record.append(line)
            self.line += 1
            yield line if self._plain else self._marked(line)

    def _marked(self, line: str) -> str:
        if self._dialect.escapes:
            line = ESCAPED.sub(lambda found: QUOTE if found[1] == '"' else BACKSLASH, line)
        return (
            line
            if self._delimiter == self._dialect.delimiter
            else line.replace(self._dialect.delimiter, self._delimiter)
        )

    def _restored(self, cell: str) -> str:
        if self._dialect.escapes:
            cell = cell.replace("\\\n", "\n").translate(MARKS)
        return cell.replace(LONG_DELIMITER, self._dialect.delimiter)

    def _problem(self, cells: list[str], width: int, start: int) -> str:
        """Say what is wrong with a record that csv has accepted, or ""."""
        delimiter, size = self._dialect.delimiter, len(self._record)
        if len(cells) != width and any(cell.strip() for cell in cells):
            found = f"{len(cells)} cell{'s' if len(cells) > 1 else ''}"
            return (
                f"{self._place(start)}: {found}, but the first row has {width}; put cells that hold "
                f"{delimiter!r} or a line break into double quotes, or name the separator with --delimiter"
            )
        if size < MAX_NUMBERED or width < 2 or any(row.count(delimiter) != width - 1 for row in self._record):
            return ""
        first = [row.split(delimiter)[0] for row in self._record]
        number = int(first[0]) if re.fullmatch(r"\d{1,18}", first[0]) else 0
        if size >= MAX_SWALLOWED or first == [str(number + further) for further in range(size)]:
            return (
                f"{self._place(start)}: one quoted cell holds lines that all look like rows; remove the lone "
                f"double quote on line {start}"
            )
        return ""

    def _damage(self, start: int, reason: str) -> str:
        """Say what csv has refused, at the line on which the quote opened."""
        marked = list(map(self._marked, self._record))
        ends = list(accumulate(map(len, marked)))
        text, delimiter = "".join(marked), re.escape(self._delimiter)
        spaces = " *" if self._dialect.spaces else ""
        whole = re.compile(
            f'{spaces}(?:{QUOTED}|[^"{delimiter}\r\n][^{delimiter}\r\n]*+|)({delimiter}|\r\n?|\n)'
        )
        at = 0
        while found := whole.match(text, at):
            at = found.end()
        opened = start + bisect(ends, at)
        closed = re.match(f"{spaces}{QUOTED}", text[at:])
        if not text[at:].lstrip(" ").startswith('"'):
            what = f"no table ({reason})"
        elif closed is None:
            what = "the double quote that opens here is never closed"
        else:
            end = at + closed.end()
            there = start + bisect(ends, end)
            what = f"the double quote that opens here closes{f' on line {there}' if there > opened else ''} "
            what += f"before {text[end : end + 1]!r}"
        return (
            f'{self._label}: line {opened}: {what}; remove it, write "" for a quote inside a quoted cell, or '
            "--set data.quotes=false where quotes are part of the text"
        )

    def _place(self, start: int) -> str:
        return f"{self._label}: " + (
            f"line {start}" if self.line == start else f"lines {start} to {self.line}"
        )
