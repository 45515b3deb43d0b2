"""One file that runs a model in any browser: page, engine and weights, with nothing fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from charloom.export.bundle import asset, bundle
from charloom.export.precision import Precision, weights
from charloom.model.folder import Model, read_json
from charloom.system.files import replace_file

STYLES = "page/style.css", "page/layout.css", "page/parts.css", "page/print.css"

POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; worker-src blob:; img-src data:; "
    "connect-src {connect}; base-uri 'none'; form-action 'none'"
)


def write(
    model: Model,
    source: Path,
    out: Path,
    *,
    name: str,
    precision: Precision,
    curve: Iterable[Mapping[str, Any]],
) -> int:
    """Write the page `out` for `model`, which was read from `source`; its size in bytes.

    `name` is the title; `curve` are the records of metrics.jsonl. Raises RunError where it cannot be
    written, UsageError where the precision cannot hold the weights.
    """
    content = page(model, source, name=name, precision=precision, curve=curve).encode("utf-8")
    replace_file(out, content)
    return len(content)


def page(
    model: Model, source: Path, *, name: str, precision: Precision, curve: Iterable[Mapping[str, Any]]
) -> str:
    """The whole page; nothing in it can be mistaken for markup, whatever the model's name and texts."""
    content = weights(model, precision)
    about = {
        "identity": hashlib.sha256(content).hexdigest()[:16],  # what the browser stores belongs to one model
        "name": name,
        "config": read_json(source / "config.json"),
        "vocabulary": read_json(source / "vocab.json"),
        "sampling": read_json(source / "generation.json"),
        "card": _card(source),
        "curve": [
            {key: record[key] for key in ("step", "seconds", "loss", "nats")}
            for record in curve
            if {"step", "seconds", "loss", "nats"} <= record.keys()
        ],
    }
    return _filled(
        title=name,
        connect="'none'",
        about=json.dumps(about).replace("<", "\\u003c"),
        weights=base64.b64encode(content).decode("ascii"),
    )


def served() -> str:
    """The page without a model, for a server: it fetches `v1/models` and, from `model/`, the files of the
    model's folder (metrics.jsonl and README.md where they exist), with the key where it is asked for one.
    """
    return _filled(title="charloom", connect="'self'", about="", weights="")


def _filled(*, title: str, connect: str, about: str, weights: str) -> str:
    script, style = bundle("page/main.js"), "".join(map(asset, STYLES))
    filled = {
        "policy": POLICY.format(script=_hash(script), style=_hash(style), connect=connect),
        "title": html.escape(_printable(title)),
        "style": style,
        "about": about,
        "weights": weights,
        "worker": bundle("engine/worker.js"),
        "script": script,
    }
    parts = asset("page/index.html").split("{{")
    return parts[0] + "".join(filled[key] + rest for key, rest in (part.split("}}", 1) for part in parts[1:]))


def _card(source: Path) -> str:
    path = source / "README.md"
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""


def _hash(text: str) -> str:
    """A content policy's name for an inline script or style (Content Security Policy Level 3, 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _printable(name: str) -> str:
    """A file name may hold bytes that are no UTF-8, which Python carries as lone surrogates."""
    return name.encode("utf-8", "replace").decode("utf-8")
