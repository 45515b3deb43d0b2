"""Files that outlive a kill and a power cut: written, flushed to the disk, put in place in one step."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from charloom.errors import RunError, unwritable


def write(path: Path, content: bytes) -> None:
    """Write a new file, and return when the disk has its content (not yet its name: see `flush`)."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name, and put it in `path`'s place at once.

    A reader at any moment, or after any crash, finds the old content or the new. Raises RunError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary, content)
        temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(unwritable(path, error, "what was there before is kept")) from error


def require_place(path: Path) -> None:
    """Raises RunError where no file can be put at `path`: asked before anything long is begun."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise RunError(unwritable(path, error)) from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that a power cut does not take it away with what it holds."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


def flush(folder: Path) -> None:
    """Make the names in a folder durable, where the system can (Windows does it by itself)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (
                errno.EINVAL,
                errno.ENOTSUP,
            ):  # some flush names by themselves
                raise
        finally:
            os.close(descriptor)
