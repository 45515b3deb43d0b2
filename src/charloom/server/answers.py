"""Answers that wait for the engine: a text at its end or in pieces, and scores.

Whoever hangs up while an answer is under way has its jobs withdrawn the moment the socket tells.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from starlette.responses import Response

from charloom.server.desk import Desk
from charloom.server.gate import Gone, Receive, Scope, Send
from charloom.server.job import Ending, Job, Token, Update
from charloom.server.protocol import FINISH, Completion
from charloom.server.refusal import Refusal


class Answer(Response, ABC):
    """An answer to the jobs of one request; `params` are told in the log."""

    def __init__(self, desk: Desk, jobs: Sequence[Job]) -> None:
        self.background = None
        self._desk, self._jobs = desk, jobs
        self._open = set(range(len(jobs)))
        self._news: list[tuple[int, Update]] = []
        self._changed = asyncio.Event()
        self._gone = False
        for k, job in enumerate(jobs):
            job.hear = partial(self._hear, k)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Enter, answer, and leave whatever happens."""
        self._desk.enter(self._jobs, scope["charloom.told"])
        watching = asyncio.ensure_future(self._watch(receive))
        late = asyncio.get_running_loop().call_later(self._desk.limits.request_seconds, self._end, "time")
        try:
            await self.answer(scope, send)
        except Gone:
            self._desk.metrics.cancelled.inc()
            scope["charloom.told"]["ended"] = "gone"
        finally:
            late.cancel()
            watching.cancel()
            self._desk.leave(self._jobs, [self._jobs[k] for k in self._open])
            self._open.clear()

    @abstractmethod
    async def answer(self, scope: Scope, send: Send) -> None:
        """Send it."""

    async def news(self) -> AsyncIterator[list[tuple[int, Update]]]:
        """What has come since, until all jobs have ended. Raises Gone, or Refusal where the engine failed."""
        while self._open:
            await self._changed.wait()
            self._changed.clear()
            if self._gone:
                raise Gone
            news, self._news = self._news, []
            for k, update in news:
                if update.ending == "failed":
                    raise Refusal(500, "the engine failed; try again", code="engine_failed")
                if update.ending is not None:
                    self._open.discard(k)
            if news:
                yield news

    def _hear(self, k: int, update: Update) -> None:
        self._news.append((k, update))
        self._changed.set()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._end(None)
        self._changed.set()

    def _end(self, ending: Ending | None) -> None:
        self._desk.engine.withdraw([self._jobs[k] for k in self._open], ending)


class Writing(Answer):
    """A completion, whole or in pieces."""

    def __init__(self, desk: Desk, model: str, asked: Completion, groups: Sequence[Sequence[Job]]) -> None:
        super().__init__(desk, list(chain.from_iterable(groups)))
        self._asked, self._groups = asked, groups
        self._texts = len(self._jobs)
        self._written = 0
        self._echoed = [0] * self._texts  # characters of the prompt that were sent
        self._head = {
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "seed": self._jobs[0].settings.seed,
        }

    async def answer(self, scope: Scope, send: Send) -> None:
        """Send events as pieces come, or all at the end."""
        self._head = {"id": f"cmpl-{scope['charloom.id']}", **self._head}
        told = scope["charloom.told"]
        told.update(texts=self._texts, prompt=self._prompt, stream=bool(self._asked.stream))
        try:
            await (self._stream(send) if self._asked.stream else self._whole(send))
        finally:
            told["written"] = self._written

    async def _whole(self, send: Send) -> None:
        pieces: list[list[str]] = [[] for _ in self._jobs]
        tokens: list[list[Token]] = [[] for _ in self._jobs]
        endings: list[Ending | None] = [None] * self._texts
        async for news in self.news():
            for k, update in news:
                pieces[k].append(update.piece)
                tokens[k] += update.tokens
                endings[k] = update.ending or endings[k]
                self._written += len(update.piece)
        chosen = self._chosen()
        choices = []
        for index, k in enumerate(chosen):
            text = self._echo(k, tokens[k]) + "".join(pieces[k])
            choices.append(self._choice(index, k, text, tokens[k], endings[k]))
        await _send_json(send, {**self._head, "choices": choices, "usage": self._usage()})

    async def _stream(self, send: Send) -> None:
        with_usage = self._asked.with_usage
        head = json.dumps(self._head)[:-1]
        tail = ', "usage": null}\n\n' if with_usage else "}\n\n"
        started = False
        try:
            async for news in self.news():
                events = [
                    f'data: {head}, "choices": [{choice}]{tail}' for choice in map(self._event, *_split(news))
                ]
                if not started:
                    started = True
                    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
                await send(
                    {"type": "http.response.body", "body": "".join(events).encode(), "more_body": True}
                )
        except Refusal as refusal:
            if not started:
                raise
            await send(_body(f"data: {json.dumps(refusal.to_json())}\n\ndata: [DONE]\n\n"))
            return
        last = json.dumps({**self._head, "choices": [], "usage": self._usage()}) if with_usage else ""
        await send(_body(f"data: {last}\n\ndata: [DONE]\n\n" if last else "data: [DONE]\n\n"))

    def _event(self, k: int, update: Update) -> str:
        self._written += len(update.piece)
        piece = self._echo(k, update.tokens) + update.piece
        if update.ending is None and self._asked.alternatives < 0:
            return f'{{"index": {k}, "text": {json.dumps(piece)}, {RUNNING}}}'
        return json.dumps(self._choice(k, k, piece, update.tokens, update.ending))

    def _echo(self, k: int, tokens: Sequence[Token]) -> str:
        """Return the part of the prompt to send now: what these tokens spell; without any, all of it."""
        if not self._asked.echo:
            return ""
        job, first = self._jobs[k], self._echoed[k]
        if not job.scored:
            self._echoed[k] = len(job.prompt.text)
        elif tokens:
            self._echoed[k] = min(len(job.prompt.text), tokens[-1].at + 1)
        return job.prompt.text[first : self._echoed[k]]

    def _choice(
        self, index: int, k: int, text: str, tokens: Sequence[Token], ending: Ending | None
    ) -> dict[str, Any]:
        return {
            "index": index,
            "text": text,
            "logprobs": None if self._asked.alternatives < 0 else self._logprobs(tokens),
            "finish_reason": None if ending is None else FINISH.get(ending, "stop"),
            "ended_by": ending,
        }

    def _logprobs(self, tokens: Sequence[Token]) -> dict[str, Any]:
        """In OpenAI's shape."""
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [_number(token.nats) for token in tokens],
            "top_logprobs": [dict(token.top) or None for token in tokens] if self._asked.logprobs else None,
            "text_offset": [token.at for token in tokens],
        }

    def _chosen(self) -> list[int]:
        """The jobs whose texts are given back: all, or of each prompt the n likeliest."""
        n = self._asked.n or 1
        chosen, first = [], 0
        for group in self._groups:
            order = list(range(first, first + len(group)))
            if len(group) > n:
                order = sorted(order, key=lambda k: -_likelihood(self._jobs[k]))[:n]
            chosen += order
            first += len(group)
        return chosen

    @property
    def _prompt(self) -> int:
        return sum(len(group[0].prompt.text) for group in self._groups)

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self._prompt,
            "completion_tokens": self._written,
            "total_tokens": self._prompt + self._written,
        }


