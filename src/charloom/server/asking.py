"""From a request to the texts that the engine writes for it, every limit checked on the way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from charloom.errors import CharloomError
from charloom.runtime.arrays import Ids
from charloom.runtime.automaton import Automaton
from charloom.runtime.generator import Generator
from charloom.runtime.match import TooLarge
from charloom.runtime.options import SamplerConfig
from charloom.server.job import Job, Prompt, Update
from charloom.server.limits import Limits
from charloom.server.metrics import now
from charloom.server.protocol import Completion, Score
from charloom.server.refusal import Refusal
from charloom.text.vocabulary import Special

SEEDS = 2**31  # of those drawn: short enough to be typed
TABLES = 64  # of regular expressions used lately
ENTRY_BYTES = 4  # of such a table

OPTIONS = ("temperature", "top_p", "top_k", "min_p", "no_repeat", "only", "ban", "match", "ignore_eos",
           "frequency_penalty", "presence_penalty", "strength")  # fmt: skip
"""Fields that the sampler has by the same name; not given, they are the model's own defaults."""


class Asking:
    """What may be asked of one model."""

    def __init__(self, generator: Generator, name: str, limits: Limits) -> None:
        self._generator, self.name, self._limits = generator, name, limits
        self._vocabulary = generator.model.vocabulary
        self._length = SamplerConfig(**generator.model.sampling).length
        self._tables: OrderedDict[tuple[str, bytes], Automaton] = OrderedDict()
        self._compiling = ThreadPoolExecutor(1, "charloom-match")  # one at a time: each is work for seconds

    async def to_write(self, asked: Completion) -> list[list[Job]]:
        """The candidates of each prompt, the n (or best_of) of a prompt together. Raises Refusal."""
        self._named(asked.model)
        limits = self._limits
        texts = asked.texts
        if not texts:
            raise Refusal(400, "prompt: the list is empty; give a text, or leave it out", param="prompt")
        n = asked.n or 1
        length = min(self._length, limits.tokens) if (given := asked.max_tokens) in (None, -1) else given
        candidates = asked.best_of or n
        limits.at_most("n", n, "n", "texts")
        limits.at_most("n", candidates, "best_of", "texts")
        limits.at_most("tokens", length, "max_tokens", "characters")
        if candidates < n:
            raise Refusal(400, f"best_of: {candidates} is less than n, which is {n}", param="best_of")
        if candidates > n and asked.stream:
            raise Refusal(
                400, "best_of: the best is known at the end only; it cannot stream", param="best_of"
            )
        limits.fits(len(texts) * candidates, "best_of" if candidates > n else "n" if n > 1 else "prompt")
        if asked.with_usage and not asked.stream:
            raise Refusal(400, "stream_options: they are for a stream; set stream", param="stream_options")
        top = asked.alternatives
        if top >= 0:
            limits.at_most("alternatives", top, "logprobs", "alternatives")
            told = candidates * (len(texts) * length + sum(map(len, texts)) * bool(asked.echo))
            for limit in ("told", "told_at_once"):
                limits.at_most(limit, told, "logprobs", "characters to tell the probability of")
        settings = self._settings(asked, length)
        longest = max(map(len, texts))
        if settings.no_repeat:
            limits.at_most("repeat", longest + length, "no_repeat", "characters to look back over")
        prompts = self._prompts(asked, texts, "prompt", settings.strength)
        automaton = await self._automaton(settings) if settings.match else None
        scored = bool(asked.echo) and top >= 0
        begun = now()
        return [
            [
                Job(
                    prompt=prompt,
                    settings=settings,
                    hear=_nobody,
                    length=length,
                    automaton=automaton,
                    number=p * n + (k if candidates == n else 0),
                    candidate=0 if candidates == n else k,
                    scored=scored,
                    top=top,
                    ranked=candidates > n,
                    moment=begun,
                )
                for k in range(candidates)
            ]
            for p, prompt in enumerate(prompts)
        ]

    def to_score(self, asked: Score) -> list[Job]:
        """A job for each text. Raises Refusal."""
        self._named(asked.model)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        if not texts or not all(texts):
            raise Refusal(400, "input: a text is empty; there is nothing to score", param="input")
        prompts = self._prompts(asked, texts, "input")
        self._limits.fits(len(texts), "input")
        for limit in ("told", "told_at_once"):
            self._limits.at_most(limit, sum(map(len, texts)), "input", "characters to score")
        nothing, begun = SamplerConfig(), now()
        return [
            Job(prompt=prompt, settings=nothing, hear=_nobody, length=0, scored=True, moment=begun)
            for prompt in prompts
        ]

    def _named(self, name: str | None) -> None:
        if name and name != self.name:
            message = f"the model {name[:100]!r} is not served here; {self.name!r} is"
            raise Refusal(404, message, param="model", code="model_not_found")

    def _settings(self, asked: Completion, length: int) -> SamplerConfig:
        limits = self._limits
        stops = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
        limits.at_most("stops", len(stops), "stop", "stop strings")
        for stop in stops:
            limits.at_most("stop_characters", len(stop), "stop", "characters of one stop string")
        for field in ("only", "ban"):
            limits.at_most("listed", len(getattr(asked, field) or ""), field, "characters")
        limits.at_most("pattern", len(asked.match or ""), "match", "characters of a regular expression")
        given: dict[str, Any] = {
            name: value for name in OPTIONS if (value := getattr(asked, name)) is not None
        }
        given |= {"stop": tuple(stops), "length": max(length, 1), "bias": self._bias(asked.logit_bias or {})}
        given["seed"] = secrets.randbelow(SEEDS) if asked.seed in (None, -1) else asked.seed
        try:
            settings = SamplerConfig(**{**self._generator.model.sampling, **given})
            settings.added(self._vocabulary)
        except CharloomError as error:
            raise _refused(error) from error
        return settings

    def _bias(self, asked: dict[str, float]) -> dict[str, float]:
        """Biases by character instead of by id."""
        self._limits.at_most("biases", len(asked), "logit_bias", "entries")
        bias: dict[str, float] = {}
        for key, nats in asked.items():
            if not (key.isascii() and key.isdigit() and len(key) < 9 and int(key) < len(self._vocabulary)):
                most = len(self._vocabulary) - 1
                message = f"logit_bias: {key[:20]!r} is no id of this model; they run from 0 to {most}"
                raise Refusal(400, message, param="logit_bias")
            token = self._vocabulary.tokens[int(key)]
            if isinstance(token, Special):
                message = f"logit_bias: id {key} is {token.name}, no character; see ignore_eos"
                raise Refusal(400, message, param="logit_bias")
            if isinstance(token, int) and token > 127:
                message = f"logit_bias: id {key} is a byte of a longer character; ban and only take those"
                raise Refusal(400, message, param="logit_bias")
            bias[chr(token) if isinstance(token, int) else token] = nats
        return bias

    def _prompts(
        self, asked: Completion | Score, texts: Sequence[str | list[int]], param: str, strength: float = 1.0
    ) -> list[Prompt]:
        """Every text as what is read of it. Raises Refusal for one that the model cannot read."""
        self._limits.texts(param, texts)
        self._limits.at_most("prompt", len(asked.source or ""), "source", "characters")
        model, beginning = self._generator.model, self._generator.beginning
        field = param
        try:
            coded = [model.encode(text) if isinstance(text, str) else self._ids(text) for text in texts]
            field = "condition"
            start = beginning.state(asked.condition, strength)
            field = "source"
            before = beginning.ids(asked.source or "")
        except CharloomError as error:
            message = str(error)
            raise Refusal(
                400, message if message.startswith(field) else f"{field}: {message}", param=field
            ) from error
        prompts = []
        for ids in coded:
            if not len(before) and not len(ids):
                message = "this model cannot begin by itself; give it a character or more to go on from"
                raise Refusal(400, f"{param}: {message}", param=param)
            text = self._vocabulary.decode(ids)  # in the form that the model reads
            told = start.hidden.tobytes(), before.tobytes(), ids.tobytes()
            key = hashlib.blake2b(b"".join(told), digest_size=16).digest()
            prompts.append(Prompt(text=text, start=start, before=before, ids=ids, key=key))
        return prompts

    def _ids(self, given: Sequence[int]) -> Ids:
        """Token ids of a prompt. Raises Refusal where they are not the ids of a text."""
        with contextlib.suppress(CharloomError):  # an id that does not exist
            text = self._vocabulary.decode(given)
            if np.array_equal(ids := self._vocabulary.encode(text), given):
                return ids
        message = "prompt: token ids must be those of whole characters in this model's vocab.json, "
        message += f"0 to {len(self._vocabulary) - 1}; send text instead (lm-evaluation-harness: "
        raise Refusal(400, f"{message}tokenized_requests=False)", param="prompt")

    async def _automaton(self, settings: SamplerConfig) -> Automaton:
        """That of the pattern, kept for the next request; compiled beside the event loop."""
        allowed = settings.added(self._vocabulary)
        key = settings.match, (allowed == float("-inf")).tobytes()
        found = self._tables.get(key)
        if found is None:
            anything = replace(settings, length=2**31 - 1)
            loop = asyncio.get_running_loop()
            most = self._limits.pattern_bytes // ENTRY_BYTES
            make = self._generator.automaton
            try:
                found = await loop.run_in_executor(self._compiling, make, anything, most)
            except TooLarge as error:
                needed = error.states * len(self._vocabulary) * ENTRY_BYTES
                self._limits.at_most("pattern_bytes", needed, "match", f"bytes ({error.states} states)")
                raise _refused(error) from error
            except CharloomError as error:
                raise _refused(error) from error
            assert found is not None
            self._tables[key] = found
            if len(self._tables) > TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        if found.shortest > settings.length:
            message = f"match: the shortest match has {found.shortest} characters; raise max_tokens"
            raise Refusal(400, message, param="match")
        return found


def _nobody(update: Update) -> None:
    """Whoever answers takes the place of this before the job is submitted."""


def _refused(error: CharloomError) -> Refusal:
    """The runtime's message; it begins with the name of the option."""
    message = str(error)
    param = next((word for word in OPTIONS if message.startswith(word)), None)
    return Refusal(400, message, param=param)
