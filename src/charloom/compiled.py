"""Compilation by numba where it exists, with a cache that a read-only install and a missing HOME survive.

The cache lies in `$CHARLOOM_CACHE`, else in the user's cache folder; where neither can be written, code is
compiled anew each run. An entry is valid while every source file of the function's folder is what it was:
numba alone would look at the function's own file only.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from charloom.system.files import locked

numba: Any = None
try:
    numba = import_module("numba")
    caching: Any = import_module("numba.core.caching")
    runtime: Any = import_module("numba.core.runtime")
    callback: Any = import_module("numba.core.ccallback")
    registry: Any = import_module("numba.core.registry")
except ImportError:
    pass

if numba is not None and hasattr(os, "register_at_fork"):
    # a fork waits until nobody compiles: its child would wait for ever for the thread that held the lock
    lock = import_module("numba.core.compiler_lock").global_compiler_lock
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILES = numba is not None and not numba.config.DISABLE_JIT
"""False where numba is missing or NUMBA_DISABLE_JIT is set: the plain functions then run as they are."""

on_compile: list[Callable[[], None]] = []
"""Called, each once, when something is about to be compiled for lack of a cached result (some seconds)."""


def jitable(function: Function) -> Function:
    """The function itself, which compiled code may call too."""
    return cast(Function, numba.extending.register_jitable(function)) if COMPILES else function


def compiled(function: Function, **options: Any) -> Function:
    """The function compiled at its first call, without Python's lock, kept in the cache.

    `options` are numba's own, such as `fastmath`.
    """
    if not COMPILES:
        return function
    dispatcher = numba.njit(nogil=True, error_model="numpy", **options)(function)
    dispatcher._cache = _cache(function)
    return cast(Function, dispatcher)


@functools.cache
def address(function: Callable[..., None]) -> int:
    """Where the function, of integers alone, lies compiled: for compiled code, which calls it there."""
    integers = [numba.types.int64] * function.__code__.co_argcount
    made = callback.CFunc(function, (integers, numba.types.void), {}, {"error_model": "numpy"})
    made._cache = _cache(function)
    made.compile()
    _called.append(made)
    return int(made.address)


_called: list[Any] = []  # their code must not go while the process lives


def cache_folder() -> Path | None:
    """Where compiled code is kept; None where nothing can be written."""
    named = os.environ.get("CHARLOOM_CACHE")
    try:
        if named:
            folder = Path(named)
        else:
            import platformdirs

            folder = Path(platformdirs.user_cache_dir("charloom", appauthor=False))
        folder = folder / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder to be found
        return None


def _sources(folder: Path) -> str:
    """A digest of every source file that compiled code of this folder comes from."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _announce() -> None:
    while on_compile:
        on_compile.pop()()


if COMPILES:

    class _Locator(caching._CacheLocator):  # type: ignore[misc]
        """Where a function's compiled code lies, and what it depends on."""

        def __init__(self, function: Callable[..., Any], file: str) -> None:
            self.name, self.folder, self.sources = function.__name__, cache_folder(), Path(file).parent

        def get_cache_path(self) -> str:
            # numba keys entries by their target and source, but names files by counting them: another target
            # or version that writes at the same time would overwrite them
            assert self.folder is not None
            target = repr(registry.cpu_target.target_context.codegen().magic_tuple())
            key = hashlib.sha256(f"{target} {_sources(self.sources)}".encode())
            return str(self.folder / key.hexdigest()[:16])

        def get_source_stamp(self) -> str:
            return _sources(self.sources)

        def get_disambiguator(self) -> str:
            return self.name

        @classmethod
        def from_function(cls, function: Callable[..., Any], file: str) -> _Locator:
            return cls(function, file)

    class _Implementation(caching.CompileResultCacheImpl):  # type: ignore[misc]
        _locator_classes: ClassVar = [_Locator]

    class _Cache(caching.FunctionCache):  # type: ignore[misc]
        """numba's cache of a function, which tells `on_compile` when it holds nothing that fits."""

        _impl_class = _Implementation

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            # numba would first load all that compiling takes (and scipy, if it is there), half a second;
            # finished code wants nothing but the runtime
            runtime.rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                found = self._load_overload(sig, target_context)
            if found is None:
                _announce()
            return found

        def save_overload(self, sig: Any, data: Any) -> None:
            """Save one at a time: numba names files by counting them, as another process would too."""
            folder = Path(self.cache_path)
            with contextlib.suppress(OSError):  # such as a full disk: the code then runs uncached
                folder.mkdir(exist_ok=True)
                with locked(folder / ".lock", timeout=60):
                    super().save_overload(sig, data)

    def _cache(function: Callable[..., Any]) -> Any:
        """The cache of a function's compiled code."""
        try:
            return _Uncached() if cache_folder() is None else _Cache(function)
        except Exception:  # numba's cache is no public interface: should it change, code still runs, uncached
            return _Uncached()

    class _Uncached(caching.NullCache):  # type: ignore[misc]
        """No cache, but still a word before each compilation."""

        def load_overload(self, sig: Any, target_context: Any) -> None:
            _announce()
