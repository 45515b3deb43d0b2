"""Where settings come from: TOML file < environment < `--set section.key=value` < flag.

Everything is a key of one section: `[data]`, `[model]`, `[train]`, `[sample]`, `[serve]`, each a frozen
dataclass that checks its values. In the environment `CHARLOOM_TRAIN_MINUTES=5` is `train.minutes`. A
preset fills in what nobody named. The resolved file is saved with a run, reasons as comments, and repeats it.
What TOML cannot hold, a file name that is not UTF-8, is written there as `quoted:` and its bytes as %XX.
"""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from charloom.errors import UsageError, closest
from charloom.model.config import ModelConfig
from charloom.runtime.options import SamplerConfig
from charloom.server.limits import ServeConfig
from charloom.text.config import DataConfig
from charloom.training.batches import LESSON_WINDOW
from charloom.training.config import TrainConfig

SECTIONS: Mapping[str, type[Any]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "sample": SamplerConfig,
    "serve": ServeConfig,
}
ENVIRONMENT = "CHARLOOM_"
QUOTED = "quoted:"
SAMPLE_KEYS = ("temperature", "top_k", "top_p", "length")  # what a model folder keeps as its defaults

BUDGETS = ("minutes", "epochs", "steps")

Values = dict[str, dict[str, Any]]

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "auto": {},
    "lesson": {  # as the lesson tells it: one-hot, hidden 64, Adam 0.01, a text a step, no specials
        "data": {"normalize": "none"},
        "model": {"cell": "lstm", "layers": 1, "hidden": 64, "embedding": 0, "dropout": 0.0},
        "train": {
            "layout": "windows",
            "window": LESSON_WINDOW,
            "optimiser": "adam",
            "rate": 0.01,
            "warmup": 0.0,
            "decay": False,
            "clip": 0.0,
            "precision": "float32",
            "patience": 0,
            "steps": 10_000,
        },
    },
    "tiny": {"model": {"layers": 1, "hidden": 128}},
    "small": {"model": {"layers": 1, "hidden": 256}},
    "base": {"model": {"layers": 1, "hidden": 512}},
    "large": {"model": {"layers": 2, "hidden": 768}},
}


