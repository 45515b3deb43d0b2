"""Which of two models predicts a text better, and whether another text of its kind would say the same.

Both read the same characters; what counts is the difference on each block of text, for most of what makes
one block dearer than another is the text, and falls out. The blocks (`BLOCK` characters of a whole text; else
documents) are resampled with their differences: a paired bootstrap test (B. Efron, R. Tibshirani, "An
introduction to the bootstrap", 1993, chapter 16; P. Koehn, "Statistical significance tests for machine
translation evaluation", EMNLP 2004). The verdict is about these two models: another training with the
same settings and another seed may come out otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from charloom.errors import DataError
from charloom.insight.evaluation import BLOCK, FEWEST_BLOCKS, resampled
from charloom.insight.extremes import in_pieces
from charloom.insight.score import score
from charloom.runtime.arrays import Doubles
from charloom.runtime.generator import Generator

LEVEL = 0.05  # the chance of calling a difference real where there is none


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Bits a character of two models on the same text; `difference` is the first's minus the second's.

    `interval` holds 95 % of the differences that the bootstrap gives; `p` is the two-sided chance of one
    so great if there were none, at least 2 / 1001.
    """

    names: tuple[str, str]
    bits_per_character: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    p: float
    characters: int
    blocks: int

    @property
    def better(self) -> str:
        """The name of the one that is better beyond chance, or ""."""
        if self.p >= LEVEL:
            return ""
        return self.names[int(self.difference > 0)]

    @property
    def verdict(self) -> str:
        """One plain sentence."""
        low, high = sorted(map(abs, self.interval))
        if self.better:
            other = self.names[int(self.difference < 0)]
            return (
                f"{self.better} is better than {other} by {abs(self.difference):.3f} bits a character "
                f"(95 %: {low:.3f} to {high:.3f}): other text of this kind would show it too."
            )
        return (
            f"{self.names[0]} and {self.names[1]} cannot be told apart on this text: whatever lies between "
            f"them is hardly more than {high:.3f} bits a character."
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "better": self.better, "verdict": self.verdict}


def paired(
    first: Generator,
    second: Generator,
    texts: Sequence[str],
    names: tuple[str, str] = ("A", "B"),
    sources: Sequence[str] = (),
    *,
    exact: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> Paired:
    """Compare two models on `texts`: documents, or one whole text; `sources` belong to them, if any.

    A whole text is read in pieces side by side, unless `exact`. `progress` is told the share that is done.
    Where one of them does not score a text's first character or its end, neither's counts. Raises
    DataError where nothing is left to compare.
    """
    vocabularies = first.model.vocabulary, second.model.vocabulary
    skip = int(any(vocabulary.bos is None for vocabulary in vocabularies))
    ends = all(vocabulary.eos is not None for vocabulary in vocabularies)
    pieces = len(texts) == 1 and not exact and all(vocabulary.eos is None for vocabulary in vocabularies)
    rows: list[list[Doubles]] = []
    done, everything = 0, 2 * max(1, sum(map(len, texts)))
    for generator in (first, second):
        if pieces:
            found = in_pieces(generator, texts[0])
        else:
            found = score(generator, texts, lines=False, source=sources or "")
        row = []
        for each in found:
            row.append(np.append(each.surprise, [each.end] * ends))
            done += len(each.surprise)
            progress(done / everything)
        rows.append([text[skip:] for text in ([np.concatenate(row)] if pieces else row)])
    if len(texts) == 1:
        rows = [_blocks(row[0]) for row in rows]
    sums = np.array([[block.sum() for block in row] for row in rows])
    sizes = np.array([len(block) - ends for block in rows[0]], float)
    total = sizes.sum()
    if total <= 0:
        raise DataError("there is no text to compare the two models on; name a FILE that has some")
    gaps = sums[0] - sums[1]
    means = resampled(gaps, sizes)
    low, high = np.percentile(means, (2.5, 97.5))
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    a, b = (float(value) for value in sums.sum(axis=1) / total)
    return Paired(
        names=names,
        bits_per_character=(a, b),
        difference=a - b,
        interval=(float(low), float(high)),
        p=min(1.0, 2 * (beyond + 1) / (len(means) + 1)),
        characters=int(total),
        blocks=len(gaps),
    )


def _blocks(values: Doubles) -> list[Doubles]:
    size = max(1, min(BLOCK, len(values) // FEWEST_BLOCKS))
    return [values[start : start + size] for start in range(0, len(values), size)]
