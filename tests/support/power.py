"""A disk that loses its power: what would lie on it after each operation of the production writer.

The writer runs on the real file system, and every call that creates, flushes, renames or removes is noted.
After each the disk is laid out as it might be found: `flushed` holds the names and contents that were
flushed and nothing else; `renamed` all names, but nothing of a content that was not flushed (the classic
empty file after a power cut), `torn` half of that; `killed` what a process that dies leaves.
"""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

KINDS = ("flushed", "renamed", "torn", "killed")
PACKAGE = f"{os.sep}src{os.sep}charloom{os.sep}"
OPERATIONS = ("fsync", "mkdir", "rename", "replace", "unlink", "rmdir")
Site = tuple[str, str]  # a file and a line of it


class Disk:
    """While it is entered, `check` is asked after each operation, with a folder that holds what is left.

    Flushes and renames that the line `skipped` asks for do nothing, as if that line were deleted;
    `sites` are the lines that asked for one.
    """

    def __init__(self, root: Path, check: Callable[[Path], None], skipped: Site | None = None) -> None:
        self.sites: set[Site] = set()
        self.operations = 0
        self._root = root
        self._check = check
        self._skipped = skipped
        self._contents: dict[int, bytes] = {}  # of a file, by inode, as flushed
        self._names: dict[int, dict[str, int]] = {root.stat().st_ino: {}}  # of a folder, as flushed
        self._held: list[int] = []  # open files, so that no inode is used again
        self._real: dict[str, Any] = {}

    def __enter__(self) -> Disk:
        self._real = {name: getattr(os, name) for name in OPERATIONS}
        for name in OPERATIONS:
            setattr(os, name, self._noting(name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwatched()
        for descriptor in self._held:
            os.close(descriptor)

    def _unwatched(self) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)

    def _noting(self, name: str) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            if name in ("fsync", "rename", "replace"):
                sites = set(_sites())
                self.sites |= sites
                if self._skipped in sites:
                    return
            self._real[name](*args, **options)
            if name == "fsync":
                self._flush(args[0])
            self.operations += 1
            watched = {each: getattr(os, each) for each in OPERATIONS}
            self._unwatched()
            try:
                for kind in KINDS:
                    self._crash(kind)
            finally:
                for each, function in watched.items():
                    setattr(os, each, function)

        return noted

    def _flush(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        inode = os.fstat(descriptor).st_ino
        self._held.append(os.dup(descriptor))
        if path.is_dir():
            self._names[inode] = {entry.name: entry.stat().st_ino for entry in path.iterdir()}
        else:
            self._contents[inode] = path.read_bytes()

    def _crash(self, kind: str) -> None:
        left = self._root.with_name("left")
        if kind == "flushed":
            self._lay_flushed(self._root.stat().st_ino, left)
        else:
            self._lay_seen(self._root, left, kind)
        try:
            self._check(left)
        finally:
            shutil.rmtree(left)

    def _lay_flushed(self, inode: int, to: Path) -> None:
        if (names := self._names.get(inode)) is None:  # a file, or a folder of which nothing is sure
            to.write_bytes(self._contents.get(inode, b""))
            return
        to.mkdir()
        for name, below in names.items():
            self._lay_flushed(below, to / name)

    def _lay_seen(self, path: Path, to: Path, kind: str) -> None:
        if path.is_dir():
            to.mkdir()
            for below in path.iterdir():
                self._lay_seen(below, to / below.name, kind)
            return
        content = path.read_bytes()
        if kind != "killed" and self._contents.get(path.stat().st_ino) != content:
            content = content[: len(content) // 2] if kind == "torn" else b""
        to.write_bytes(content)


def _sites() -> Iterator[Site]:
    """The lines of the package that are being executed."""
    for frame in traceback.extract_stack():
        if PACKAGE in frame.filename and frame.line:
            yield frame.filename.rpartition(PACKAGE)[2], frame.line.strip()
