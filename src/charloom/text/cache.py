"""The folder where fetched and encoded texts are kept: `CHARLOOM_CACHE`, or the system's place for caches."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import platformdirs

from charloom.system.files import unique_name

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

META = "meta.json"  # describes an encoded text; written last
SHARE = 0.2  # of the disk: so much goes unnoticed
RECENT = 24 * 3600  # seconds in which a text is likely to be used again


def folder(name: str) -> Path:
    """Return the cache's sub-folder `name`, made if need be.

    It is a temporary one where the cache cannot be written, or has no place: a user without a home folder.
    """
    try:
        named = os.environ.get("CHARLOOM_CACHE")
        path = Path(named or platformdirs.user_cache_path("charloom", appauthor=False)) / name
        if not named and not path.is_absolute():
            raise RuntimeError("no home folder")
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, RuntimeError):
        path = _temporary() / name
        path.mkdir(parents=True, exist_ok=True)
    return path


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in one step: a reader finds the old one or the new one, never a half."""
    partial = unique_name(path)
    partial.write_bytes(data)
    partial.replace(path)


class Hold:
    """Keeps an encoded text from being removed by other processes, and notes that it was used now.

    It is a shared lock of its meta.json; nothing where there is no such text, or no such locks (Windows keeps
    files that are open anyway).
    """

    def __init__(self, entry: Path) -> None:
        with contextlib.suppress(OSError):
            file = os.open(entry / META, os.O_RDONLY)
            weakref.finalize(self, os.close, file)
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_SH)
            os.utime(entry / META)

    def until_gone(self, *owners: object) -> None:
        """Hold on for as long as one of these exists."""
        for owner in owners:
            weakref.finalize(owner, lambda _: None, self).atexit = False


@dataclass(frozen=True)
class Entry:
    """An encoded text in the cache: its size in bytes, and when it was last used, in seconds."""

    path: Path
    bytes: int
    used: float

    def remove(self) -> bool:
        """Remove it, unless a process is using it; whether it is gone."""
        try:
            file = os.open(self.path / META, os.O_RDONLY)
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (self.path / META).unlink()  # without it, nobody takes it for whole
            finally:
                os.close(file)
            shutil.rmtree(self.path)
        except OSError:
            return False
        return True


def entries(root: Path) -> list[Entry]:
    """Every encoded text in the cache, the longest unused first."""
    found = []
    for meta in root.glob(f"*/{META}"):
        with contextlib.suppress(OSError):  # another process has removed it
            size = sum(file.stat().st_size for file in meta.parent.iterdir())
            found.append(Entry(meta.parent, size, meta.stat().st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def limit(root: Path) -> int:
    """Bytes that encoded texts may take before the longest unused are removed."""
    return int(shutil.disk_usage(root).total * SHARE)


def trim(root: Path) -> None:
    """Remove the longest unused texts beyond `limit`, but none in use, and none used within `RECENT`."""
    found = entries(root)
    total = sum(entry.bytes for entry in found)
    for entry in found:
        if total > limit(root) and time.time() - entry.used > RECENT and entry.remove():
            total -= entry.bytes


@functools.cache
def _temporary() -> Path:
    path = tempfile.mkdtemp(prefix="charloom-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)
