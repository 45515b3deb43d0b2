"""Bytes to text, a block at a time: encodings, line ends, Unicode's composed form, and what is no text.

In the unit "byte" nothing is decoded: each byte is carried as the character of the same number
(latin-1), so that the same code cuts, hashes and encodes it.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice

from charloom.errors import DataError
from charloom.text.config import DataConfig
from charloom.text.documents import lines
from charloom.text.encodings import likely_encoding, marked, may_begin_mark, utf8_counts
from charloom.text.formats import HEAD, format_of
from charloom.text.sources import Source

BYTES = "latin-1"  # the encoding that carries bytes as characters
SAMPLE = 2**15  # bytes that the guess of an encoding looks at
COUNTED = 64  # blocks after a byte that is not UTF-8 in which others are counted
CONTINUATION = bytes(range(0x80, 0xC0))  # bytes of UTF-8 that a block may begin with
HELD = 2**20  # bytes without a place to cut that are held back at most
Warn = Callable[[str], None]


def text_blocks(source: Source, data: DataConfig, warn: Warn | None = None) -> Iterator[str]:
    """The text of a file, normalised as `data` says, in blocks that join to the whole.

    Raises DataError where the bytes are not what `data.encoding` says, or no text at all. With `warn`, which
    is called once with that message, such bytes become U+FFFD, and only what begins as no text is refused.
    """
    if data.unit == "byte":
        return (block.decode(BYTES) for block in source.blocks())
    blocks = _decoded(source, data, warn)
    return blocks if data.normalize == "none" else composed(blocks)


def text_lines(source: Source, data: DataConfig, warn: Warn | None = None) -> Iterator[str]:
    """The lines of `text_blocks`, without their ends, each as soon as its end has arrived."""
    if data.unit == "byte" or data.normalize == "none":
        return lines(text_blocks(source, data, warn))
    return (unicodedata.normalize("NFC", line) for line in lines(_decoded(source, data, warn)))


def normalised(text: str, data: DataConfig) -> str:
    """A whole text, such as a prompt or a table's cell, as `text_blocks` would give it."""
    if data.unit == "byte":
        return text.encode("utf-8", "surrogatepass").decode(BYTES)
    if data.normalize == "none":
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text)


def composed(blocks: Iterator[str]) -> Iterator[str]:
    """NFC of a text that comes in blocks, equal to NFC of the whole.

    A block is cut before its last character that can never combine with what precedes it
    (UAX #15, "stream-safe" concatenation); what follows waits for the next block.
    """
    waiting: list[str] = []
    for block in blocks:
        cut = next((i for i in range(len(block) - 1, -1, -1) if _stands_alone(block[i])), None)
        if cut is None:
            waiting.append(block)
            continue
        yield unicodedata.normalize("NFC", "".join((*waiting, block[:cut])))
        waiting = [block[cut:]]
    yield unicodedata.normalize("NFC", "".join(waiting))


def _stands_alone(character: str) -> bool:
    """Whether NFC never joins or moves the character to the left: a safe subset, found without tables."""
    return character < "\u0300" or "\u3400" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3"


def encoding_of(source: Source, data: DataConfig) -> str:
    """The encoding that a file is read in: that of its byte order mark, if it has one, or `data`'s."""
    return _settled(source, data.encoding, next(source.blocks(), b""))


class _Place:
    """How far a file is read: bytes, line ends, bytes beyond the first of each character, the last bytes."""

    def __init__(self) -> None:
        self.bytes = self.lines = self.more = 0
        self.tail = b""

    def move(self, block: bytes, text: str) -> None:
        self.bytes += len(block)
        self.lines += _line_ends(text)
        self.more += len(block) - len(text)
        self.tail = block[-SAMPLE // 2 :] or self.tail


def _decoded(source: Source, data: DataConfig, warn: Warn | None) -> Iterator[str]:
    """The blocks of a file as text, line ends translated where the text is to be normalised."""
    blocks = source.blocks()
    head = next(blocks, b"")
    while may_begin_mark(head) and (more := next(blocks, b"")):
        head += more
    encoding = _settled(source, data.encoding, head)
    decoder = _decoder(encoding, "replace" if warn else "strict")
    translator = io.IncrementalNewlineDecoder(None, translate=True) if data.normalize != "none" else None
    place, warned = _Place(), False
    for block in chain([head], blocks, [b""]):
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            raise _misread(source, encoding, place, block, error, blocks) from error
        if "\0" in (text[: HEAD - place.bytes] if warn and place.bytes < HEAD else "" if warn else text):
            raise _binary(source, block, place.bytes)
        if warn and not warned and "\ufffd" in text:
            warned = _warned(warn, source, encoding, place, block)
        place.move(block, text)
        text = translator.decode(text, final=not block) if translator else text
        if text:
            yield text


def _settled(source: Source, encoding: str, head: bytes) -> str:
    """The encoding to use, given how the file begins: a byte order mark counts more than a wish."""
    first, _, other = encoding.partition(",")
    plain = not other or "a".encode(other) == b"a"
    if source.start:  # only UTF-8 is cut
        return encoding if plain and other else "utf-8"
    if found := format_of(head):
        raise DataError(f"{source.label}: this is {found[0]}; {found[1]}")
    if mark := marked(head):
        return mark
    if not plain:
        return first if b"\0" not in head and not utf8_counts(head)[1] else other
    if codecs.lookup(first).name in ("utf-16", "utf-32"):  # without a mark, which their decoders insist on
        guess = likely_encoding(head[:SAMPLE]) or ""
        return guess if guess.startswith(first.lower()) else f"{first}-le"
    return encoding


def _decoder(encoding: str, errors: str) -> codecs.IncrementalDecoder:
    first, _, other = encoding.partition(",")
    return _Utf8Or(other, errors) if other else codecs.getincrementaldecoder(first)(errors)


class _Utf8Or(codecs.IncrementalDecoder):
    """UTF-8 and one other encoding: of stretches that are not UTF-8, and of stray bytes in those that are."""

    def __init__(self, other: str, errors: str) -> None:
        super().__init__(errors)
        self._held = b""
        self._other = codecs.getincrementaldecoder(other)(errors)
        self._strays = f"charloom.stray-{errors}-{other}"
        codecs.register_error(self._strays, partial(_stray, other, errors))

    def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]
        data = self._held + data
        stop = len(data) if final else _last(data) + 1
        if not stop and len(data) > HELD:
            utf8 = codecs.getincrementaldecoder("utf-8")("ignore")
            utf8.decode(data)
            stop = len(data) - len(utf8.getstate()[0])
        piece, self._held = data[:stop], data[stop:]
        try:
            good, bad = utf8_counts(piece)
            if good and good >= bad:
                return piece.decode("utf-8", self._strays)
            return self._other.decode(piece, final)
        except UnicodeDecodeError as error:
            before = len(error.object) - len(piece)  # what the other one had held back
            ends = max(0, error.start - before), max(1, error.end - before)
            raise UnicodeDecodeError(error.encoding, data, *ends, error.reason) from error


