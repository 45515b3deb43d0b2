"""Characters to ids and back, without loss.

Ids 0…n−1 are the ordinary tokens, then come the specials, then characters that were learned later.
A character outside the vocabulary is written as its UTF-8 bytes: byte b has the *virtual id*
``len(vocabulary) + b``. All virtual ids share the one row `<byte>` of the model, so the probability of
a byte is p(`<byte>`)/256. What five characters ``<eos>`` a text holds are text: specials are ids only.

A lone surrogate (half a pair, which Python strings can hold) counts as a character; its bytes are those
that Python's "surrogatepass" gives it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from charloom.errors import DataError, ModelError

if TYPE_CHECKING:
    from typing_extensions import Buffer  # in collections.abc from Python 3.12 on

BOS, EOS, SEP, BYTE = "<bos>", "<eos>", "<sep>", "<byte>"
SPECIALS = (BOS, EOS, SEP, BYTE)
FORMAT = 1

POINTS = 0x110000  # how many code points Unicode has
UTF32 = "utf-32-le"
FEW = 64  # ids: below so many, looking each up in Python is quicker than arrays
LENIENT = "charloom.lenient"  # the name of our decoding error handler

Unit = Literal["char", "byte"]
Ids = npt.NDArray[np.int32]
CodePoints = npt.NDArray[np.uint32] | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Special:
    """An id that is no character, such as `<eos>`."""

    name: str


Token = str | int | Special  # a character, a byte, or a special


@dataclass(frozen=True)
class Vocabulary:
    """Every id's meaning; `len(vocabulary)` is the number of rows the model has.

    `tokens[id]` is a character (unit "char"), a byte (unit "byte"), or a `Special`.
    """

    unit: Unit
    tokens: tuple[Token, ...]

    @classmethod
    def from_text(cls, text: str, specials: Sequence[str] = ()) -> Vocabulary:
        """Ids in order of first appearance in `text`, then the specials."""
        return cls.of_characters(dict.fromkeys(text), specials)

    @classmethod
    def of_characters(cls, characters: Iterable[str], specials: Sequence[str] = ()) -> Vocabulary:
        """Ids in the order of these distinct characters, then the specials."""
        return cls("char", (*characters, *map(Special, specials)))

    @classmethod
    def of_bytes(cls, specials: Sequence[str] = ()) -> Vocabulary:
        """The id of a byte is the byte; then the specials."""
        return cls("byte", (*range(256), *map(Special, specials)))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def specials(self) -> Mapping[str, int]:
        """The id of each special that this vocabulary has."""
        return {token.name: i for i, token in enumerate(self.tokens) if isinstance(token, Special)}

    @cached_property
    def characters(self) -> tuple[str | int, ...]:
        """The ordinary tokens, in the order of their ids."""
        return tuple(token for token in self.tokens if not isinstance(token, Special))

    @cached_property
    def places(self) -> Mapping[str | int, int]:
        """The id of each ordinary token."""
        return {token: i for i, token in enumerate(self.tokens) if not isinstance(token, Special)}

    def id_of(self, special: str) -> int | None:
        """The id of a special, or None where the vocabulary has it not."""
        return self.specials.get(special)

    @property
    def bos(self) -> int | None:
        """The id of `<bos>`, if any."""
        return self.id_of(BOS)

    @property
    def eos(self) -> int | None:
        """The id of `<eos>`, if any."""
        return self.id_of(EOS)

    @property
    def sep(self) -> int | None:
        """The id of `<sep>`, if any."""
        return self.id_of(SEP)

    @property
    def byte(self) -> int | None:
        """The id of `<byte>`, if any: the row that every byte of an unknown character shares."""
        return self.id_of(BYTE)

    def encode(self, text: str | bytes) -> Ids:
        """Ids of a text, (n,) int32; `decode` gives the same text back, whatever it holds.

        Unit "char": one id a character, or a virtual id for each UTF-8 byte of an unknown one. Unit
        "byte": one id a byte of the text's UTF-8, or of `text` itself where it is bytes.

        Raises DataError for an unknown character where the vocabulary has no `<byte>`.
        """
        if isinstance(text, bytes) or self.unit == "byte":
            data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
            return np.frombuffer(data, dtype=np.uint8).astype(np.int32)
        return self.encode_points(code_points(text))

    def encode_points(self, points: CodePoints) -> Ids:
        """`encode` for code points, (n,) of any integer type.

        The code point `POINTS` + k, beyond Unicode, stands for the k-th of `SPECIALS`: so documents are
        encoded many at a time, with their ends.
        """
        ids = self._table.take(points, mode="clip")  # quicker than the check, which nothing here can fail
        if ids.size and ids.min() < 0:
            return self._spelled(ids, points)
        return ids

    def rows(self, ids: npt.ArrayLike) -> Ids:
        """The rows of the model for these ids: virtual ids become the row of `<byte>`.

        Raises DataError for an id out of range.
        """
        array = np.asarray(ids, dtype=np.int32)
        self.require(array)
        return array if self.byte is None else np.where(array < len(self), array, np.int32(self.byte))

    def require(self, ids: npt.NDArray[np.integer[Any]]) -> None:
        """Raise DataError where one of `ids` (n,) is none of this vocabulary, nor a virtual one."""
        count = len(self) + (0 if self.byte is None else 256)
        if ids.size and (ids.min() < 0 or ids.max() >= count):
            raise DataError(
                f"the ids run from {ids.min()} to {ids.max()}; this vocabulary has 0 to {count - 1}"
            )

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of these ids; specials give nothing, bytes that are not UTF-8 give U+FFFD."""
        decoder = self.decoder()
        return decoder.feed(ids) + decoder.flush()

    def decoder(self) -> Decoder:
        """A decoder for ids that arrive piece by piece."""
        return Decoder(self)

    def extended(self, characters: Iterable[str], specials: Sequence[str] = ()) -> Vocabulary:
        """The same with what is new among these appended; every old id stays."""
        more = characters if self.unit == "char" else ()
        return Vocabulary(self.unit, tuple(dict.fromkeys((*self.tokens, *more, *map(Special, specials)))))

    def to_json(self) -> dict[str, Any]:
        """What vocab.json holds: a format version, the unit, and every id in order."""
        return {"format": FORMAT, "unit": self.unit, "ids": [_token_to_json(token) for token in self.tokens]}

    @classmethod
    def from_json(cls, obj: object) -> Vocabulary:
        """The vocabulary that `to_json` wrote. Raises ModelError for anything else."""
        if not isinstance(obj, dict):
            raise _damaged("it is not a JSON object")
        version = obj.get("format")
        if type(version) is not int or version < 1:
            raise _damaged("it has no format version")
        if version > FORMAT:
            raise ModelError(
                f"vocab.json: format {version} is newer than this charloom reads ({FORMAT}); upgrade charloom"
            )
        unit, listed = obj.get("unit"), obj.get("ids")
        if unit not in ("char", "byte"):
            raise _damaged(f"its unit is {unit!r:.40}, not char or byte")
        if not isinstance(listed, list) or not 1 <= len(listed) <= POINTS + len(SPECIALS):
            raise _damaged("its ids are not a list of tokens")
        tokens = tuple(_token_from_json(item, i, unit) for i, item in enumerate(listed))
        if len(set(tokens)) != len(tokens):
            raise _damaged("a token has two ids")
        if unit == "byte" and (tokens[:256] != tuple(range(256)) or Special(BYTE) in tokens):
            raise _damaged("in the unit byte the first 256 ids are the bytes, and there is no <byte>")
        return cls(cast(Unit, unit), tokens)

    @cached_property
    def _table(self) -> Ids:
        """The id of every code point and of the stand-ins of `encode_points`; −1 where there is none."""
        table = np.full(POINTS + len(SPECIALS), -1, dtype=np.int32)
        for i, token in enumerate(self.tokens):
            if isinstance(token, Special):
                table[POINTS + SPECIALS.index(token.name)] = i
            else:
                table[ord(token) if isinstance(token, str) else token] = i
        return table

    @cached_property
    def spelling(self) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.uint32]]:
        """What `Decoder` makes of each id, virtual ones included: its kind (special 0, character 1, byte 2)
        and its code point or byte.
        """
        kinds = [0 if isinstance(token, Special) else 1 for token in self.tokens]
        if self.unit == "byte":
            kinds = [2 * kind for kind in kinds]
        elif self.byte is not None:
            kinds += [2] * 256
        points = [
            token if isinstance(token, int) else ord(token) if isinstance(token, str) else 0
            for token in self.tokens
        ]
        return np.array(kinds, np.int8), np.array([*points, *range(256)], np.uint32)

    @cached_property
    def whole(self) -> Mapping[int, str]:
        """The ids, virtual ones included, that are a character by themselves."""
        kinds, points = self.spelling
        pairs = enumerate(zip(kinds.tolist(), points.tolist(), strict=False))
        return {i: chr(point) for i, (kind, point) in pairs if kind == 1 or (kind == 2 and point < 128)}

    def _spelled(self, ids: Ids, points: CodePoints) -> Ids:
        """`ids` with each −1 replaced by the virtual ids of its character's bytes."""
        unknown = ids < 0
        if self.byte is None:
            at = int(np.argmax(unknown))
            raise DataError(
                f"character {at} of the text, {chr(int(points[at]))!r}, is not in the vocabulary and there "
                "is no <byte>; leave it out, or train on text that has it"
            )
        strange = points[unknown].astype(np.uint32)
        spelt = strange.tobytes().decode(UTF32, "surrogatepass").encode("utf-8", "surrogatepass")
        counts = np.ones(len(ids), dtype=np.int64)
        counts[unknown] = 1 + (strange > 0x7F) + (strange > 0x7FF) + (strange > 0xFFFF)
        result = np.repeat(ids, counts)
        result[result < 0] = len(self) + np.frombuffer(spelt, dtype=np.uint8).astype(np.int32)
        return result


