"""What held-out text costs without a network: the ground that a trained model has to beat."""

from __future__ import annotations

import lzma
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from charloom.insight.heldout import HeldOut
from charloom.insight.ngram import Ngram, highest_order
from charloom.text.corpus import Part
from charloom.text.vocabulary import Vocabulary, begins

ORDERS = (0, 2, 5)  # letter frequencies, what every model must beat, and the best that counting alone does
SIMPLE = 2  # a network that does no better than this order has learned next to nothing
COUNTED = 2**25  # symbols at the end of the training text: more would no longer change what is counted
XZ_TRAIN = 2**23  # bytes at its end that xz sees: some ten seconds
XZ_HELD_OUT = 2**20  # bytes at the start of the held-out text that xz is asked for


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Nats a character of held-out text under the model `name`, counted as in `charloom.insight.heldout`.

    `fitted` symbols (xz: bytes) at the end of the training text is all it knows. A network that does no
    better than a `simple` one has learned next to nothing.
    """

    name: str
    nats: float
    fitted: int
    simple: bool

    @property
    def bits_per_character(self) -> float:
        """The same in bits."""
        return self.nats / math.log(2)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {
            "name": self.name,
            "nats": self.nats,
            "bits_per_character": self.bits_per_character,
            "fitted": self.fitted,
        }


def baselines(
    train: Part, held_out: Part, vocabulary: Vocabulary, *, limit: int | None = None
) -> list[Baseline]:
    """The uniform distribution, character models of `ORDERS` fitted on `train`, and xz.

    Of `held_out` all, or the first `limit` symbols, are scored. Memory stays under a gigabyte, time
    under a minute. Raises DataError where there is nothing to score.
    """
    scored = HeldOut(held_out, vocabulary, limit)
    highest = highest_order(len(vocabulary))
    found = [uniform(scored)]
    found += [ngram(train, scored, order) for order in sorted({min(order, highest) for order in ORDERS})]
    found.append(xz(train, held_out, scored))
    return found


def uniform(held_out: HeldOut) -> Baseline:
    """Every row as likely as any other: ln V nats a symbol, what an untrained network pays."""
    nats = held_out.total(math.log(len(held_out.vocabulary)) + held_out.spelling)
    return Baseline(name="uniform", nats=nats / held_out.total(held_out.characters), fitted=0, simple=True)


def ngram(train: Part, held_out: HeldOut, order: int) -> Baseline:
    """A character model of this order (`charloom.insight.ngram`)."""
    model = Ngram(train.ids[-COUNTED:], order=order, size=len(held_out.vocabulary))
    nats = held_out.total(held_out.spelling)
    for start, stop, scored in held_out.pieces():
        nats += float(model.nats(held_out.ids, start, stop)[scored].sum())
    return Baseline(
        name=f"order {order}",
        nats=nats / held_out.total(held_out.characters),
        fitted=model.fitted,
        simple=order <= SIMPLE,
    )


def xz(train: Part, held_out: Part, scored: HeldOut) -> Baseline:
    """What held-out text adds to the size of the training text in an .xz file (preset 9, extreme).

    Both are UTF-8, documents one after another without a mark between them; of the training text the
    last `XZ_TRAIN` bytes, of the held-out text the first `XZ_HELD_OUT`.
    """
    size = int(scored.total(scored.bytes))
    before = train.utf8()[-XZ_TRAIN:].tobytes()
    after = held_out.utf8()[: min(size, XZ_HELD_OUT)]
    characters = len(after) if held_out.unit == "byte" else int(np.count_nonzero(begins(after)))
    with ThreadPoolExecutor(2) as threads:
        alone, both = threads.map(_compressed, (before, before + after.tobytes()))
    return Baseline(
        name="xz", nats=8 * (both - alone) * math.log(2) / characters, fitted=len(before), simple=False
    )


def _compressed(data: bytes) -> int:
    return len(lzma.compress(data, check=lzma.CHECK_NONE, preset=9 | lzma.PRESET_EXTREME))
