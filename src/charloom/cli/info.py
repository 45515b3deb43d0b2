"""`charloom info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from charloom.cli.options import NAME

if TYPE_CHECKING:
    from charloom.text.condition import Condition


@click.command(short_help="Tell what a model is, or what this installation can do.")
@click.argument("model", required=False, type=NAME)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(model: str | None, as_json: bool) -> None:
    """Describe MODEL: sizes, what it was trained on, how good it is. Without MODEL: versions and extras."""
    import json

    found = _installation() if model is None else _model(model)
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        if isinstance(value, dict):
            click.echo(f"{key}:")
            for name, item in value.items():
                click.echo(f"  {name}: {item}")
        else:
            click.echo(f"{key}: {value}")


def _model(name: str) -> dict[str, object]:
    from charloom import api

    model = api.load(name).model
    return {
        "model": name,
        **model.config.to_json(),
        "conditions": {each.name: _condition(each) for each in model.config.conditions},
        "parameters": model.parameters,
        "unit": model.vocabulary.unit,
        "vocabulary": len(model.vocabulary),
        "specials": list(model.vocabulary.specials),
        "metrics": dict(model.metrics),
        "sampling": dict(model.sampling),
        "provenance": dict(model.provenance),
    }


def _condition(condition: Condition) -> object:
    """The values of a label and how many training documents have each, or the size of an array."""
    if condition.kind == "array":
        return f"{condition.size} numbers"
    return dict(zip(condition.values, condition.counts, strict=True))


def _installation() -> dict[str, object]:
    import platform
    from importlib import metadata

    from charloom._version import __version__
    from charloom.text import cache

    def version(library: str) -> str:
        try:
            return metadata.version(library)
        except metadata.PackageNotFoundError:
            return "not installed"

    libraries = ("numpy", "numba", "torch", "matplotlib", "pyarrow", "zstandard")
    return {
        "charloom": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": {name: version(name) for name in libraries},
        "cache": str(cache.folder("corpora").parent),
    }
