"""`charloom export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from charloom.cli.options import NAME

if TYPE_CHECKING:
    from pathlib import Path

    from charloom.model.folder import Model

TARGETS = ("html", "js", "onnx")
PRECISIONS = ("float32", "float16", "int8")


@click.command(short_help="Turn a model into a web page, a JavaScript module, or an ONNX file.")
@click.argument("model", required=False, type=NAME)
@click.option("--to", "target", type=click.Choice(TARGETS), required=True, help="What to make.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    help="Of the weights; int8 makes the smallest file.  [default: float32]",
)
@click.option("--out", type=NAME, metavar="PATH", help="Where to.  [default: the model's name]")
@click.option("--json", "as_json", is_flag=True, help="What was made, as one JSON object.")
def command(model: str | None, target: str, precision: str, out: str | None, as_json: bool) -> None:
    """Export MODEL, a model or run folder; without it, the newest run in runs/.

    \b
    html  one file that runs the model in any browser, without a server or a network
    js    a folder: the model, and the engine as one JavaScript module with an example
    onnx  one file for ONNX Runtime: (ids, state) -> (logits, state)
    """  # noqa: D301 - click's mark for lines that stay
    import json
    from pathlib import Path

    from charloom.cli.model import open_model, replaceable

    loaded = open_model(model)
    assert loaded.path is not None
    source = loaded.path
    name = source.resolve().name
    where = Path(out) if out else Path(name if target == "js" else f"{name}.{target}")
    if target != "js":
        replaceable(where, f".{target}")
    size = _write(loaded.model, source, where, name, target, precision)
    if as_json:
        click.echo(json.dumps({"path": str(where), "bytes": size, "precision": precision}))
        return
    click.echo(f"{where}: {size:,} bytes, {precision}")


def _write(model: Model, source: Path, out: Path, name: str, target: str, precision: str) -> int:
    from charloom import run
    from charloom.errors import UsageError

    if target == "html":
        from charloom.export import html

        curve = run.records(source / run.METRICS)
        return html.write(model, source, out, name=name, precision=precision, curve=curve)  # type: ignore[arg-type]
    if target == "js":
        from charloom.export import module

        if out.resolve() == source.resolve():
            raise UsageError(f"{out} is the model's own folder; choose another --out")
        return module.write(model, source, out, precision)  # type: ignore[arg-type]
    from charloom.export import onnx

    if precision != "float32":
        raise UsageError(f"--to onnx writes float32 only, not {precision}; leave --precision out")
    return onnx.write(model, out)
