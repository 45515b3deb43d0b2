"""Texts larger than memory: how fast they are prepared, and in how much memory they are trained on.

python benchmarks/corpora.py TEXT: prepare it as one whole text, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from charloom.compiled import cache_folder
from kills import TRAIN

SIZES = (0.1, 1.0, 10.0)  # GB, each one file
LINKED = 20  # of one file of a gigabyte: a folder of 20 GB that takes one
LIMIT = 2 * 2**30  # bytes of memory


def preparation(gigabytes: float, copies: int = 1, limit: int = 0) -> dict[str, Any]:
    """Seconds, those of a processor, and the peak of anonymous memory, of preparing and of training on it.

    With a `limit`, in a control group of the system that may hold no more, page cache included.
    """
    scratch = Path(tempfile.mkdtemp(dir=os.environ.get("CHARLOOM_SCRATCH")))
    try:
        if shutil.disk_usage(scratch).free < (1 + 2.1 * copies) * gigabytes * 1e9 + 1e9:
            return {"skipped": "the disk has too little room"}
        size = copies * write(scratch / "texts", gigabytes, copies)
        if compiled := cache_folder():  # so that nothing is compiled here
            (scratch / "cache").mkdir()
            (scratch / "cache" / compiled.name).symlink_to(compiled)
        environment = {**os.environ, "CHARLOOM_CACHE": str(scratch / "cache")}
        text = str(scratch / "texts") if copies > 1 else str(scratch / "texts" / "0.txt")
        commands = {
            "prepare": [__file__, text],
            "train": ["-m", "charloom", "train", text, *TRAIN[2:]],
        }
        found: dict[str, Any] = {"GB": size / 1e9}
        for name, command in commands.items():
            start, worked = time.perf_counter(), children()
            process = subprocess.Popen(
                [sys.executable, *command], cwd=scratch, env=environment, stdout=subprocess.DEVNULL
            )
            with limited(process.pid, limit) as group:
                peak = 0
                while process.poll() is None:
                    peak = max(peak, anonymous(process.pid))
                    time.sleep(0.05)
            assert process.returncode == 0, f"{name}: exit code {process.returncode}"
            seconds = time.perf_counter() - start
            found[name] = {"seconds": seconds, "of a processor": children() - worked, "MiB": peak / 2**20}
            if limit:
                found[name] |= group or {"limit": "not set: the system does not let us"}
        for key in ("seconds", "of a processor"):
            found["prepare"][f"MB/s, {key}"] = size / 1e6 / found["prepare"][key]
        return found
    finally:
        shutil.rmtree(scratch)  # a link in it is not followed


def write(folder: Path, gigabytes: float, copies: int) -> int:
    """A text of so many gigabytes, under as many names; gives its bytes."""
    text = "\n".join(topics[name] for name in sorted(topics)).encode("utf-8")
    folder.mkdir()
    with (folder / "0.txt").open("wb") as file:
        number = 0
        while file.tell() < gigabytes * 1e9:
            file.write(b"%d\n" % number + text)
            number += 1
        size = file.tell()
    for copy in range(1, copies):
        os.link(folder / "0.txt", folder / f"{copy}.txt")
    return size


def children() -> float:
    """Seconds of a processor that the processes took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def limited(process: int, size: int) -> Iterator[dict[str, Any]]:
    """Put a process where it gets `size` bytes of memory; tells what it took in the end, page cache included.

    Tells nothing where the system does not let us.
    """
    told: dict[str, Any] = {}
    for root, limit, most in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
        ("/sys/fs/cgroup", "memory.max", "memory.peak"),
    ):
        group = Path(root, f"charloom-{process}")
        if not size or not Path(root).is_dir():
            continue
        try:
            group.mkdir()
            (group / limit).write_text(str(size), encoding="ascii")
            (group / "cgroup.procs").write_text(str(process), encoding="ascii")
        except OSError:
            continue
        try:
            yield told
            told["limit, MiB"] = int((group / limit).read_text("ascii")) / 2**20
            told["most with page cache, MiB"] = int((group / most).read_text("ascii")) / 2**20
        finally:
            group.rmdir()
        return
    yield told


def anonymous(process: int) -> int:
    """Bytes of memory that no file stands behind."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text("utf-8").splitlines():
            if line.startswith("RssAnon"):
                return 1024 * int(line.split()[1])
    return 0


if __name__ == "__main__":
    from charloom.text.corpus import DataConfig, prepare

    prepare([sys.argv[1]], DataConfig(documents="whole"))
