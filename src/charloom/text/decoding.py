"""Bytes to text, a block at a time: encodings, line ends, Unicode's composed form, and what is no text.

In the unit "byte" nothing is decoded: each byte is carried as the character of the same number
(latin-1), so that the same code cuts, hashes and encodes it.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
from collections.abc import Iterator

import charset_normalizer

from charloom.errors import DataError
from charloom.text.config import DataConfig
from charloom.text.sources import Source

BYTES = "latin-1"  # the encoding that carries bytes as characters
SAMPLE = 2**15  # bytes that the guess of an encoding looks at
MARKS = (  # byte order marks; that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# taken rather than their kin
USUAL = ("utf_8", "cp1252", "latin_1", "cp1251", "cp932", "gb18030", "big5", "euc_kr")
FORMATS = (  # how files begin that hold text in another form
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a .docx, .odt, .epub or another zipped document"),
    (b"\xd0\xcf\x11\xe0", "an old Word document"),
    (b"{\\rtf", "an RTF document"),
)


def text_blocks(source: Source, data: DataConfig) -> Iterator[str]:
    """The text of a file, normalised as `data` says, in blocks that join to the whole.

    Raises DataError where the bytes are not what `data.encoding` says, or no text at all.
    """
    if data.unit == "byte":
        return (block.decode(BYTES) for block in source.blocks())
    if data.normalize == "none":
        return _decoded(source, data.encoding, newlines=False)
    return composed(_decoded(source, data.encoding, newlines=True))


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


def _decoded(source: Source, encoding: str, newlines: bool) -> Iterator[str]:
    decoder: codecs.IncrementalDecoder | io.IncrementalNewlineDecoder | None = None
    read = source.start
    for block in source.blocks():
        if decoder is None:
            encoding = "utf-8" if source.start else _settled(source, encoding, block)  # none other is cut
            decoder = codecs.getincrementaldecoder(encoding)("strict")
            if newlines:
                decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        try:
            text = decoder.decode(block)
        except UnicodeError as error:
            raise _misread(source, encoding, block, read, error) from error
        if "\0" in text:
            raise _binary(source, block, read)
        read += len(block)
        if text:
            yield text
    if decoder is not None:
        try:
            text = decoder.decode(b"", final=True)
        except UnicodeError as error:
            at = read - len(error.object) if isinstance(error, UnicodeDecodeError) else read
            raise DataError(
                f"{source.label}: the last character, at byte {at}, is cut short; fetch the file again"
            ) from error
        if text:
            yield text


def _settled(source: Source, encoding: str, head: bytes) -> str:
    """The encoding to use, given the first block: a byte order mark tells more than the default."""
    for magic, what in FORMATS:
        if head.startswith(magic):
            raise DataError(f"{source.label}: this is {what}; save it as plain text (.txt) first")
    if codecs.lookup(encoding).name == "utf-8":
        return next((marked for mark, marked in MARKS if head.startswith(mark)), encoding)
    return encoding


def _misread(source: Source, encoding: str, block: bytes, read: int, error: UnicodeError) -> DataError:
    at, start = read, 0
    if isinstance(error, UnicodeDecodeError):
        start = max(
            0, error.start - (len(error.object) - len(block))
        )  # its object begins with held-back bytes
        at = read + error.start - (len(error.object) - len(block))
    sample = block[max(0, start - SAMPLE // 2) : start + SAMPLE // 2]
    likely = likely_encoding(sample)
    mend = f"try --encoding {likely}" if likely else "it is no text, or in an encoding that only you can know"
    return DataError(f"{source.label}: byte {at} is not {encoding.removesuffix('-sig').upper()}; {mend}")


def _binary(source: Source, block: bytes, read: int) -> DataError:
    likely = likely_encoding(block[:SAMPLE]) or ""
    if likely.startswith(("utf-16", "utf-32")):
        return DataError(f"{source.label}: holds NULs as {likely.upper()} does; try --encoding {likely}")
    return DataError(
        f"{source.label}: byte {read + block.find(0)} is NUL, so this is binary data, not text; "
        "give a text, or try --unit byte"
    )


def encoding_of(source: Source, data: DataConfig) -> str:
    """The encoding that a file is read in: that of its byte order mark, if it has one, or `data`'s."""
    return _settled(source, data.encoding, next(source.blocks(), b""))


def likely_encoding(sample: bytes) -> str | None:
    """The name of the encoding that these bytes most likely are in, or None."""
    matches = list(charset_normalizer.from_bytes(sample))
    if not matches:
        return None
    best = matches[0]
    near = {
        name
        for match in matches
        if match.chaos <= best.chaos + 0.11 and match.coherence >= best.coherence - 0.05
        for name in (match.encoding, *match.could_be_from_charset)
    }  # short samples of Latin script fit rare encodings a little better than the usual one
    return next((name for name in USUAL if name in near), best.encoding).replace("_", "-")
