"""Which of many processes this one is, and how many processors it may use.

What torchrun, or whoever starts the processes, says in the environment.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from charloom.errors import UsageError

NAMES = {
    "rank": "RANK",
    "size": "WORLD_SIZE",
    "local_rank": "LOCAL_RANK",
    "local_size": "LOCAL_WORLD_SIZE",
    "restarts": "TORCHELASTIC_RESTART_COUNT",
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """Process `rank` of `size`; `local_rank` of `local_size` on this machine; started again `restarts` times.

    `name` is the job's, where torchrun watches over it.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    restarts: int = 0
    name: str = ""

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0


def processors() -> int:
    """Return how many processors this process may use: by affinity, and by its container's CPU quota."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS or Windows
        count = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(count, _quota())))


def _quota(system: Path = Path("/")) -> float:
    """Return the processors that Linux control groups grant, infinity without a limit.

    Version 2 has cpu.max ("QUOTA PERIOD") in each group, version 1 two files; groups above limit a group too.
    Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1.
    """
    found = math.inf
    try:
        lines = (system / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = system / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
            with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
                numbers = " ".join((folder / name).read_text("utf-8") for name in names).split()
                if (quota := float(numbers[0].replace("max", "inf"))) > 0:  # -1: no limit
                    found = min(found, quota / float(numbers[1]))
            if folder == root:
                break
    return found


def here(environment: Mapping[str, str] | None = None) -> Job:
    """What is said of the process we are. Raises UsageError for numbers that make no sense."""
    given = os.environ if environment is None else environment
    found = {}
    for name, variable in NAMES.items():
        if value := given.get(variable):
            if not value.isdecimal():
                raise UsageError(f"{variable} is {value!r} in the environment; it takes a number")
            found[name] = int(value)
    job = Job(**found, name=given.get("TORCHELASTIC_RUN_ID", ""))
    if not job.rank < job.size:
        raise UsageError(
            f"RANK is {job.rank} and WORLD_SIZE {job.size} in the environment; ranks count from 0, so unset "
            "them or give both"
        )
    return job
