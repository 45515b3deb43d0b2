"""The page /docs: what OpenAPI says of the API, as plain HTML that fetches nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8886; }
code, pre { font: .9rem/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid #8886; }
:root { color-scheme: light dark; }
"""
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
EXAMPLE = """curl http://127.0.0.1:8000/v1/completions -H 'content-type: application/json' \\
  -d '{"prompt": "Once ", "max_tokens": 200, "temperature": 0.8, "stream": true}'"""


def page(app: FastAPI, base: str) -> bytes:
    """HTML of an application's OpenAPI description; `base` leads from the page to the server's root."""
    described = app.openapi()
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(described['info']['title'])}</title>",
        f'<link rel="stylesheet" href="{base}docs/style.css"><link rel="icon" href="data:,">',
        f"<h1>{_text(described['info']['title'])}</h1>",
        f"<p>{_text(described['info'].get('description', ''))}",
        f' The same for programs: <a href="{base}openapi.json">openapi.json</a>.</p>',
        f"<pre><code>{_text(EXAMPLE)}</code></pre>",
    ]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{_text(method.upper())} {_text(path)}</code></h2>")
            parts.append(f"<p>{_text(operation.get('description', operation.get('summary', '')))}</p>")
            statuses = ", ".join(operation["responses"])
            parts.append(f"<p>Answers with {_text(statuses)}.</p>")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            parts += _fields(described, body.get("schema", {}))
    return "\n".join(parts).encode("utf-8")


def _fields(described: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """A table of what a request may hold."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if not name:
        return []
    whole = described["components"]["schemas"][name]
    rows = ["<table><tr><th>field<th>what it takes<th>default<th>what it does</tr>"]
    for field, told in whole["properties"].items():
        default = "required" if field in whole.get("required", ()) else told.get("default")
        cells = (field, _kind(told), "" if default is None else str(default), told.get("description", ""))
        rows.append("<tr>" + "".join(f"<td>{_text(cell)}" for cell in cells) + "</tr>")
    return [*rows, "</table>"]


def _kind(told: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "anyOf" in told:
        return " or ".join(kind for kind in map(_kind, told["anyOf"]) if kind != "null")
    if "const" in told:
        return json.dumps(told["const"])
    if "$ref" in told:
        return str(told["$ref"].rpartition("/")[2])
    if told.get("type") == "array":
        return f"list of {_kind(told.get('items', {}))}"
    bounds = [
        f"{sign} {told[key]:g}"
        for key, sign in (("exclusiveMinimum", ">"), ("minimum", "≥"), ("maximum", "≤"))
        if key in told
    ]
    return " ".join([str(told.get("type", "anything")), *bounds])


def _text(text: object) -> str:
    return html.escape(str(text))
