"""Where and in which precision the matrices are multiplied."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charloom._version import __version__
from charloom.errors import UsageError
from charloom.job import processors
from charloom.training.config import Precision, TrainConfig

CHECK_ROWS = 256  # of the trial product: large enough that its time is the arithmetic's
CHECK_ROWS_GPU = 2**14  # fewer it multiplies in the time that asking takes
FEW_ROWS = 16  # of a first trial
HOPELESS = 0.25  # of float32's speed in it: with few rows a product may be slower than it is with many
CHECK_TRIALS = 15  # of each kind, in turns: beside another program some of them run undisturbed
CHECK_TOLERANCE = 0.02  # bfloat16 keeps 8 bits: a sum of 256 products errs by well under a hundredth
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGE = 2**30  # bytes, more than any block of a step takes


_threads = {"started": False, "lost": False}
"""Whether training has started torch's threads, and whether a fork has since left them behind."""


def _after_fork() -> None:
    if _threads["started"]:
        _threads["lost"] = True
        torch.set_num_threads(1)  # with more, torch would wait forever


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True)
class Place:
    """A device, a precision, a number of threads, and why."""

    device: torch.device
    precision: Precision
    threads: int
    reason: str

    def facts(self) -> dict[str, str | int]:
        """What decides the last bits of a product."""
        return {
            "device": str(self.device),
            "precision": self.precision,
            "threads": self.threads,
            "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
            "flush_denormal": True,  # see `engaged`
            "torch": torch.__version__,
            "numpy": np.__version__,
            "charloom": __version__,
        }

    @contextlib.contextmanager
    def engaged(self) -> Iterator[None]:
        """Set torch's threads, denormals and gradients as training needs them; restore all on exit.

        Raises UsageError for several threads in a process that was forked from one that had started them.
        """
        if self.threads > 1:
            if _threads["lost"]:
                raise UsageError(
                    "train: this process was forked after training, without torch's threads; set threads to "
                    "1, or start processes by multiprocessing's 'spawn'"
                )
            _threads["started"] = True
        _glibc()
        threads, flushed = torch.get_num_threads(), _flushes_denormals()
        torch.set_num_threads(self.threads)
        torch.set_flush_denormal(True)  # tiny gradients would cost a hundred times the time of zeros
        try:
            with torch.enable_grad():
                yield
        finally:
            torch.set_flush_denormal(flushed)
            torch.set_num_threads(threads)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Products in bfloat16 where that was chosen, in float32 otherwise."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def give_memory_back() -> None:
    """Return to the system what training has freed."""
    if libc := _glibc():
        libc.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    """Return glibc, if that is what allocates, told to reuse large blocks.

    By itself it maps every block above 32 MB anew: a step of a wide model then spends a seventh of its time
    on pages that the system has to clear first.
    """
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        return None
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)
    libc.mallopt(M_TRIM_THRESHOLD, LARGE)
    return libc


def _flushes_denormals() -> bool:
    """Return whether this thread rounds denormal numbers to zero, which torch sets but does not report."""
    return sys.float_info.min / 2 == 0.0


def choose(config: TrainConfig, sharing: int = 1) -> Place:
    """Settle device, precision and threads, where so many processes are `sharing` the machine.

    Raises UsageError for a device that torch does not see, or of which each process cannot have its own.
    """
    device = _device(config.device, sharing)
    threads = config.threads or max(1, processors() // sharing)
    if config.precision != "auto":
        return Place(device, config.precision, threads, "as asked for")
    if device.type == "mps":
        return Place(device, "float32", threads, "bfloat16 is not tested there")
    if device.type == "cpu" and not _has_bfloat16():
        return Place(device, "float32", threads, "this processor has no bfloat16 instructions")
    gain, error = _compare(device, threads)
    if not error <= CHECK_TOLERANCE:  # NaN too
        return Place(device, "float32", threads, f"bfloat16 products err by {error:.1%} on this machine")
    if gain < 1.2:  # what emulation and noise can show
        return Place(device, "float32", threads, "this machine does not multiply bfloat16 any faster")
    return Place(
        device, "bfloat16", threads, f"its products run {gain:.1f} times as fast here and err by {error:.1%}"
    )


def _device(asked: str, sharing: int) -> torch.device:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {"cpu": True, "cuda": gpus >= sharing, "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return torch.device("cuda" if there["cuda"] else "cpu")  # mps loses to the processor on small cells
    if not there[asked]:
        found = ", ".join(name for name, is_there in there.items() if is_there)
        each = f" for each of {sharing} processes" if sharing > 1 else ""
        raise UsageError(f"device {asked} is not there{each}; torch sees {found}")
    return torch.device(asked)


def _has_bfloat16() -> bool:
    """Return whether torch has bfloat16 instructions to use; where it cannot be asked, a trial decides.

    An x86 processor without them emulates products, up to a hundred times slower than in float32.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has = any(getattr(torch.cpu, question, lambda: True)() for question in questions)
    # the environment may lower the capability that torch uses
    return has and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


@functools.cache
def _compare(device: torch.device, threads: int) -> tuple[float, float]:
    """Return how much faster a bfloat16 product is than a float32 one, and its relative error.

    Measured once in a process: the answer must not change between the choice of sizes and the training.
    """
    generator = torch.Generator().manual_seed(0)
    rows = CHECK_ROWS if device.type == "cpu" else CHECK_ROWS_GPU
    left = torch.randn(rows, 512, generator=generator).to(device)
    right = torch.randn(512, 2048, generator=generator).to(device)
    low_left, low_right = left.bfloat16(), right.bfloat16()

    def gain(rows: int, trials: int) -> float:
        full = low = math.inf
        for _ in range(trials):  # in turns: another program slows both alike
            full = min(full, _seconds(left[:rows], right))
            low = min(low, _seconds(low_left[:rows], low_right))
        return full / low

    with Place(device, "float32", threads, "").engaged():
        exact = left[:FEW_ROWS] @ right
        error = float(((low_left[:FEW_ROWS] @ low_right).float() - exact).norm() / exact.norm())
        found = gain(FEW_ROWS, 2)
        if found > HOPELESS:  # else products are emulated: a whole trial would take ten seconds and more
            found = gain(rows, CHECK_TRIALS)
    return found, error


def _seconds(left: Tensor, right: Tensor) -> float:
    start = time.perf_counter()
    product = left @ right
    product.sum().item()  # waits for a GPU
    return time.perf_counter() - start
