"""A trained model: it writes, translates, captions, scores and classifies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from charloom.errors import ModelError, UsageError
from charloom.insight import classify
from charloom.insight.classify import Classified
from charloom.model.folder import Model
from charloom.runtime.generator import Generator, Sample
from charloom.runtime.options import SamplerConfig
from charloom.runtime.sample import Given, require_several
from charloom.settings import nearest
from charloom.text.condition import Asked
from charloom.text.tables import TAB
from charloom.text.vocabulary import Vocabulary

PIECE = 2**16  # characters scored at a time: memory stays flat however long the text is
WRITTEN, LEAST = 4, 200  # characters of a translation at most: so many for one of its source, and some more
PROMPTS = ("Today ", "today ")  # the lesson's, for a model that cannot begin by itself


@dataclass(frozen=True)
class Score:
    """How well a text is predicted: `nats` in all, `characters` in the text."""

    nats: float
    characters: int

    @property
    def nats_per_character(self) -> float:
        """Mean negative log-likelihood, in nats."""
        return self.nats / self.characters

    @property
    def bits_per_character(self) -> float:
        """The same in bits: what a perfect compressor with this model would need."""
        return self.nats_per_character / math.log(2)


class CharacterModel:
    """A trained model: it writes (`generate`, `stream`, `sample`) and judges (`score`).

    Raises ModelError where the model's default sampling settings (generation.json) are none.
    """

    def __init__(self, model: Model, path: Path | None = None, precision: str = "float32") -> None:
        self.model = model
        self.path = path
        self.precision = precision
        try:
            self.settings()
        except UsageError as error:
            where = "default sampling settings" if path is None else path / "generation.json"
            raise ModelError(f"{where}: {error}") from error

    def __repr__(self) -> str:
        config, ids = self.model.config, len(self.model.vocabulary)
        sizes = f"{config.cell} {config.layers} × {config.hidden}, {self.model.parameters:,} parameters"
        return f"<CharacterModel {self.path or 'without a folder'}: {sizes}, {ids} ids>"

    @cached_property
    def generator(self) -> Generator:
        """The runtime, compiled or loaded on first use."""
        return Generator(self.model, self.precision)  # type: ignore[arg-type]

    def settings(self, **options: Any) -> SamplerConfig:
        """The model's default sampling settings, with these over them; raises UsageError."""
        known = [field.name for field in fields(SamplerConfig)]
        chosen = {**self.model.sampling, **options}
        for name in chosen:
            if name not in known:
                raise UsageError(f"there is no option {name!r}{nearest(name, known)}")
        return SamplerConfig(**chosen)

    def generate(self, prompt: str = "", **options: Any) -> str:
        """New text after `prompt`, without it; options are those of `SamplerConfig` (temperature, seed, …).

        Where the model has conditions, `condition` is a value or a mapping from names to labels and arrays;
        where it translates, `source` is the text to translate.
        """
        return self.sample(prompt, **options).text

    def stream(
        self, prompt: str = "", *, condition: Asked = None, source: str = "", **options: Any
    ) -> Iterator[str]:
        """The text of `generate`, in pieces as they are written."""
        settings = self.settings(**options)
        return self.generator.stream(prompt, settings=settings, condition=condition, source=source)

    def sample(
        self,
        prompt: str = "",
        *,
        condition: Asked = None,
        source: str = "",
        top: int | None = None,
        **options: Any,
    ) -> Sample:
        """`generate` and what is known of it: seed, finish reason; log-probabilities if `top` is given."""
        settings = self.settings(**options)
        return self.generator.sample(prompt, settings=settings, top=top, condition=condition, source=source)

    def translate(self, sources: Iterable[str], *, condition: Asked = None, **options: Any) -> list[str]:
        """What belongs to each source, the likeliest characters unless the options say otherwise.

        Raises UsageError for a source that is empty, and where the model does not translate.
        """
        require_several("translate", sources)
        given = [Given("", condition, source) for source in sources]
        return [sample.text for sample in self._likeliest(given, options)]

    def caption(self, array: Any, *, condition: Mapping[str, Any] | None = None, **options: Any) -> str:
        """What belongs to an array, the likeliest characters unless the options say otherwise.

        `condition` gives labels beside it. Raises UsageError where the model does not have one array.
        """
        names = [each.name for each in self.model.config.conditions if each.kind == "array"]
        if len(names) != 1:
            raise UsageError(f"caption: the model has {len(names)} conditions that are arrays; use generate")
        given = Given("", {**(condition or {}), names[0]: array})
        return next(self._likeliest([given], options)).text

    def classify(
        self, texts: Iterable[str], *, condition: str = "", source: str | Iterable[str] = ""
    ) -> Iterator[Classified]:
        """The probability of each label for each text, by Bayes' rule; see `charloom.insight.classify`.

        `condition` names one where the model has several; `source`, where it translates, is what the texts
        belong to: one for all, or one for each. Raises UsageError where it has no labels.
        """
        require_several("classify", texts)
        return classify.classify(self.generator, texts, condition, source=source)

    def _likeliest(self, given: Sequence[Given], options: Mapping[str, Any]) -> Iterator[Sample]:
        longest = max((len(each.source) for each in given), default=0)
        settings = self.settings(**{"temperature": 0, "length": WRITTEN * longest + LEAST, **options})
        return self.generator.sample_many(given, settings=settings, n=len(given))

    def score(self, text: str, *, condition: Asked = None, source: str = "") -> Score:
        """Nats of `text` read as one stream from its beginning. Raises UsageError for an empty text."""
        if not text:
            raise UsageError("the text to score is empty")
        ids = self.model.encode(text)
        state = None
        if self.model.vocabulary.bos is not None:
            state = self.generator.prime(condition=condition, source=source)
        total = 0.0
        for start in range(0, len(ids), PIECE):
            scores, state = self.generator.continue_score(ids[start : start + PIECE], state)
            # NaN is what nothing came before
            total -= float(np.nansum(scores.log_probabilities, dtype=np.float64))
        return Score(total, len(text))

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What training measured: step, characters, held-out nats a character."""
        return self.model.metrics


def record(sample: Sample, columns: Sequence[str] = ()) -> dict[str, Any]:
    """A sample as programs read it, with its `columns` where its text has several; arrays are left out."""
    labels = {name: value for name, value in sample.condition.items() if isinstance(value, str)}
    return {
        "text": sample.text,
        "prompt": sample.prompt,
        **({"columns": cells(sample, columns)} if columns else {}),
        **({"condition": labels} if labels else {}),
        **({"source": sample.source} if sample.source else {}),
        "temperature": sample.temperature,
        "seed": sample.seed,
        "stream": sample.stream,
        "finish_reason": sample.finish_reason,
        "characters": sample.characters,
    }


def cells(sample: Sample, columns: Sequence[str]) -> dict[str, str]:
    """The text of each column, prompt included; a column that it did not come to is empty."""
    found = (sample.prompt + sample.text).split(TAB, len(columns) - 1)
    return dict(zip(columns, found + [""] * (len(columns) - len(found)), strict=True))


def beginning(vocabulary: Vocabulary) -> str:
    """A prompt to begin with: none where there is `<bos>`, else the lesson's, or a known character."""
    if vocabulary.bos is not None:
        return ""
    known = set(vocabulary.characters)
    return next((prompt for prompt in PROMPTS if set(prompt) <= known), str(vocabulary.characters[0]))
