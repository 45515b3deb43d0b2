"""What several processes on one machine gain, and what they tell each other at each step.

python benchmarks/exchange.py HIDDEN THREADS STEPS: one of these processes, alone or started by torchrun.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WIDTHS = (256, 512)
TIMED = 30  # steps


def scaling() -> dict[str, Any]:
    """Seconds a step of the same effective batch: one process on one core and on two, two processes."""
    found: dict[str, Any] = {}
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for hidden in WIDTHS:
        for name, starter, threads in (
            ("1 process, 1 thread", [], 1),
            ("1 process, 2 threads", [], 2),
            ("2 processes, 1 thread each", many, 1),
        ):
            told = subprocess.run(
                [sys.executable, *starter, __file__, str(hidden), str(threads), str(TIMED)], text=True,
                stdout=subprocess.PIPE, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
            ).stdout  # fmt: skip
            found[f"hidden {hidden}, {name}"] = json.loads(told.splitlines()[-1])
    return found


def timed(hidden: int, threads: int, steps: int) -> None:
    """Print seconds a step, seconds of it spent exchanging, and the bytes of the gradients."""
    from charloom import job
    from charloom.model.config import ModelConfig
    from charloom.text.corpus import prepare
    from charloom.training.config import TrainConfig
    from charloom.training.loop import Trainer
    from charloom.training.ranks import Ranks

    with tempfile.TemporaryDirectory() as folder, Ranks(job.here()).joined() as ranks:
        corpus = ranks.one_first(lambda: prepare(["python-docs"]))
        config = TrainConfig(steps=10**6, threads=threads)
        trainer = Trainer(corpus, ModelConfig(hidden=hidden), config, Path(folder), ranks=ranks)
        exchanging, sent = 0.0, 0
        real = ranks.sum

        def watched(flat: Any) -> Any:
            nonlocal exchanging, sent
            ranks.wait()  # else it would be waiting for the slower one that is timed
            start = time.perf_counter()
            found = real(flat)
            exchanging += time.perf_counter() - start
            sent = flat.numel() * 4
            return found

        with trainer.place.engaged():
            trainer._stop()
            trainer.budget.begin()
            for _ in range(5):
                trainer.take_step()
            start = time.perf_counter()
            for _ in range(steps):
                trainer.take_step()
            step = (time.perf_counter() - start) / steps
            ranks.sum = watched  # type: ignore[method-assign]
            for _ in range(steps):
                trainer.take_step()
        if ranks.leads:
            told = {"step": step, "exchange": exchanging / steps, "bytes": sent}
            print(json.dumps({**told, "precision": trainer.place.precision}))


if __name__ == "__main__":
    timed(*map(int, sys.argv[1:4]))
