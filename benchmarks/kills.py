"""Real training processes that are killed: forks of one that has loaded everything, so that it is cheap."""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from rows import FOLDER

MOMENT = 0.05  # seconds after a step at most: a step, an evaluation, a save or a sample takes less
STEPS, INTERVAL = 60, 5
TRAIN = [
    "train", "text.txt", "--out", "run", "--steps", str(STEPS), "--hidden", "16", "--documents", "whole",
    "--set", "model.dropout=0.1", "--set", "train.lanes=4", "--set", "train.window=16",
    "--set", "train.precision=float32", "--set", "train.threads=1", "--set", "train.evaluate_steps=10",
    "--set", f"train.checkpoint_steps={INTERVAL}", "--set", "train.sample_steps=30", "--json",
]  # fmt: skip
OPERATIONS = ("fsync", "mkdir", "rename", "replace", "unlink", "rmdir", "open")


class Forked:
    """A process that trains; `steps` are those it has taken, in memory that outlives it."""

    def __init__(self, arguments: list[str], folder: Path, before: Callable[[], None] = lambda: None) -> None:
        self._shared = mmap.mmap(-1, 8)
        self._shared[:] = struct.pack("q", -1)
        self.process = os.fork()
        if self.process == 0:
            os.chdir(folder)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1), os.dup2(null, 2)
            self._train(arguments, before)

    def _train(self, arguments: list[str], before: Callable[[], None]) -> None:
        from charloom.cli import main
        from charloom.training.loop import Trainer

        taken = Trainer.take_step

        def counted(trainer: Trainer) -> None:
            taken(trainer)
            self._shared[:] = struct.pack("q", trainer.step)

        Trainer.take_step = counted  # type: ignore[method-assign,assignment]
        code = 1
        try:
            before()
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)

    @property
    def steps(self) -> int:
        """The last step, -1 before there was one."""
        found: int = struct.unpack("q", self._shared[:])[0]
        return found

    def followed(self, step: int, seconds: float) -> tuple[int, int]:
        """Let it run until so many seconds after a step; whether it ended before, and how."""
        ended, until = (0, 0), 0.0
        while not ended[0] and (not until or time.monotonic() < until):
            time.sleep(0.0005)
            ended = os.waitpid(self.process, os.WNOHANG)
            if not until and self.steps >= step:
                until = time.monotonic() + seconds
        return ended

    def end(self) -> int:
        """Wait for it; its exit code, or minus the signal that killed it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with a text, gone afterwards."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("CHARLOOM_SCRATCH")) as folder:
        text = "\n".join(topics[name] for name in sorted(topics))[:30_000]
        Path(folder, "text.txt").write_text(text, encoding="utf-8", newline="\n")
        yield Path(folder)


def loaded() -> None:
    """Everything that training imports, once for all forks. Nothing is computed: threads do not fork."""
    import matplotlib.backends.backend_svg
    import matplotlib.ticker  # noqa: F401

    import charloom.api
    import charloom.cli.train
    import charloom.comparison
    import charloom.reporting
    import charloom.runtime.kernels
    import charloom.training.loop  # noqa: F401


def state(run: Path) -> dict[str, Any]:
    """What of a run must not depend on kills: weights, and its records without times."""
    from charloom import run as runs
    from charloom.model import folder

    model = folder.read(run)
    metrics = [{k: v for k, v in r.items() if k != "seconds"} for r in runs.records(run / runs.METRICS)]
    samples = runs.records(run / runs.SAMPLES)
    weights = {name: array.tobytes() for name, array in model.weights.items()}
    return {"weights": weights, "metrics": metrics, "samples": samples, "measured": dict(model.metrics)}


def differs(place: Path, name: str) -> bool:
    """Whether a run differs from the one left alone; both are then kept among the results, to look at."""
    if state(place / "run") == state(place / "whole"):
        return False
    shutil.copytree(place, kept := FOLDER / f"different-{name}-{time.time_ns()}")
    print(f"{kept}: not what it would have been", file=sys.stderr)
    return True


def examined(run: Path, steps: int) -> dict[str, int]:
    """After a kill at `steps`: whether the run is there, loads, and how many steps are lost."""
    from charloom.errors import ModelError
    from charloom.model import folder
    from charloom.training import checkpoint

    if not run.exists():
        return {"begun": 0, "unloadable": 0, "damaged": 0, "lost": max(0, steps)}
    try:
        folder.read(run)
        unloadable = 0
    except ModelError:
        unloadable = 1
    found, passed = checkpoint.latest(run)
    lost = max(0, steps - (found.step if found else 0))
    return {"begun": 1, "unloadable": unloadable, "damaged": len(passed), "lost": lost}


def go_on(run: Path) -> list[str]:
    """The command that goes on with what a kill left."""
    if (run / "checkpoints").is_dir() and any((run / "checkpoints").glob("step-*")):
        return ["train", "--resume", "run", "--json"]
    return [*TRAIN, "--overwrite"] if run.exists() else TRAIN


def kills(count: int, seed: int) -> dict[str, Any]:
    """Kill at random moments, go on, kill again; every run that ends is compared with one left alone."""
    loaded()
    seen: list[dict[str, int]] = []
    finished, different = 0, 0
    with workplace() as place:
        assert Forked(TRAIN, place).end() == 0
        (place / "run").rename(place / "whole")
        chance = random.Random(seed)
        while len(seen) < count:
            forked = Forked(go_on(place / "run"), place)
            ended, code = forked.followed(chance.randrange(-1, STEPS), chance.random() * MOMENT)
            if ended:
                assert code == 0, "a resumed run failed"
                finished += 1
                different += differs(place, f"kills-{seed}")
                shutil.rmtree(place / "run")
                continue
            os.kill(forked.process, signal.SIGKILL)
            forked.end()
            seen.append(examined(place / "run", forked.steps))
        if (place / "run").exists():
            assert Forked(go_on(place / "run"), place).end() == 0
            finished += 1
            different += differs(place, f"kills-{seed}")
    return summed(seen) | {"finished": finished, "different": different}


def saves(most: int | None = None) -> dict[str, Any]:
    """Kill at each file operation from the first save of a run to its end."""
    loaded()
    seen: list[dict[str, int]] = []
    different = 0
    with workplace() as place:
        assert Forked(TRAIN, place).end() == 0
        (place / "run").rename(place / "whole")
        operation = 0
        while most is None or operation < most:
            forked = Forked(TRAIN, place, lambda: _kill_at(operation))  # noqa: B023 - called at once
            if forked.end() == 0:
                break  # it has no more operations
            seen.append(examined(place / "run", forked.steps))
            if operation % 10 == 0:
                assert Forked(go_on(place / "run"), place).end() == 0
                different += differs(place, f"saves-{operation}")
            shutil.rmtree(place / "run", ignore_errors=True)
            operation += 1
    return summed(seen) | {"different": different}


def _kill_at(number: int) -> None:
    """In a fork: die at the file operation of that number, counted from the first save on."""
    from charloom.training import checkpoint

    real_save, count = checkpoint.save, [0]

    def watched(*arguments: Any) -> Path:
        for name in OPERATIONS:
            setattr(os, name, _fatal(getattr(os, name), number, count))
        checkpoint.save = real_save
        return real_save(*arguments)

    checkpoint.save = watched  # type: ignore[assignment]


def _fatal(real: Callable[..., Any], number: int, count: list[int]) -> Callable[..., Any]:
    def called(*arguments: Any, **options: Any) -> Any:
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count[0] += 1
        return real(*arguments, **options)

    return called


def summed(seen: list[dict[str, int]]) -> dict[str, Any]:
    """The worst of many kills."""
    return {
        "kills": len(seen),
        "before the run began": sum(not one["begun"] for one in seen),
        "unloadable": sum(one["unloadable"] for one in seen),
        "damaged": sum(one["damaged"] for one in seen),
        "most steps lost": max(one["lost"] for one in seen if one["begun"]),
    }
