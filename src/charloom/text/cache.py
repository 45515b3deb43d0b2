"""The folder where fetched and encoded texts are kept: `CHARLOOM_CACHE`, or the system's place for caches."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs

from charloom.system.files import unique_name


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


@functools.cache
def _temporary() -> Path:
    path = tempfile.mkdtemp(prefix="charloom-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)
