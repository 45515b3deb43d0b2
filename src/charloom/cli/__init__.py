"""The edge: one file a command, thin, prints and nothing else. Importing it loads click alone."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from pathlib import Path

import click

from charloom._version import __version__
from charloom.cli.sections import Suggesting
from charloom.cli.signals import Interrupted
from charloom.cli.terminal import is_terminal, open_closed_streams
from charloom.errors import CharloomError, UsageError, closest, in_shell

COMMANDS = (
    "train",
    "sample",
    "play",
    "eval",
    "score",
    "classify",
    "report",
    "compare",
    "serve",
    "export",
    "data",
    "info",
)
LENIENT = "backslashreplace"  # a lone surrogate is shown, and never ends the program
HINTS = {"ENOSPC": "; make room", "EACCES": "; look at its permissions"}
BROKEN_PIPE = 141  # what a shell shows for a program that SIGPIPE ended

EXAMPLES = """\b
charloom train book.txt --minutes 5
charloom sample --prompt "Once " --temperature 0.8
charloom play
"""


class ReaderGone(Exception):
    """Whoever read our output has read enough."""


class Lazy(Suggesting):
    """A group whose commands are imported when they are asked for."""

    def invoke(self, ctx: click.Context) -> object:
        """Run it, and keep from click what it would end in its own way, with its own exit codes."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error
        except KeyboardInterrupt as error:
            raise Interrupted from error

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


@click.group(
    cls=Lazy,
    invoke_without_command=True,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="charloom")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def group(context: click.Context, debug: bool) -> None:
    """Train recurrent character models on any text, and write new text with them.

    Without a command, in a terminal: asks for a text, trains, and writes with you.
    """
    if context.invoked_subcommand is not None:
        return
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise click.UsageError("a command is missing; charloom --help lists them", context)
    from charloom.cli.welcome import welcome

    context.exit(welcome())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 3 diverged, 130 interrupted."""
    open_closed_streams()
    if arguments is None and next((word for word in sys.argv[1:] if word[:1] != "-"), "") == "serve":
        from charloom.server import allocator

        allocator.begin_plainly()
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, LENIENT), (sys.stderr, LENIENT)):
        if hasattr(stream, "reconfigure"):  # a notebook's streams have no encoding to set
            stream.reconfigure(encoding="utf-8", errors=errors)
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = group.main(arguments, prog_name="charloom", standalone_mode=False, color=True)
        sys.stdout.flush()
    except (ReaderGone, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit
        code = BROKEN_PIPE
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        if "--debug" in arguments[:1]:
            traceback.print_exc()
        code = _told(error, arguments)
    sys.exit(code if isinstance(code, int) else 0)


def _told(error: BaseException, arguments: list[str]) -> int:
    """Say on one line what went wrong; the exit code."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return UsageError.exit_code
        case CharloomError():
            return _fail(str(error), error.exit_code)
        case click.UsageError():
            return _fail(_usage(error, arguments), UsageError.exit_code)
        case click.ClickException():
            return _fail(error.format_message(), error.exit_code)
        case Interrupted():
            return _fail(str(error), error.exit_code)
        case KeyboardInterrupt() | click.Abort():
            return _told(Interrupted(), arguments)
        case OSError():
            hint = HINTS.get(errno.errorcode.get(error.errno or 0, ""), "")
            return _fail(f"{error.filename or 'output'}: {error.strerror or error}{hint}", 1)
        case MemoryError():
            return _fail("there is not enough memory for this; try a smaller --hidden", 1)
    what = f"{type(error).__name__}: {error}"
    return _fail(f"internal error, {what}; run it as `charloom --debug …` and report what that shows", 1)


def _usage(error: click.UsageError, arguments: list[str]) -> str:
    """Return what was typed wrongly, with the option that was meant, or where the help is."""
    message = error.format_message().rstrip(".")
    known = error.ctx.command.get_params(error.ctx) if error.ctx else []
    hint = f"see {error.ctx.command_path if error.ctx else 'charloom'} --help"
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        if not name.startswith("--"):  # click reads -length as -l -e -n …
            name = next((word.partition("=")[0] for word in arguments if word.startswith(name)), name)
        message = f"No such option {name!r}"
        if Path(name).exists():
            hint = f"for the file of this name write {in_shell(name)}"
        elif near := closest(f"--{name.lstrip('-')}", [opt for param in known for opt in param.opts]):
            hint = f"did you mean {near}?"
    return f"{message}; {hint}"


def _fail(message: str, code: int) -> int:
    rank = f"rank {os.environ.get('RANK', 0)}: " if os.environ.get("WORLD_SIZE", "1") != "1" else ""
    click.echo(f"charloom: {rank}{' '.join(message.split())}", err=True)
    return code
