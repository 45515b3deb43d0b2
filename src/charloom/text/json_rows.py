"""JSON to rows: lines, a list, objects one after another, one object that holds the rows; nested fields.

A file is read through a buffer that holds no more than one value needs, so a list of any length fits. What
is one long object can only be such a list with a name before it, and its lists are read in the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from charloom.errors import DataError

Row = tuple[int, Mapping[str, Any]]  # the number of the line on which it begins, and its fields

MAX_OBJECT = 2**24  # characters of an object that is read as one; a longer one is read list by list
MAX_TOKEN = 16  # characters of the longest token that an end of the buffer can make invalid
SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()
SPEAKERS = (("role", "content"), ("from", "value"))  # the fields of a chat's messages


def rows(blocks: Iterable[str], names: Sequence[str], label: str) -> tuple[str, Iterator[Row]]:
    """Return the name of the list that holds the rows (mostly ""), and the rows of JSON that comes in blocks.

    `names` are the columns that are wanted. Rows raise DataError, with the line, for what is not JSON.
    """
    scanner = _Scanner(blocks, label)
    if scanner.peek() != "{":
        return "", _objects(scanner, _values(scanner))
    line = scanner.line
    first = scanner.value(MAX_OBJECT)
    if first is None:
        return _listed(scanner, scanner.lists(), names)
    if scanner.peek():
        return "", _objects(scanner, chain([(line, first)], _values(scanner)))
    if columns := _columns(first):
        return "", ((line, dict(zip(first, cells, strict=True))) for cells in zip(*columns, strict=True))
    direct = all(name in first for name in names) if names else any(map(_is_text, first))
    lists = {name: found for name, found in first.items() if _objects_only(found) and not is_chat(found)}
    if direct or not lists:
        return "", iter([(line, first)])
    return _listed(scanner, ((line, name, each) for name in lists for each in lists[name]), names)


def reach(value: Any, path: Sequence[str]) -> Any:
    """Return what lies at a path of names: of a list, what each of its objects has; None for nothing."""
    if not path:
        return value
    if isinstance(value, Mapping):
        return reach(value.get(path[0]), path[1:])
    if not isinstance(value, list):
        return None
    found = [reach(each, path) for each in value]
    return list(chain.from_iterable(each if isinstance(each, list) else [each] for each in found))


def paths(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of a row's fields, those of objects within it after a dot."""
    for name, value in row.items():
        yield name
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                yield from (f"{name}.{path}" for path in paths(each))


def is_chat(value: Any) -> bool:
    """Return whether this is a list of messages that each say who speaks."""
    return _objects_only(value) and _speaker(value) is not None


def as_text(value: Any) -> str | None:
    """Return a value as text: "" where it is missing, None where it is none.

    Numbers and true and false are spelled, a list of texts is a text a line, a chat a message a line.
    """
    if value is None or value != value:  # NaN is how tables of numbers spell null
        return ""
    if isinstance(value, bool):
        return json.dumps(value)
    if is_chat(value):
        who, what = _speaker(value) or SPEAKERS[0]
        said = ((each[who], as_text(_content(each.get(what)))) for each in value)
        return "\n".join(f"{speaker}: {text}" for speaker, text in said if text)
    if isinstance(value, list):
        found = [as_text(each) for each in value if not isinstance(each, list)]
        texts = [each for each in found if each is not None]
        return "\n".join(filter(None, texts)) if len(texts) == len(value) else None
    return None if isinstance(value, (Mapping, bytes)) else str(value)


