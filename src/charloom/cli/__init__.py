"""The edge: one file a command, thin, prints and nothing else. Importing it loads click alone."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click

from charloom._version import __version__
from charloom.errors import CharloomError, UsageError

COMMANDS = ("train", "sample", "eval", "data", "info")
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell shows for a program that SIGPIPE ended


class Lazy(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, from the module of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"charloom.cli.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="charloom")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def group(debug: bool) -> None:
    """Train recurrent character models on any text, and write new text with them.

    \b
    charloom train book.txt --minutes 5
    charloom sample --prompt "Once " --temperature 0.8
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 3 diverged, 130 interrupted."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's streams have no encoding to set
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = group.main(arguments, prog_name="charloom", standalone_mode=False)
        sys.stdout.flush()
    except CharloomError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        code = _fail(str(error), error.exit_code)
    except click.UsageError as error:
        error.show()
        code = UsageError.exit_code
    except click.ClickException as error:
        code = _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit
        code = BROKEN_PIPE
    except OSError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        code = _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    click.echo(f"charloom: {' '.join(message.split())}", err=True)
    return code
