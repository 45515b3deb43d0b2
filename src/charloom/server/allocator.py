"""Return the memory that a flood of requests took to the system.

Python's own allocator returns an arena of a megabyte only when nothing in it is in use, which is rare;
glibc's returns every free page when asked. After two floods of 16,000 requests and 400 abandoned long prompts
the process had 288 MiB with glibc's and 353 with Python's, at the same CPU time per character.
"""

from __future__ import annotations

import ctypes
import os
import sys

SWITCH = "PYTHONMALLOC"


def begin_plainly() -> None:
    """Restart this process with glibc's allocator, unless there is none or PYTHONMALLOC is set."""
    if SWITCH not in os.environ and sys.executable and _trim():
        os.environ[SWITCH] = "malloc"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def give_back() -> None:
    """Have glibc return its free pages; unasked, it keeps them."""
    if trim := _trim():
        trim(0)


def _trim() -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
