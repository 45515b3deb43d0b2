"""The page and the model's public files: a fixed list of names, all in memory; no request reaches a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from charloom.export import html
from charloom.export.precision import Precision, weights
from charloom.model.folder import Model

TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown; charset=utf-8",
    ".safetensors": "application/octet-stream",
}
COPIED = ("config.json", "vocab.json", "generation.json", "README.md")
POLICY = re.compile('http-equiv="Content-Security-Policy" content="([^"]*)"')

File = tuple[str, Callable[[], bytes]]
"""A content type, and the content."""


class Site:
    """What is served beside the API; `folder` is the model's, read once, `curve` its training's records."""

    def __init__(
        self, model: Model, folder: Path, precision: Precision, curve: Iterable[Mapping[str, Any]]
    ) -> None:
        self._model, self._precision = model, precision
        index = html.served()
        found = POLICY.search(index)
        assert found is not None
        self.policy = f"{found[1]}; frame-ancestors 'none'"
        """What the page itself says, and what only a header may."""
        self.page: Mapping[str, File] = {"/": (TYPES[".html"], _kept(index.encode("utf-8")))}
        """By path; open to everybody."""
        self.model = dict(self._files(folder, curve))
        """By name; closed by a key."""

    def _files(self, folder: Path, curve: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, File]]:
        for name in COPIED:
            path = folder / name
            if path.is_file():
                yield name, (TYPES[path.suffix], _kept(path.read_bytes()))
        yield "model.safetensors", (TYPES[".safetensors"], lambda: self._weights)
        lines = "".join(f"{json.dumps(record)}\n" for record in curve)
        yield "metrics.jsonl", (TYPES[".jsonl"], _kept(lines.encode("ascii")))

    @cached_property
    def _weights(self) -> bytes:
        return weights(self._model, self._precision)


def _kept(content: bytes) -> Callable[[], bytes]:
    return lambda: content
