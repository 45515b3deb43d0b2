"""Writes docs/reference/: the Python API, the configuration, the model folder and HTTP.

    python docs/reference.py

All of it comes from the code: names from `charloom.__all__`, signatures and docstrings from the objects,
settings with their defaults and reasons from the lines that set them, weights from `weight_shapes`, routes
and fields from the server's own OpenAPI description. A test fails while a page is not what this writes.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import charloom
from charloom import api, settings
from charloom.insight.classify import Classified
from charloom.model import folder
from charloom.model.config import CELLS, ModelConfig
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.sample import Alternative, Sample
from charloom.server import refusal
from charloom.server.app import Service
from charloom.server.limits import ServeConfig
from charloom.server.protocol import MOST
from charloom.server.site import Site
from charloom.training import events

HERE = Path(__file__).parent / "reference"
GOLDEN = HERE.parent.parent / "tests" / "model" / "golden"
WRITTEN = "This page is written by `python docs/reference.py`; a test fails while it is not what that writes."
PREFIX = re.compile(r"\b(?:charloom|collections|typing|numpy|pathlib)(?:\.\w+)*\.(\w+)")
LITERAL = re.compile(r"Literal\[(.*)\]")
REFERENCE = re.compile(r'#/components/schemas/(\w+)"')
REFUSED = re.compile(
    r"Refusal\(\s*(\d+),(?:(?!Refusal\().)*?code=\"(\w+)\"|_refuse\((\d+), [^\n]*\"(\w+)\"\)", re.DOTALL
)


def python() -> str:
    """Every public name: what it takes, gives and raises."""
    lines = ["# Python", "", WRITTEN, "", _told(charloom)]
    public = {name: getattr(charloom, name) for name in charloom.__all__ if not name.startswith("_")}
    kinds: dict[str, Callable[[Any], bool]] = {
        "Functions": lambda found: not isinstance(found, type),
        "Classes": lambda found: isinstance(found, type) and not issubclass(found, Exception),
    }
    for title, wanted in kinds.items():
        lines += ["", f"## {title}"]
        for name, found in public.items():
            if wanted(found):
                lines += _entry(name, found)
    lines += ["", "## Options of `generate`, `stream` and `sample`", "", *_fields(SamplerConfig)]
    lines += ["", "## What `sample` and `classify` give"]
    for found in (Sample, Alternative, Classified):
        lines += _entry(found.__name__, found)
    lines += ["", "## Events", "", "What `train(…, on_event=…)` is called with."]
    for found in (api.Prepared, *_members(events.Event), api.Sampled):
        lines += _entry(found.__name__, found)
    lines += ["", "## Errors", "", _told(charloom.errors)]
    return "\n".join(lines) + "\n"


def configuration() -> str:
    """Every key of every section: its kind, its default and the reason for it."""
    lines = ["# Configuration", "", WRITTEN, "", _told(settings), ""]
    lines += [
        "Every key goes with `--set section.key=value`, as `CHARLOOM_SECTION_KEY` in the environment, as",
        "`key = value` under `[section]` in a file for `--config`, and as a keyword of `charloom.train`. The",
        "commonest have flags of their own ([commands](../commands.md)).",
    ]
    for section, kind in settings.SECTIONS.items():
        lines += ["", f"## [{section}]", "", _told(kind), "", *_fields(kind)]
    lines += [
        "", "A run folder's `config.toml` keeps " + ", ".join(f"`{key}`" for key in settings.SAMPLE_KEYS),
        "of these: they are what the model samples by where nothing else is said.",
        "", "## Presets", "",
    ]  # fmt: skip
    rows = [
        (
            f"`{name}`",
            ", ".join(f"{key} {value}" for values in preset.values() for key, value in values.items())
            or "chosen by text, budget and machine, each choice with its reason printed",
        )
        for name, preset in settings.PRESETS.items()
    ]
    return "\n".join([*lines, *_table(("preset", "what it sets"), rows)]) + "\n"


def model_folder() -> str:
    """The files of the current format, the keys of config.json, the weights."""
    newest = GOLDEN / f"format-{folder.FORMAT}"
    config = json.loads((newest / "config.json").read_text("utf-8"))
    lines = [
        "# The model folder", "", WRITTEN, "", _told(folder), "",
        f"This is format {folder.FORMAT}. A reader refuses a later one by name, and every format that a",
        "release wrote still loads: a folder of each lies in the tests.",
        "", "## config.json", "", "```json", json.dumps(config, indent=1), "```",
        "", "Of vocab.json, `ids` lists what each id is: a character, or a special in `<>`.",
        "", "## Weights", "",
        "Shapes with V ids, an embedding of E numbers (0: one-hot, V numbers, and the table is the",
        "identity) and H hidden units. Gates stand one above the other in torch's order: LSTM i f g o,",
        "GRU r z n. Every layer after the first reads H numbers.",
        "",
    ]  # fmt: skip
    symbols = {5: "V", 3: "E", 7: "H", 28: "4H", 21: "3H"}
    rows = []
    shapes = {
        cell: ModelConfig(cell=cell, hidden=7, embedding=3, layers=1).weight_shapes(5) for cell in CELLS
    }
    for name in shapes["lstm"]:
        each = ("(" + ", ".join(symbols[size] for size in shapes[cell][name]) + ")" for cell in shapes)
        rows.append((f"`{name.replace('layers.0', 'layers.K')}`", *each))
    lines += _table(("name", *(cell.upper() for cell in shapes)), rows)
    lines += [
        "",
        "A model with conditions has `condition.NAME.layers.K.weight` and `.bias` besides: the linear map",
        "from the condition to the layer's first state.",
        "",
        "A run folder is a model folder with `config.toml`, `metrics.jsonl`, `samples.jsonl`,",
        "`machine.json`, `report.html` and `checkpoints/` in it. Nothing in either is code, and loading one",
        "runs none.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def http() -> str:
    """Routes with their fields, errors by status and code, metrics."""
    newest = GOLDEN / f"format-{folder.FORMAT}"
    model = folder.read(newest)
    service = Service(Generator(model), "book", Site(model, newest, "float32", ()), settings=ServeConfig())
    described = service._routes().openapi()
    schemas = described["components"]["schemas"]
    lines = [
        "# HTTP", "", WRITTEN, "",
        "What `charloom serve` answers. [The server](../server.md) tells how to use it, and its limits.",
    ]  # fmt: skip
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            lines += ["", f"## {method.upper()} {path}", "", operation["description"]]
            asked = operation.get("requestBody", {})
            if name := _body(asked):
                lines += [
                    "",
                    *_table(("field", "what it is", "default", "what it does"), _asked(schemas[name])),
                ]
            names = [_body(operation["responses"].get("200", {}))]
            for name in filter(None, names):  # and what is in it
                lines += ["", f"**{name}**: {schemas[name]['description'].replace(chr(10), ' ')}", ""]
                properties = schemas[name]["properties"]
                lines += _table(
                    ("field", "what it is"), [(f"`{k}`", _schema(v)) for k, v in properties.items()]
                )
                names += [more for more in REFERENCE.findall(json.dumps(properties)) if more not in names]
    lines += [
        "", "## Errors", "",
        'An error is OpenAI\'s: `{"error": {"message", "type", "param", "code"}}`. `param` names the field',
        "at fault, `code` the reason: `NAME_limit` for one of [the server's limits](../server.md).", "",
    ]  # fmt: skip
    codes: dict[int, set[str]] = {status: set() for status in refusal.TYPES}
    for file in sorted(Path(refusal.__file__).parent.glob("*.py")):
        for found in REFUSED.findall(file.read_text("utf-8")):
            status, code = filter(None, found)
            codes.setdefault(int(status), set()).add(f"`{code}`")
    other = refusal.Refusal(0, "").to_json()["error"]["type"]
    rows = [
        (str(status), f"`{refusal.TYPES.get(status, other)}`", ", ".join(sorted(codes[status])))
        for status in sorted(codes)
    ]
    lines += _table(("status", "`type`", "`code`"), rows)
    lines += [
        "",
        "## Metrics",
        "",
        "At `/metrics`, in Prometheus's text format, beside those of the process.",
        "",
    ]
    families = [each for each in service.metrics.registry.collect() if each.name.startswith("charloom_")]
    kinds = {"counter": "_total"}
    rows = [(f"`{each.name}{kinds.get(each.type, '')}`", each.type, each.documentation) for each in families]
    return "\n".join([*lines, *_table(("name", "kind", "what it counts"), rows)]) + "\n"


def _body(told: dict[str, Any]) -> str:
    """The name of the schema that a request or an answer has, or nothing."""
    schema = told.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _asked(schema: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, told in schema["properties"].items():
        default = told.get("default")
        shown = (
            "required"
            if name in schema.get("required", ())
            else ""
            if default is None
            else json.dumps(default)
        )
        rows.append((f"`{name}`", _schema(told), shown, told.get("description", "")))
    return rows


def _schema(told: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in told:
        return str(told["$ref"]).rpartition("/")[2]
    if "anyOf" in told:
        return " or ".join(dict.fromkeys(kind for kind in map(_schema, told["anyOf"]) if kind))
    if values := told.get("enum", [told["const"]] if "const" in told else []):
        return ", ".join(
            f"`{value if value and value is not True else json.dumps(value)}`" for value in values
        )
    if told.get("type") == "array":
        return f"list of {_schema(told['items'])}"
    bounds = [
        f"{sign} {told[key]:,}"
        for key, sign in (("exclusiveMinimum", ">"), ("minimum", "≥"), ("maximum", "≤"))
        if key in told and told[key] != MOST
    ]
    kinds = {"null": "", "object": "object", "integer": "whole number", "boolean": "true or false"}
    kind = str(told.get("type", "anything"))
    return " ".join([kinds.get(kind, kind), *bounds]).strip()


PAGES: dict[str, Callable[[], str]] = {
    "http.md": http,
    "python.md": python,
    "configuration.md": configuration,
    "model-folder.md": model_folder,
}


def _entry(name: str, found: Any) -> list[str]:
    """A heading, the signature, the docstring; for a class its fields and methods too."""
    lines = ["", f"### {name}", ""]
    if not isinstance(found, type):
        return [*lines, *_signature(name, found), "", _told(found)]
    if is_dataclass(found):
        return [*lines, _told(found), "", *_fields(found), *_methods(found)]
    return [*lines, _told(found), *_methods(found)]


def _methods(found: type) -> Iterator[str]:
    for name, member in vars(found).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield from ("", f"**.{name}** – {_told(member)}")
        elif inspect.isfunction(member):
            yield from ("", *_signature(f"{found.__name__}.{name}", member), "", _told(member))


def _signature(name: str, found: Any) -> list[str]:
    told = inspect.signature(found)
    shown = []
    for parameter in told.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not any(each.startswith("*") for each in shown):
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = parameter.default
        value = "" if default is parameter.empty else f" = {'…' if callable(default) else repr(default)}"
        shown.append(f"{stars}{parameter.name}: {_plain(parameter.annotation)}{value}")
    line = f"{name}({', '.join(shown)}) -> {_plain(told.return_annotation)}"
    return ["```text", *textwrap.wrap(line, 100, subsequent_indent="    "), "```"]


def _plain(annotation: Any) -> str:
    return PREFIX.sub(r"\1", annotation if isinstance(annotation, str) else str(annotation))


def _fields(found: type) -> list[str]:
    """A table of a dataclass's fields, with the reasons that stand beside their defaults."""
    reasons, rows = _comments(found), []
    for field in fields(found):
        if not field.metadata.get("setting", True):
            continue
        default = "–" if field.default is MISSING else f"`{_shown(field.default)}`"
        rows.append((f"`{field.name}`", _kind(field.type, found), default, reasons.get(field.name, "")))
    if not rows:
        return []
    if not any(reason for *_, reason in rows):
        if all(default == "–" for _, _, default, _ in rows):
            return _table(("field", "kind"), [row[:2] for row in rows])
        return _table(("field", "kind", "default"), [row[:3] for row in rows])
    return _table(("key", "kind", "default", "why, or what it does"), rows)