class Scoring(Answer):
    """Scores, in bits."""

    def __init__(self, desk: Desk, model: str, characters: bool, jobs: Sequence[Job]) -> None:
        super().__init__(desk, jobs)
        self._model, self._characters = model, characters

    async def answer(self, scope: Scope, send: Send) -> None:
        """Send them when all are known."""
        count = sum(len(job.prompt.text) for job in self._jobs)
        scope["charloom.told"].update(texts=len(self._jobs), prompt=count)
        tokens: list[list[Token]] = [[] for _ in self._jobs]
        async for news in self.news():
            for k, update in news:
                tokens[k] += update.tokens
        usage = {"prompt_tokens": count, "completion_tokens": 0, "total_tokens": count}
        data = [
            self._surprise(index, job, found)
            for index, (job, found) in enumerate(zip(self._jobs, tokens, strict=True))
        ]
        await _send_json(send, {"object": "list", "model": self._model, "data": data, "usage": usage})

    def _surprise(self, index: int, job: Job, tokens: Sequence[Token]) -> dict[str, Any]:
        nats = -math.fsum(token.nats for token in tokens if not math.isnan(token.nats))
        count = len(job.prompt.text)
        bits = nats / math.log(2) / count
        result: dict[str, Any] = {
            "index": index,
            "characters": count,
            "nats": nats,
            "bits_per_character": bits,
        }
        if self._characters:
            result["surprise"] = _by_character(tokens, -1 / math.log(2), "nats")
            result["expected"] = _by_character(tokens, 1 / math.log(2), "expected")
        return result


RUNNING = '"logprobs": null, "finish_reason": null, "ended_by": null'
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]


def _by_character(tokens: Sequence[Token], factor: float, name: str) -> list[float | None]:
    """A value of each character: the sum over its bytes, where it is spelt."""
    result: list[float | None] = []
    last = -1
    for token in tokens:
        value = _number(getattr(token, name) * factor)
        if token.at == last and result[-1] is not None and value is not None:
            result[-1] += value
        else:
            result.append(value)
        last = token.at
    return result


def _likelihood(job: Job) -> float:
    return job.speller.likelihood if job.speller is not None else 0.0


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def _split(news: Sequence[tuple[int, Update]]) -> tuple[list[int], list[Update]]:
    """One update a text, of all that came."""
    of_each: dict[int, list[Update]] = {}
    for k, update in news:
        of_each.setdefault(k, []).append(update)
    return list(of_each), [each[0] if len(each) == 1 else _joined(each) for each in of_each.values()]


def _joined(updates: Sequence[Update]) -> Update:
    piece = "".join(update.piece for update in updates)
    return Update(piece, tuple(chain.from_iterable(u.tokens for u in updates)), updates[-1].ending)


def _body(text: str) -> dict[str, Any]:
    """The last of an answer."""
    return {"type": "http.response.body", "body": text.encode("ascii")}


async def _send_json(send: Send, value: object) -> None:
    body = json.dumps(value).encode("ascii")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
