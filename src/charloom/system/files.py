"""Files that survive a kill and a power cut, and commands that run at the same time.

A file is written under a name of its own, flushed to the disk and renamed into place. What only one
process (or thread) may write at a time is guarded by a lock file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from charloom.errors import RunError, unwritable


def write(path: Path, content: bytes) -> None:
    """Write a new file, and return when the disk has its content (not yet its name: see `flush`)."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def unique_name(path: Path) -> Path:
    """Return a hidden name beside `path` that no thread, process or container sharing the disk uses."""
    return path.with_name(f".{path.name}.{os.urandom(6).hex()}")


def link_target(path: Path) -> Path:
    """Return what a symbolic link leads to, which then need not exist; any other path as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextlib.contextmanager
def locked(path: Path, timeout: float = 0, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock file `path`; its holder's death releases it. `remove` deletes the file at the end.

    The lock excludes other threads, processes, and containers on the same disk. `timeout` is in seconds, -1
    waits for ever. Raises `filelock.Timeout` where another holds it, OSError where it cannot be made.
    """
    from filelock import FileLock

    os.stat(f"{path.parent}{os.sep}.")  # noqa: PTH116 - FileLock would make the folder; Path drops the dot
    with FileLock(path, timeout=timeout, thread_local=False):
        try:
            yield
        finally:
            if remove and os.name == "posix":  # before the release: whoever waits then makes a new file
                path.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name, and put it in `path`'s place at once.

    A reader at any moment, or after any crash, finds the old content or the new. Raises RunError.
    """
    path = link_target(path)
    temporary = unique_name(path)
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