def _speaker(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The names of the fields that say who speaks and what; a message may lack what."""
    for who, what in SPEAKERS:
        if all(who in each for each in messages) and any(what in each for each in messages):
            return who, what
    return None


def _content(value: Any) -> Any:
    """A message's content, which may come in parts of which some are no text."""
    return [each["text"] for each in value if "text" in each] if _objects_only(value) else value


def _is_text(name: str) -> bool:
    return name.strip().lower() == "text"


def _objects_only(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _columns(table: Mapping[str, Any]) -> list[list[Any]]:
    """The columns of an object that is a table by columns, as pandas writes it; [] if it is none."""
    found = list(table.values())
    if all(isinstance(each, dict) and list(each) == [str(i) for i in range(len(each))] for each in found):
        found = [list(each.values()) for each in found]
    if not all(isinstance(each, list) and not any(map(_is_nested, each)) for each in found):
        return []
    return found if len({len(each) for each in found}) == 1 else []


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _listed(
    scanner: _Scanner, lists: Iterator[tuple[int, str, Any]], names: Sequence[str]
) -> tuple[str, Iterator[Row]]:
    """The rows of one of the lists of an object: of that which `names` name, or of the only one."""
    wanted = {name.partition(".")[0] for name in names if "." in name}
    found = (each for each in lists if not wanted or each[1] in wanted)
    first = next(found, None)
    if first is None:
        raise DataError(f"{scanner.label}: is one object without a list of rows; save an object a line")

    def checked() -> Iterator[tuple[int, Any]]:
        for line, name, value in chain([first], found):
            if name != first[1]:
                raise DataError(
                    f"{scanner.label}: has rows in {first[1]!r} and {name!r}; name one: --text {name}.text"
                )
            yield line, value

    return first[1], _objects(scanner, checked())


def _objects(scanner: _Scanner, values: Iterator[tuple[int, Any]]) -> Iterator[Row]:
    for line, value in values:
        if isinstance(value, str):
            yield line, {"text": value}
        elif isinstance(value, dict) or value is None:
            yield line, value or {}
        else:
            kind = "a list" if isinstance(value, list) else "a number, true or false"
            raise DataError(f"{scanner.label}: line {line} holds {kind}; each row must be a JSON object")


def _values(scanner: _Scanner) -> Iterator[tuple[int, Any]]:
    """All values, those of lists one by one; commas between values may be too many or missing."""
    while scanner.peek():
        if scanner.takes("["):
            yield from scanner.elements()
        elif not scanner.takes(","):
            line = scanner.line
            yield line, scanner.value()


class _Scanner:
    """JSON that comes in blocks, a value at a time. `line` is the number of the line it has come to."""

    def __init__(self, blocks: Iterable[str], label: str) -> None:
        self.label = label
        self._blocks = iter(blocks)
        self._text, self._at = "", 0
        self._line, self._counted = 1, 0  # the line of the character `_counted`

    @property
    def line(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def peek(self) -> str:
        """Return the next character that is no white space, "" at the end."""
        while True:
            character = self._text[self._at : self._at + 1]
            if character not in " \t\r\n":  # which holds "", too
                return character
            found = SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def takes(self, character: str) -> bool:
        """Go past this character, if it is the next."""
        found = self.peek() == character
        self._at += found
        return found

    def value(self, longest: int = 0) -> Any:
        """Return the next value; None for one of more than `longest` characters, if that is given."""
        self.peek()
        while True:
            at, size = self._at, len(self._text)
            try:
                value, end = DECODER.raw_decode(self._text, at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= size - MAX_TOKEN
                if cut and longest and size - at > longest:
                    return None
                if not (cut and self._more()):
                    raise self._invalid(error.msg, error.pos) from error
            except (ValueError, RecursionError) as error:  # a number of too many digits, or too many brackets
                raise self._invalid(str(error), at) from error
            else:
                # A number goes on after the buffer, perhaps.
                if end < size or self._text[end - 1] in '"]}' or not self._more():
                    self._at = end
                    return value

    def elements(self) -> Iterator[tuple[int, Any]]:
        """Yield the values of a list that has just been opened."""
        opened = self.line
        while (character := self.peek()) != "]":
            if not character:
                raise DataError(
                    f"{self.label}: the list that opens on line {opened} is never closed, so the file is not "
                    "whole; fetch or save it again"
                )
            if character == ",":
                self._at += 1
            else:
                line = self.line
                yield line, self.value()
        self._at += 1

    def lists(self) -> Iterator[tuple[int, str, Any]]:
        """Yield the objects in the lists of the next object, each with its line and the list's name."""
        self.takes("{")
        while not self.takes("}"):
            name = self.value()
            self.takes(":")
            if self.takes("["):
                yield from ((line, name, value) for line, value in self.elements() if isinstance(value, dict))
            else:
                self.value()
            self.takes(",")

    def _invalid(self, reason: str, at: int) -> DataError:
        began = self.line
        line = began + self._text.count("\n", self._at, at)
        where = f", in the value that begins on line {began}" if line > began else ""
        return DataError(f"{self.label}: line {line} is not valid JSON ({reason}{where}); fix the line")

    def _more(self) -> bool:
        """Drop what was read, and double the rest with further blocks; False at the end of the text."""
        line = self.line
        parts, size = [self._text[self._at :]], 0
        for block in self._blocks:
            parts.append(block)
            if 0 < (size := size + len(block)) >= len(parts[0]):
                break
        if size:
            self._text, self._at, self._line, self._counted = "".join(parts), 0, line, 0
        return size > 0