class Decoder:
    """Ids to text, piece by piece; a character is never given in halves.

    Bytes of an unfinished character are held back until the rest of it, another kind of token, or
    `flush` comes. Bytes that are not UTF-8 become U+FFFD.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._utf8 = Utf8Decoder()
        self._vocabulary = vocabulary
        self._kinds, self._points = vocabulary.spelling
        self._whole = vocabulary.whole

    def feed(self, ids: npt.ArrayLike) -> str:
        """The text that is certain once these ids have come. Raises DataError for an id out of range."""
        array = np.asarray(ids).ravel()
        if len(array) <= FEW and not self._utf8.buffer:
            try:
                return "".join([self._whole[i] for i in array.tolist()])
            except KeyError:
                pass  # a special, part of a character, or no id at all
        array = array.astype(np.int64)
        if array.size == 0:
            return ""
        self._vocabulary.require(array)
        kinds = self._kinds[array]
        borders = np.flatnonzero(np.diff(kinds)) + 1
        runs = zip([0, *borders.tolist()], [*borders.tolist(), len(array)], strict=True)
        return "".join(self._run(int(kinds[start]), self._points[array[start:stop]]) for start, stop in runs)

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished character are held back."""
        return bool(self._utf8.buffer)

    def flush(self) -> str:
        """What was held back, as U+FFFD."""
        return self._utf8.decode(b"", True)

    def _run(self, kind: int, points: npt.NDArray[np.uint32]) -> str:
        if kind == 2:
            return self._utf8.decode(points.astype(np.uint8).tobytes())
        return self.flush() + ("" if kind == 0 else points.tobytes().decode(UTF32, "surrogatepass"))


