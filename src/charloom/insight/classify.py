"""Which label a text most likely has, by Bayes' rule.

P(label | text) = P(text | label) · P(label) / Σ P(text | other) · P(other), where P(text | label) is what the
model gives the text, its end included, when it begins with that label, and P(label) is the label's share
of the training documents. A model of characters counts neighbouring characters as if each were news,
so its probabilities are sharper than its errors warrant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, repeat

import numpy as np

from charloom.errors import UsageError
from charloom.insight.score import ids_of
from charloom.runtime.generator import BATCH, Generator
from charloom.runtime.sample import Given
from charloom.text.condition import Condition


@dataclass(frozen=True)
class Classified:
    """A text and the probability of each label, the likeliest first."""

    text: str
    probabilities: Mapping[str, float]

    @property
    def label(self) -> str:
        """The likeliest."""
        return next(iter(self.probabilities))


def classify(
    generator: Generator, texts: Iterable[str], name: str = "", *, source: str | Iterable[str] = ""
) -> Iterator[Classified]:
    """Each of `texts`, in order, some at a time. `name` is the condition's, where there are several.

    `source` is what the texts belong to, one for all or one for each, where the model translates. Each label
    costs one reading of the source and of the text. Raises UsageError where there is no such condition, and
    for a source too much or too few.
    """
    condition = condition_of(generator, name)
    model = generator.model
    eos = np.array([] if model.vocabulary.eos is None else [model.vocabulary.eos], np.int32)
    shares = np.array(condition.counts, np.float64)
    prior = np.log(np.maximum(shares, 1) / np.maximum(shares, 1).sum())
    pairs = _paired(texts, repeat(source) if isinstance(source, str) else source)
    while group := list(islice(pairs, BATCH)):
        ids = [np.concatenate((ids_of(model.vocabulary, model.formed(text)), eos)) for text, _ in group]
        likely = np.empty((len(group), len(condition.values)))
        for column, value in enumerate(condition.values):
            given = [Given("", {condition.name: value}, before) for _, before in group]
            scores = generator.score(ids, starts=generator.prime_many(given))
            likely[:, column] = [score.log_probabilities.sum(dtype=np.float64) for score in scores]
        joint = likely + prior
        chances = np.exp(joint - joint.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        for (text, _), row in zip(group, chances, strict=True):
            order = np.argsort(-row, kind="stable")
            yield Classified(text, {condition.values[i]: float(row[i]) for i in order})


def _paired(texts: Iterable[str], sources: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each text and its source; what no text is left for is not asked for."""
    sources = iter(sources)
    for text in texts:
        before = next(sources, None)
        if before is None:
            raise UsageError(
                "classify: there are fewer sources than texts; give one for each, or one for all"
            )
        yield text, before


def condition_of(generator: Generator, name: str = "") -> Condition:
    """The model's condition of this name, or its only one. Raises UsageError, naming those that there are."""
    found = [each for each in generator.model.config.conditions if each.kind == "label"]
    names = [each.name for each in found]
    if not found:
        raise UsageError("classify: the model has no labels; train with --condition COLUMN")
    if name and name not in names:
        raise UsageError(f"classify: the model has no condition {name!r}; there are {', '.join(names)}")
    if not name and len(found) > 1:
        raise UsageError(f"classify: the model has {', '.join(names)}; say which with --condition")
    return found[names.index(name) if name else 0]
