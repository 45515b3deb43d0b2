"""Memory that a flood took, given back to the system.

Python's own allocator gives a megabyte back when nothing in it is in use any more, and something nearly
always is; glibc's gives back every page that is free, when it is asked to.
"""

from __future__ import annotations

import ctypes
import os
import sys

SWITCH = "PYTHONMALLOC"


def begin_plainly() -> None:
    """Begin this process anew with glibc's allocator, where there is one and nobody chose another."""
    if SWITCH not in os.environ and sys.executable and _trim():
        os.environ[SWITCH] = "malloc"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def give_back() -> None:
    """Have glibc give back what is free; it keeps what a flood took, unless it is asked."""
    if trim := _trim():
        trim(0)


def _trim() -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
