"""How long a training takes to end after a signal: it may write a checkpoint first.

From the beginning of every stage, and at moments spread over the first start on a machine, whose longest
part is that it compiles.
"""

from __future__ import annotations

import functools
import importlib
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from charloom.compiled import cache_folder
from kills import Forked, loaded, workplace

TRAIN = [
    "train", "text.txt", "--out", "run", "--steps", "300", "--hidden", "1024", "--documents", "whole",
    "--set", "train.evaluate_steps=4", "--set", "train.checkpoint_steps=4", "--set", "train.sample_steps=4",
    "--json",
]  # fmt: skip
STAGES = {  # the call of a function at whose beginning the signal comes
    "reading the text": ("charloom.text.reading", "text_blocks", 1),
    "encoding it": ("charloom.text.corpus", "encode_whole", 1),
    "choosing what was not said": ("charloom.training.auto", "choose", 1),
    "making the run": ("charloom.model.folder", "create", 1),
    "compiling the sampler": ("charloom.api", "_warm", 1),
    "warming up": ("charloom.training.network", "Network.warm", 1),
    "the first evaluation": ("charloom.training.heldout", "HeldOut._score", 2),
    "a step": ("charloom.training.learner", "Learner._read", 3),
    "an evaluation": ("charloom.training.heldout", "HeldOut._score", 9),
    "a sample": ("charloom.api", "_draw", 2),
    "saving": ("charloom.training.checkpoint", "write", 2),
}
MOMENTS = [2.0 * number for number in range(1, 9)]  # seconds after the start


def stops() -> dict[str, Any]:
    """Seconds from a SIGTERM to the end, of an LSTM of 1,024."""
    loaded()
    found = {}
    with workplace() as place:
        if compiled := cache_folder():  # so that it is compiled once
            (place / "cache").mkdir()
            (place / "cache" / compiled.name).symlink_to(compiled)
        os.environ["CHARLOOM_CACHE"] = str(place / "cache")
        for name, stage in STAGES.items():
            found[name] = _seconds(place, *stage)
            shutil.rmtree(place / "run", ignore_errors=True)
            shutil.rmtree(place / "cache" / "corpora", ignore_errors=True)  # so that it is read anew
        for moment in MOMENTS:
            found[f"{moment:g} s after a first start"] = _of_a_first_start(place, moment)
            shutil.rmtree(place / "run", ignore_errors=True)
            shutil.rmtree(place / "first", ignore_errors=True)
    return found


def _of_a_first_start(place: Path, moment: float) -> float:
    """With nothing compiled yet; the signal comes from outside."""
    environment = {**os.environ, "CHARLOOM_CACHE": str(place / "first")}
    command = [sys.executable, "-m", "charloom", *TRAIN]
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(moment)
        start = time.monotonic()
        process.terminate()
        code = process.wait()
    assert code in (143, -signal.SIGTERM), f"{moment} s: exit code {code}"
    return time.monotonic() - start


def _seconds(place: Any, module: str, path: str, call: int) -> float:
    sent = mmap.mmap(-1, 8)

    def watch() -> None:
        *owners, name = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        real, left = getattr(owner, name), [call]

        def called(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                sent[:] = struct.pack("d", time.monotonic())
                os.kill(os.getpid(), signal.SIGTERM)
            return real(*arguments, **options)

        setattr(owner, name, called)

    code = Forked(TRAIN, place, watch).end()
    seconds: float = time.monotonic() - struct.unpack("d", sent[:])[0]
    assert code == 143, f"{path}: exit code {code}"
    return seconds