@dataclass(frozen=True)
class Settings:
    """What was named, by section; the rest is the preset's and the dataclasses' own."""

    preset: str
    corpus: tuple[str, ...]
    given: Values

    def values(self, section: str, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One section's settings: what was given, over `chosen`, over the preset's."""
        preset, given = dict(PRESETS[self.preset].get(section, {})), self.given.get(section, {})
        if any(given.get(budget) for budget in BUDGETS):  # takes the place of the preset's
            preset = {key: value for key, value in preset.items() if key not in BUDGETS}
        return {**preset, **(chosen or {}), **given}

    def build(self, section: str, chosen: Mapping[str, Any] | None = None) -> Any:
        """The section's dataclass; raises UsageError for a value out of its range."""
        return SECTIONS[section](**_typed(section, self.values(section, chosen)))


def resolve(
    *,
    preset: str = "",
    corpus: Iterable[str] = (),
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    sets: Iterable[str] = (),
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Join the sources of settings, the later over the earlier.

    Raises UsageError for an unknown section or key (naming the nearest) and for a file that is not TOML.
    """
    given: Values = {}
    found = _read(file) if file else {}
    named, listed = found.pop("preset", "auto"), _listed(found.pop("corpus", ()))
    preset, corpus = preset or str(named), tuple(corpus) or tuple(map(str, listed))
    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r} is not known{nearest(preset, PRESETS)}")
    for section, values in found.items():
        if not isinstance(values, dict):
            raise UsageError(f"{file}: {section!r} is no section; there are {', '.join(SECTIONS)}")
        _take(given, section, values, str(file), from_file=True)
    for name, text in sorted((environment or {}).items()):
        section, _, key = name.removeprefix(ENVIRONMENT).lower().partition("_")
        if name.startswith(ENVIRONMENT) and section in SECTIONS and key:
            _take(given, section, {key: _parsed(text)}, name)
    for assignment in sets:
        name, equals, text = assignment.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot:
            raise UsageError(f"--set {assignment}: it takes section.key=value, such as train.rate=0.003")
        _take(given, section, {key: _parsed(text)}, f"--set {name}")
    for section, values in (flags or {}).items():
        _take(given, section, values, section)
    return Settings(preset, tuple(corpus), given)


def write(settings: Settings, resolved: Mapping[str, Any], reasons: Mapping[str, str]) -> bytes:
    """The resolved file: every key of every section, with the reason of what was chosen beside it."""
    lines = [
        "# written by charloom; `charloom train --config` and this file repeat the run",
        f"preset = {_toml(settings.preset)}",
        f"corpus = {_toml(settings.corpus)}",
    ]
    for section, config in resolved.items():
        values = {
            key: getattr(config, key) for key in (SAMPLE_KEYS if section == "sample" else keys(section))
        }
        lines += ["", f"[{section}]"]
        for key, value in values.items():
            reason = reasons.get(f"{section}.{key}", "")
            lines.append(f"{key} = {_toml(value)}" + (f"  # {reason}" if reason else ""))
    return ("\n".join(lines) + "\n").encode("utf-8")


def reasons(file: Path) -> dict[str, str]:
    """Those that stand in a file which `write` made, by `section.key`."""
    found, section = {}, ""
    for line in file.read_text("utf-8").split("\n"):
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif entry := re.fullmatch(r"(\w+) = (.+)", line):
            with contextlib.suppress(ValueError):  # somebody has edited it
                _, end = json.JSONDecoder().raw_decode(entry[2])
                if reason := entry[2][end:].removeprefix("  # "):
                    found[f"{section}.{entry[1]}"] = reason
    return found


def keys(section: str) -> list[str]:
    """The names of a section's settings."""
    return [field.name for field in fields(SECTIONS[section]) if field.metadata.get("setting", True)]


def section_of(key: str) -> str:
    """The section of training that a key belongs to; raises UsageError, naming the nearest, for none."""
    trained = [section for section in SECTIONS if section != "serve"]
    for section in trained:
        if key in keys(section):
            return section
    known = [key for section in trained for key in keys(section)]
    raise UsageError(f"there is no option {key!r}{nearest(key, known)}")


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = _unquoted(tomllib.loads(file.read_bytes().decode("utf-8-sig")))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not valid TOML ({error})") from error
    return found


def _take(
    given: Values, section: str, values: Mapping[str, Any], where: str, from_file: bool = False
) -> None:
    if section not in SECTIONS:
        raise UsageError(f"{where}: there is no section {section!r}{nearest(section, SECTIONS)}")
    known = keys(section)
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{where}: [{section}] has no key {key!r}{nearest(key, known)}")
        if key == "condition" and section == "data" and not value and not from_file:
            raise UsageError(f"{where}: condition is empty; none trains without any")
        taken = given.setdefault(section, {})
        if key in BUDGETS and value:  # a later budget takes the place of an earlier one, its plan included
            for other in {*BUDGETS, "plan"} - set(values):
                taken.pop(other, None)
        taken[key] = value


def nearest(name: str, known: Iterable[str]) -> str:
    """How a message on a name that is not `known` ends: what may have been meant."""
    known = list(known)
    meant = closest(name, known)
    return f"; did you mean {meant!r}?" if meant else f"; there are {', '.join(known)}"


def _parsed(text: str) -> Any:
    """A TOML value, or else the text itself, so that strings need no quotes."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _typed(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as tuples, 90/5/5 as three numbers, whole numbers as floats where a float is meant."""
    kinds = {field.name: str(field.type) for field in fields(SECTIONS[section])}
    typed: dict[str, Any] = {}
    for key, value in values.items():
        if key == "fractions":
            value = _fractions(value)
        if kinds[key].startswith("tuple[str"):
            value = tuple(map(str, value.split(",") if isinstance(value, str) else _listed(value)))
        elif isinstance(value, list):
            value = tuple(tuple(item) if isinstance(item, list) else item for item in value)
        if kinds[key] == "float" and type(value) is int:
            value = float(value)
        wanted = {"bool": bool, "int": int, "str": str}.get(kinds[key])
        if wanted and type(value) is not wanted:
            if wanted is str and isinstance(value, int | float):
                value = str(value)
            else:
                raise UsageError(f"{section}.{key} is {value!r}; it takes {_KINDS[wanted]}")
        typed[key] = value
    return typed


def _listed(value: Any) -> list[Any] | tuple[Any, ...]:
    return value if isinstance(value, list | tuple) else [value]


_KINDS = {bool: "true or false", int: "a whole number", str: "a text"}


def _fractions(value: Any) -> tuple[float, ...]:
    shares = value.split("/") if isinstance(value, str) else _listed(value)
    try:
        return tuple(share if isinstance(share, int) else float(share) for share in shares)
    except (TypeError, ValueError):
        raise UsageError(f"fractions are {value!r}; they are three percentages such as 90/5/5") from None


def _toml(value: Any) -> str:
    """JSON's scalars, strings and arrays are TOML's, but for one control character."""
    return json.dumps(_quoted(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _quoted(value: Any) -> Any:
    """What TOML cannot hold, such as file names that are not UTF-8, as `quoted:` and its bytes as %XX."""
    if isinstance(value, list | tuple):
        return [_quoted(item) for item in value]
    if isinstance(value, str) and (value.startswith(QUOTED) or not _is_unicode(value)):
        return QUOTED + urllib.parse.quote(value, errors="surrogatepass")
    return value


def _unquoted(value: Any) -> Any:
    """The inverse of `_quoted`, in all that a file holds."""
    if isinstance(value, dict):
        return {key: _unquoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unquoted(item) for item in value]
    if isinstance(value, str) and value.startswith(QUOTED):
        return urllib.parse.unquote(value.removeprefix(QUOTED), errors="surrogatepass")
    return value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
