"""`charloom serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charloom.cli.options import NAME

if TYPE_CHECKING:
    import socket

    from charloom.runtime.weights import Precision
    from charloom.server.limits import ServeConfig


@click.command(short_help="Serve a model to OpenAI's clients, and as a web page.")
@click.argument("model", required=False, type=NAME)
@click.option("--host", type=NAME, metavar="H", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, metavar="P", help="0 takes a free one.  [default: 8000]")
@click.option("--streams", type=int, metavar="N", help="Texts written at the same time.  [default: 1024]")
@click.option("--queue", type=int, metavar="N", help="Texts that wait for a place.  [default: 1024]")
@click.option("--api-key-file", type=NAME, metavar="FILE", help="Keys, one a line; # begins a comment.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    help="Of the weights.  [default: float32]",
)
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Pages of this origin may ask, too.")
@click.option("--drain-seconds", type=float, metavar="S", help="For open texts after SIGTERM.  [default: 30]")
@click.option("--log-json", is_flag=True, help="Log lines as JSON.")
@click.option("--log-prompts", is_flag=True, help="Log prompts, too.")
@click.option("--config", type=NAME, metavar="FILE", help="Take the settings of [serve] from it.")
@click.option("--set", "sets", multiple=True, metavar="serve.key=value", help="Any other setting or limit.")
def command(
    model: str | None,
    api_key_file: str | None,
    precision: Precision,
    log_json: bool,
    log_prompts: bool,
    config: str | None,
    sets: tuple[str, ...],
    cors: tuple[str, ...],
    **flags: Any,
) -> None:
    """Serve MODEL, a model or run folder; without it, the newest run in runs/.

    The page at / runs the model in a browser, /v1/completions speaks as OpenAI's does, /docs describes it.
    On an address that other machines reach, keys are asked for: those of --api-key-file, or one that is
    made and printed.
    """
    from charloom import run, settings
    from charloom.cli import logs
    from charloom.cli.model import open_model
    from charloom.errors import MissingExtraError

    try:
        from charloom.server.app import Service
        from charloom.server.service import Server, bind, room_for
        from charloom.server.site import Site
    except ImportError as error:
        raise MissingExtraError("serving", "serve") from error
    given = {"serve": {name: value for name, value in flags.items() if value is not None}}
    if cors:
        given["serve"]["cors"] = cors
    file = Path(config) if config else None
    wanted = settings.resolve(file=file, environment=os.environ, sets=sets, flags=given).build("serve")
    keys = _keys(api_key_file)
    loaded = open_model(model, precision)
    assert loaded.path is not None
    listener, local = bind(wanted.host, wanted.port)
    made = not local and not keys
    keys = keys or ([_make_key()] if made else [])
    room_for(wanted.connections)
    logs.set_up(as_json=log_json)
    site = Site(loaded.model, loaded.path, precision, run.records(loaded.path / run.METRICS))
    name = loaded.path.resolve().name.encode("utf-8", "replace").decode("utf-8")
    service = Service(loaded.generator, name, site, settings=wanted, keys=keys, log_prompts=log_prompts)
    address = _address(wanted, listener) + (f"#key={keys[0]}" if made else "")
    Server(service, wanted).listen(listener, lambda: click.echo(f"{name}: {address}"))


def _keys(path: str | None) -> list[str]:
    """The keys in a file."""
    from charloom.errors import UsageError

    if path is None:
        return []
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"byte {error.start} is not UTF-8"
        raise UsageError(f"{path}: cannot be read ({reason})") from error
    keys = []
    for number, line in enumerate(lines, 1):
        key = line.strip()
        if not (key.isascii() and key.isprintable()) and not key.startswith("#"):
            hint = "HTTP headers carry ASCII only; use letters and digits"
            raise UsageError(f"{path}: line {number}: a key has characters outside ASCII; {hint}")
        keys += [key] if key and not key.startswith("#") else []
    if not keys:
        raise UsageError(f"{path}: it holds no key; write one a line")
    return keys


def _make_key() -> str:
    import secrets

    return secrets.token_urlsafe(24)


def _address(wanted: ServeConfig, listener: socket.socket) -> str:
    """What to open in a browser."""
    import socket

    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