class Utf8Decoder(codecs.BufferedIncrementalDecoder):
    """UTF-8 with surrogates, in pieces of any length; what is no UTF-8 becomes U+FFFD."""

    def _buffer_decode(self, input: Buffer, errors: str, final: bool) -> tuple[str, int]:
        data = bytes(input)
        stop = len(data) if final else _whole(data)
        return data[:stop].decode("utf-8", LENIENT), stop


class FirstAppearances:
    """The distinct characters of a text that comes in pieces, each with its first position.

    It can begin where another left off, with its `positions` and the `length` of its text.
    """

    def __init__(self, positions: Mapping[str, int] | None = None, length: int = 0) -> None:
        self.positions: dict[str, int] = dict(positions or {})
        self.length = length  # characters so far
        self._seen = np.zeros(POINTS, dtype=np.bool_)
        self._seen[[ord(character) for character in self.positions]] = True
        self._ascii = bytes(np.flatnonzero(self._seen[:128]).tolist())

    def add(self, text: str) -> None:
        """The next piece."""
        points = code_points(text)
        if points.dtype == np.uint8:
            known = not points.tobytes().translate(None, self._ascii)
        else:
            known = bool(self._seen.take(points, mode="clip").all())
        if not known:
            new = np.flatnonzero(~self._seen[points])
            distinct, first = np.unique(points[new], return_index=True)
            for i in np.sort(new[first]).tolist():
                self.positions[text[i]] = self.length + i
            self._seen[distinct] = True
            self._ascii = bytes(np.flatnonzero(self._seen[:128]).tolist())
        self.length += len(text)


def code_points(text: str) -> CodePoints:
    """The code points of a text, (n,), in the type that is quickest to come by."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode(UTF32, "surrogatepass"), dtype=np.uint32)


def begins(utf8: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which of these bytes (n,) of UTF-8 begin a character."""
    mask: npt.NDArray[np.bool_] = utf8 & 0xC0 != 0x80
    return mask


def _whole(data: bytes) -> int:
    """How many of these bytes come before a character whose end is still missing."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < length else len(data)
        if byte < 0x80:
            break
    return len(data)


def _surrogate_or_replacement(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogatepass")(error)
    except UnicodeDecodeError:
        return codecs.replace_errors(error)


codecs.register_error(LENIENT, _surrogate_or_replacement)


def _token_to_json(token: Token) -> object:
    if isinstance(token, Special):
        return {"special": token.name}
    return {"byte": token} if isinstance(token, int) else token


def _token_from_json(item: object, i: int, unit: str) -> Token:
    if unit == "char" and isinstance(item, str) and len(item) == 1:
        return item
    if isinstance(item, dict) and len(item) == 1:
        special, byte = item.get("special"), item.get("byte")
        if isinstance(special, str) and special in SPECIALS:
            return Special(special)
        if unit == "byte" and type(byte) is int and 0 <= byte < 256:
            return byte
    raise _damaged(f"id {i} is {item!r:.40}, which is neither one {unit} nor a known special")


def _damaged(what: str) -> ModelError:
    return ModelError(f"vocab.json: {what}; the file is damaged, copy the model folder again")
