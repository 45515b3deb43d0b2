"""Texts without any long passage of the training text."""

from __future__ import annotations

from dataclasses import replace

from charloom.errors import UsageError
from charloom.runtime.draw import MOST_SEED
from charloom.runtime.generator import Generator, Sample
from charloom.runtime.options import SamplerConfig
from charloom.runtime.passages import Passages

ATTEMPTS_A_CHARACTER = 10  # far more than a sensible N ever takes
STRIDE = 0x9E3779B1  # odd, so that attempts reach other streams, each another: Knuth's multiplier


class Novel:
    """Rewrites samples so that no `least` characters in a row stand in `passages`, the training text.

    A sample is kept up to the character that would complete such a copy; that character is forbidden
    there, and the text goes on from another one. What counts is what the model wrote: the prompt is not
    looked at. The same sample gives the same text, whatever else is written. `rewritten` counts the
    samples that had a copy.

    Raises UsageError for `least` below 1, or settings with `match`, whose texts cannot be taken up midway.
    """

    def __init__(self, generator: Generator, passages: Passages, least: int, settings: SamplerConfig) -> None:
        if least < 1:
            raise UsageError(f"novel is {least}; it takes the length of a passage, from 1")
        if settings.match:
            raise UsageError("novel and match exclude each other; leave one of them out")
        self._generator, self._passages, self._least = generator, passages, least
        self._settings = settings
        self.rewritten = 0

    def __call__(self, sample: Sample) -> Sample:
        """The sample itself, or its novel form, then without log-probabilities.

        Raises UsageError where so short a passage cannot be avoided.
        """
        end = self._passages.first_copy(sample.text, self._least)
        if end is None:
            return sample
        self.rewritten += 1
        result = sample
        for attempt in range(1, ATTEMPTS_A_CHARACTER * self._settings.length):
            result = self._from(result, end, (sample.stream + attempt * STRIDE) % (MOST_SEED + 1))
            end = self._passages.first_copy(result.text, self._least)
            if end is None:
                return replace(result, stream=sample.stream, log_probabilities=(), top=())
        raise self._impossible()

    def _from(self, sample: Sample, end: int, stream: int) -> Sample:
        """The sample up to the character before `end`, another character, and what comes then."""
        kept, banned = sample.text[: end - 1], self._settings.ban + sample.text[end - 1]
        while True:
            state = self._generator.prime(
                sample.prompt + kept,
                condition=sample.condition,
                source=sample.source,
                strength=self._settings.strength,
            )
            try:
                one = self._generator.sample(
                    settings=replace(self._settings, ban=banned, length=1), state=state, stream=stream
                )
            except UsageError:  # every character would complete a copy: go back by one
                if not kept:
                    raise self._impossible() from None
                kept, banned = kept[:-1], self._settings.ban + kept[-1]
                continue
            if one.text and self._passages.first_copy(kept + one.text, self._least) is not None:
                banned += one.text
                continue
            break
        left = self._settings.length - len(kept) - len(one.text)
        if not one.text or one.finish_reason != "length" or not left:
            return replace(sample, text=kept + one.text, finish_reason=one.finish_reason)
        rest = self._generator.sample(
            settings=replace(self._settings, length=left),
            state=self._generator.prime(one.text, state),
            stream=stream,
        )
        text, reason = kept + one.text + rest.text, rest.finish_reason
        cut = min((at for at in map(text.find, self._settings.stop) if at >= 0), default=-1)
        return replace(
            sample, text=text if cut < 0 else text[:cut], finish_reason="stop" if cut >= 0 else reason
        )

    def _impossible(self) -> UsageError:
        return UsageError(
            f"novel {self._least}: the training text has every way to go on; choose a greater N than that"
        )
