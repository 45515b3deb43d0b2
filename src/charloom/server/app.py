"""The routes."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import time
from collections.abc import Callable, Collection
from functools import cache, partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from charloom._version import __version__
from charloom.runtime.generator import Generator
from charloom.server import description
from charloom.server.answers import Scoring, Writing
from charloom.server.asking import Asking
from charloom.server.desk import Desk
from charloom.server.engine import Engine
from charloom.server.gate import Application, Gate
from charloom.server.limits import ServeConfig
from charloom.server.metrics import Metrics
from charloom.server.protocol import (
    Completion,
    Models,
    Score,
    Scored,
    Served,
    Status,
    Written,
    errors,
)
from charloom.server.refusal import Refusal
from charloom.server.site import Site

COMPLETIONS = 'This is a completion model, not a chat model: send {"prompt": "..."} to POST /v1/completions'
TICK_SECONDS = 5.0  # that /health gives the engine to go round
UNSUPPORTED = ("suffix", "repetition_penalty", "min_tokens")  # but for the value that asks for nothing
REFUSED = errors(400, 401, 403, 404, 408, 413, 429, 431, 500, 503)


class Service:
    """One model, served: the application, its engine and what they share."""

    def __init__(
        self,
        generator: Generator,
        name: str,
        site: Site,
        *,
        settings: ServeConfig,
        keys: Collection[str] = (),
        log_prompts: bool = False,
    ) -> None:
        self.metrics = Metrics()
        self.desk = Desk(settings, self.metrics, log_prompts=log_prompts)
        self.engine = self.desk.engine = Engine(generator, settings, self.metrics, self.desk.tell)
        self._asking = Asking(generator, name, settings)
        self._site, self._name, self._begun = site, name, int(time.time())
        api = self._routes()
        public = {"/health", "/ready", *site.page}
        self.gate = Gate(
            api, limits=settings, metrics=self.metrics, keys=keys, public=public, room=self.desk.room
        )
        self.app: Application = self.gate
        if settings.cors:
            self.app = CORSMiddleware(
                self.gate,
                allow_origins=settings.cors,
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=["*"],  # whichever are asked for: OpenAI's client sends a dozen of its own
                allow_private_network=True,  # a page on the web may ask this machine: its origin was allowed
                expose_headers=["x-request-id", "retry-after"],
            )

    def _routes(self) -> FastAPI:
        app = FastAPI(
            title=f"charloom: {self._name}",
            version=__version__,
            description="A recurrent character model behind OpenAI's completions; tokens are characters.",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
        )
        app.add_exception_handler(Refusal, _refused)
        app.add_exception_handler(RequestValidationError, _invalid)
        app.add_exception_handler(HTTPException, _other)
        app.add_exception_handler(Exception, _broken)
        self._models(app)
        self._work(app)
        self._operations(app)
        self._files(app)
        return app

    def _work(self, app: FastAPI) -> None:
        @app.post("/v1/completions", response_model=Written, responses=_events() | REFUSED)
        async def completions(asked: Completion) -> Response:
            """Write after a prompt."""
            return Writing(self.desk, self._name, asked, await self._asking.to_write(asked))

        @app.post("/v1/score", response_model=Scored, responses=REFUSED)
        async def score(asked: Score) -> Response:
            """How well the model predicts a text, in bits a character."""
            return Scoring(self.desk, self._name, bool(asked.characters), self._asking.to_score(asked))

    def _models(self, app: FastAPI) -> None:
        served = Served(id=self._name, object="model", created=self._begun, owned_by="charloom")

        @app.get("/v1/models", responses=REFUSED)
        async def models() -> Models:
            """The model that is served."""
            return Models(object="list", data=[served])

        @app.get("/v1/models/{name}", responses=REFUSED)
        async def model(name: str) -> Served:
            """The model of that name."""
            if name != self._name:
                message = f"the model {name[:100]!r} is not served here; {self._name!r} is"
                raise Refusal(404, message, param="model", code="model_not_found")
            return served

    def _operations(self, app: FastAPI) -> None:
        unwell: dict[int | str, dict[str, Any]] = {**REFUSED, 503: {"model": Status}}

        @app.get("/health", responses=unwell)
        async def health() -> Status:
            """Whether the engine goes round."""
            try:
                await asyncio.wait_for(asyncio.wrap_future(self.engine.tick()), TICK_SECONDS)
            except TimeoutError:
                return JSONResponse({"status": "the engine does not answer"}, 503)  # type: ignore[return-value]
            return Status(status="ok")

        @app.get("/ready", responses=unwell)
        async def ready() -> Status:
            """Whether requests are taken."""
            if self.gate.draining:
                return JSONResponse({"status": "draining"}, 503)  # type: ignore[return-value]
            return Status(status="ready")

        @app.get("/metrics", responses={200: {"content": {"text/plain": {}}}, **REFUSED})
        async def metrics() -> Response:
            """Numbers for Prometheus."""
            return Response(self.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _files(self, app: FastAPI) -> None:
        headers = {"content-security-policy": self._site.policy, "cache-control": "no-cache"}
        docs = {**headers, "content-security-policy": description.POLICY}

        def add(path: str, kind: str, content: Callable[[], bytes], told: dict[str, str]) -> None:
            @cache
            def file() -> tuple[bytes, dict[str, str]]:
                body = content()
                tag = hashlib.blake2b(body, digest_size=16).hexdigest()
                return body, {**told, "content-type": kind, "etag": f'"{tag}"'}

            async def answer(request: Request) -> Response:
                body, headers = file()
                known = request.headers.get("if-none-match", "")
                if known == "*" or headers["etag"] in known:
                    return Response(status_code=304, headers=headers)
                return Response(body, headers=headers)

            app.add_route(path, answer, methods=["GET"], include_in_schema=False)

        for path, (kind, content) in self._site.page.items():
            add(path, kind, content, headers)
        for name, (kind, content) in self._site.model.items():
            add(f"/model/{name}", kind, content, {"cache-control": "no-cache"})
        for path, base in (("/docs", ""), ("/docs/", "../")):
            page = partial(description.page, app, base)
            add(path, "text/html; charset=utf-8", page, docs)
        add("/docs/style.css", "text/css; charset=utf-8", description.STYLE.encode, docs)


def _events() -> dict[int | str, dict[str, Any]]:
    told = "The text, or with `stream` its pieces as server-sent events."
    return {200: {"description": told, "content": {"text/event-stream": {}}}}


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(error.to_json(), error.status, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong with the first field at fault; nothing of its value, which may be a text."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    same = (each["msg"] for each in error.errors() if each["loc"][:2] == first["loc"][:2])
    place = [str(part) for part in first["loc"] if part != "body"]
    param = place[0] if place and first["type"] != "json_invalid" else None
    if first["type"] == "extra_forbidden":
        known = [name for name in Completion.model_fields if name not in UNSUPPORTED]
        near = difflib.get_close_matches(place[-1], known, 1)
        hint = f"did you mean {near[0]}?" if near else "leave it out"
        message = f"{'.'.join(place)[:100]}: there is no such field here; {hint}"
    elif param in UNSUPPORTED:
        message = f"{param}: not supported here; leave it out"
    elif first["type"] == "json_invalid":
        message = f"the body is not JSON: {first['ctx']['error']} at position {first['loc'][-1]}"
    elif not place and first["type"] == "missing":
        message = "the body is empty; send a JSON object"
    elif not place and "json" not in request.headers.get("content-type", ""):
        message = "the body is not said to be JSON; send the header Content-Type: application/json"
    else:
        message = f"{param or 'the body'}: {' or '.join(dict.fromkeys(same))}"
    return await _refused(request, Refusal(400, message[:500], param=param))


async def _other(request: Request, error: Exception) -> Response:
    """What no route answers: an unknown path, or a known one by another method."""
    assert isinstance(error, HTTPException)
    asked = f"{request.method[:20]} {request.url.path[:100]}"
    allowed = (error.headers or {}).get("Allow", "")
    if error.status_code == 404 and request.url.path.startswith("/model/"):
        refusal = Refusal(404, "the model has no public file of this name", code="unknown_url")
    elif error.status_code == 404:
        refusal = Refusal(404, f"Unknown request URL: {asked}. {COMPLETIONS}", code="unknown_url")
    elif error.status_code == 405 and request.method == "OPTIONS":
        return Response(status_code=204, headers={"allow": f"{allowed}, OPTIONS"})
    elif error.status_code == 405:
        message, headers = f"{asked} is not supported; use {allowed}", {"allow": allowed}
        refusal = Refusal(405, message, code="method_not_supported", headers=headers)
    else:
        refusal = Refusal(error.status_code, str(error.detail), headers=error.headers)
    return await _refused(request, refusal)


async def _broken(request: Request, error: Exception) -> Response:
    return await _refused(request, Refusal(500, "the server has a fault; its log says more"))