def _comments(found: type) -> dict[str, str]:
    """By field, the comment on the line of its default, or on the line of its value in brackets below."""
    comments: dict[str, str] = {}
    for base in found.__bases__:  # fields that it inherits
        if is_dataclass(base):
            comments |= _comments(base)
    name = ""
    for line in inspect.getsource(found).splitlines():
        if re.match(r"    (?:def |@)", line):
            break
        if begun := re.match(r"    (\w+): [^#]*", line):
            name = begun[1]
        if name and (told := re.search(r"  # (?!type:|noqa)(.*)$", line)):
            comments[name] = told[1]
    return comments


def _kind(kind: Any, found: type) -> str:
    """What a field takes; the values of a Literal by name."""
    shown = str(kind)
    named = getattr(inspect.getmodule(found), shown, None)
    if named is not None and (values := LITERAL.search(str(named))):
        shown = f"Literal[{values[1]}]"
    if values := LITERAL.search(shown):
        return ", ".join(f"`{value.strip(chr(39) + chr(34))}`" for value in values[1].split(", "))
    return f"`{_plain(shown)}`"


def _shown(value: Any) -> str:
    return '""' if value == "" else str(value) if not isinstance(value, tuple) else (
        "/".join(map(str, value)) or "()"
    )  # fmt: skip


def _members(union: Any) -> tuple[type, ...]:
    found: tuple[type, ...] = union.__args__
    return found


def _told(found: Any) -> str:
    """A docstring as Markdown: indented stretches become blocks of code."""
    blocks = (inspect.getdoc(found) or "").replace("``", "`").split("\n\n")
    return "\n\n".join(
        f"```text\n{textwrap.dedent(block)}\n```" if block.startswith("    ") else block for block in blocks
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    shown = [[cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *shown)]


if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8", newline="\n")