def _last(data: bytes) -> int:
    """The place of the last byte that is never a part of a longer character, in any encoding like ASCII."""
    return max(data.rfind(byte) for byte in b"\n ,.")


def _stray(other: str, errors: str, error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    try:
        return error.object[error.start : error.end].decode(other, errors), error.end
    except UnicodeDecodeError:
        raise error from None


def _misread(
    source: Source, encoding: str, place: _Place, block: bytes, error: UnicodeError, rest: Iterator[bytes]
) -> DataError:
    """What to say of bytes that do not fit the encoding, in the block behind `place`."""
    found, start, end = block, 0, 1
    if isinstance(error, UnicodeDecodeError):
        found, start, end = error.object, error.start, error.end  # it begins with held-back bytes
    held = len(found) - len(block)
    at = source.start + place.bytes - held + start
    after = found[start:] + b"".join(islice(rest, COUNTED))
    known = 0  # characters that are UTF-8 beyond doubt
    if codecs.lookup(encoding.partition(",")[0]).name.startswith("utf-8"):
        good, bad = utf8_counts(found[:start] + after)
        known = place.more - held + good
        if block and known and known >= bad:
            return _stray_bytes(source, place, found, (start, end), bad)
    before = place.tail[: len(place.tail) - held] + found[:start]
    begin = _last(before) + 1
    sample = (before[begin if len(before) - begin < SAMPLE else len(before) :] + after)[:SAMPLE]
    likely = likely_encoding(sample) or likely_encoding(sample[1:])
    if not block and (known or not likely or end - start > 1):
        return DataError(
            f"{source.label}: the last character, at byte {at}, is cut short; fetch the file again"
        )
    hint = f"try --encoding {likely}" if likely else "it is no text, or in an encoding that only you can know"
    return DataError(f"{source.label}: byte {at} is not {encoding.removesuffix('-sig').upper()}; {hint}")


def _stray_bytes(source: Source, place: _Place, found: bytes, ends: tuple[int, int], bad: int) -> DataError:
    """What to say of UTF-8 that a few bytes do not belong to; another encoding would break the rest."""
    start, end = ends
    before = replace(source, start=0, end=source.start).blocks() if source.start else ()
    line = 1 + place.lines + _line_ends(found[:start].decode(BYTES))
    line += sum(_line_ends(block.decode(BYTES)) for block in before)
    strays = " ".join(f"0x{byte:02X}" for byte in found[start:end])
    others = f" and {bad - end + start:,} more" if bad > end - start else ""
    hint = "fix the line"
    with contextlib.suppress(UnicodeDecodeError):
        if end - start == 1:
            meant = found[start:end].decode("cp1252")
            hint += f", or read such bytes as cp1252 ({meant}) with --encoding utf-8,cp1252"
    plural = "bytes" if end - start > 1 else "byte"
    return DataError(f"{source.label}: UTF-8 except for {plural} {strays} at line {line}{others}; {hint}")


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _binary(source: Source, block: bytes, read: int) -> DataError:
    likely = likely_encoding(block[:SAMPLE]) or ""
    if likely.startswith(("utf-16", "utf-32")):
        return DataError(f"{source.label}: holds NULs as {likely.upper()} does; try --encoding {likely}")
    return DataError(
        f"{source.label}: byte {read + block.find(0)} is NUL, so this is binary data, not text; "
        "give a text, or try --unit byte"
    )


def _warned(warn: Warn, source: Source, encoding: str, place: _Place, block: bytes) -> bool:
    """Warn of the first bytes of a block that do not fit the encoding; whether there were any."""
    try:
        _decoder(encoding, "strict").decode(block.lstrip(CONTINUATION))
    except UnicodeError as error:
        warn(f"{_misread(source, encoding, place, block, error, iter(()))}; U+FFFD stands for such bytes")
        return True
    return False  # the text itself has a U+FFFD
