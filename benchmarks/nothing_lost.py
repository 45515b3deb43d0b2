"""What is lost when a run is killed, and what it costs that nothing is: the table in docs/promises.md.

    python benchmarks/nothing_lost.py [kills] [saves] [checkpoint] [scaling] [preparation]

`kills` and `saves` kill real training processes: forks of one that has loaded everything, so that a kill
costs a second and not ten. `scaling` starts torchrun; `preparation` needs 35 GB of room for 10 GB of text
(in CHARLOOM_SCRATCH, or the system's temporary folder).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from rows import Rows, table

KILLS = 200
AT_ONCE = 10  # in a row of the table
MOMENT = 0.05  # seconds after a step at most: a step, an evaluation, a save or a sample takes less
STEPS, INTERVAL = 60, 5
TRAIN = [
    "train", "text.txt", "--out", "run", "--steps", str(STEPS), "--hidden", "16", "--documents", "whole",
    "--set", "model.dropout=0.1", "--set", "train.lanes=4", "--set", "train.window=16",
    "--set", "train.precision=float32", "--set", "train.threads=1", "--set", "train.evaluate_steps=10",
    "--set", f"train.checkpoint_steps={INTERVAL}", "--set", "train.sample_steps=30", "--json",
]  # fmt: skip
OPERATIONS = ("fsync", "mkdir", "rename", "replace", "unlink", "rmdir", "open")
PREPARE = "from charloom.text.corpus import *; prepare(['text.txt'], DataConfig(documents='whole'))"
SIZES = (0.1, 1.0, 10.0)  # GB
WIDTHS = (256, 512)
TIMED = 30  # steps


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
    import charloom.api
    import charloom.cli.train
    import charloom.comparison
    import charloom.reporting
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
        expected = state(place / "run")
        shutil.rmtree(place / "run")
        chance = random.Random(seed)
        while len(seen) < count:
            forked = Forked(go_on(place / "run"), place)
            ended, code = forked.followed(chance.randrange(-1, STEPS), chance.random() * MOMENT)
            if ended:
                assert code == 0, "a resumed run failed"
                finished += 1
                different += state(place / "run") != expected
                shutil.rmtree(place / "run")
                continue
            os.kill(forked.process, signal.SIGKILL)
            forked.end()
            seen.append(examined(place / "run", forked.steps))
        if (place / "run").exists():
            assert Forked(go_on(place / "run"), place).end() == 0
            finished += 1
            different += state(place / "run") != expected
    return summed(seen) | {"finished": finished, "different": different}


def saves(most: int | None = None) -> dict[str, Any]:
    """Kill at each file operation from the first save of a run to its end."""
    loaded()
    seen: list[dict[str, int]] = []
    different = 0
    with workplace() as place:
        assert Forked(TRAIN, place).end() == 0
        expected = state(place / "run")
        shutil.rmtree(place / "run")
        operation = 0
        while most is None or operation < most:
            forked = Forked(TRAIN, place, lambda: _kill_at(operation))  # noqa: B023 - called at once
            if forked.end() == 0:
                break  # it has no more operations
            seen.append(examined(place / "run", forked.steps))
            if operation % 10 == 0:
                assert Forked(go_on(place / "run"), place).end() == 0
                different += state(place / "run") != expected
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


def cost() -> dict[str, Any]:
    """Seconds that a checkpoint takes, and the share of the default interval."""
    from charloom.model.config import ModelConfig
    from charloom.text.corpus import prepare
    from charloom.training.config import TrainConfig
    from charloom.training.loop import Trainer

    found: dict[str, Any] = {}
    for hidden in (512, 1024):
        with workplace() as place:
            config = TrainConfig(steps=10**6)
            trainer = Trainer(prepare([place / "text.txt"]), ModelConfig(hidden=hidden), config, place)
            with trainer.place.engaged():
                trainer.budget.begin()
                for _ in range(2):
                    trainer.take_step()
            seconds = []
            for _ in range(5):
                start = time.perf_counter()
                size = sum(path.stat().st_size for path in trainer.save().path.iterdir())
                seconds.append(time.perf_counter() - start)
            taken = statistics.median(seconds)
            share = taken / (taken + config.checkpoint_seconds)
            found[f"hidden {hidden}"] = {"MB": size / 1e6, "seconds": taken, "share": share}
    return found


WORKER = """
import json, sys, time
from pathlib import Path
from charloom import job
from charloom.model.config import ModelConfig
from charloom.text.corpus import prepare
from charloom.training.config import TrainConfig
from charloom.training.loop import Trainer
from charloom.training.ranks import Ranks

hidden, threads, steps = map(int, sys.argv[1:4])
with Ranks(job.here()).joined() as ranks:
    corpus = ranks.one_first(lambda: prepare(["python-docs"]))
    config = TrainConfig(steps=10**6, threads=threads)
    trainer = Trainer(corpus, ModelConfig(hidden=hidden), config, Path("."), ranks=ranks)
    exchanging, sent = [0.0], [0]
    real = ranks.sum
    def timed(flat):
        ranks.wait()  # else it would be waiting for the slower one that is timed
        start = time.perf_counter()
        found = real(flat)
        exchanging[0] += time.perf_counter() - start
        sent[0] = flat.numel() * 4
        return found
    with trainer.place.engaged():
        trainer._stop()
        trainer.budget.begin()
        for _ in range(5):
            trainer.take_step()
        start = time.perf_counter()
        for _ in range(steps):
            trainer.take_step()
        seconds = (time.perf_counter() - start) / steps
        ranks.sum = timed
        for _ in range(steps):
            trainer.take_step()
    if ranks.leads:
        print(json.dumps({"step": seconds, "exchange": exchanging[0] / steps, "bytes": sent[0],
                          "precision": trainer.place.precision}))
"""


def scaling() -> dict[str, Any]:
    """Seconds a step of the same effective batch: one process on one core and on two, two processes."""
    found: dict[str, Any] = {}
    with workplace() as place:
        (place / "worker.py").write_text(WORKER, encoding="utf-8")
        many = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        for hidden in WIDTHS:
            for name, command, threads in (
                ("1 process, 1 thread", [sys.executable], 1),
                ("1 process, 2 threads", [sys.executable], 2),
                ("2 processes, 1 thread each", many, 1),
            ):
                told = subprocess.run(
                    [*command, "worker.py", str(hidden), str(threads), str(TIMED)], cwd=place, text=True,
                    stdout=subprocess.PIPE, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
                ).stdout  # fmt: skip
                found[f"hidden {hidden}, {name}"] = json.loads(told.splitlines()[-1])
    return found


def preparation(gigabytes: float) -> dict[str, Any]:
    """MB a second, and the peak of anonymous memory, of preparing and of training on so much text."""
    scratch = Path(tempfile.mkdtemp(dir=os.environ.get("CHARLOOM_SCRATCH")))
    try:
        if shutil.disk_usage(scratch).free < 3.2e9 * gigabytes + 1e9:
            return {"skipped": "the disk has too little room"}
        text = "\n".join(topics[name] for name in sorted(topics)).encode("utf-8")
        with (scratch / "text.txt").open("wb") as file:
            number = 0
            while file.tell() < gigabytes * 1e9:
                file.write(b"%d\n" % number + text)
                number += 1
            size = file.tell()
        environment = {**os.environ, "CHARLOOM_CACHE": str(scratch / "cache")}
        commands = {
            "prepare": ["-c", PREPARE],
            "train": ["-m", "charloom", *TRAIN],
        }  # fmt: skip
        found: dict[str, Any] = {"bytes": size}
        for name, command in commands.items():
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *command], cwd=scratch, env=environment, stdout=subprocess.DEVNULL
            )
            peak = 0
            while process.poll() is None:
                peak = max(peak, anonymous(process.pid))
                time.sleep(0.05)
            assert process.returncode == 0
            found[name] = {"seconds": time.perf_counter() - start, "MiB": peak / 2**20}
        return found
    finally:
        shutil.rmtree(scratch)


def anonymous(process: int) -> int:
    """Bytes of memory that no file stands behind."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text("utf-8").splitlines():
            if line.startswith("RssAnon"):
                return 1024 * int(line.split()[1])
    return 0


def tell(name: str, row: dict[str, Any]) -> None:
    """A row, as lines of a table."""
    told: list[list[object]] = []
    for key, value in row.items():
        if key not in ("row", "machine"):
            inner = value if isinstance(value, dict) else {"": value}
            text = ", ".join(f"{k} {v:.4g}".strip() if isinstance(v, float) else f"{k} {v}".strip()
                             for k, v in inner.items())  # fmt: skip
            told.append([key, text])
    print(f"\n### {name}\n\n{table(['what', 'measured'], told)}")


def main() -> None:
    """Measure what is asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = ("kills", "saves", "checkpoint", "scaling", "preparation")
    parser.add_argument("parts", nargs="*", help=", ".join(parts))
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--operations", type=int, help="of saves at which to kill; all of them by default")
    chosen = parser.parse_args()
    rows = Rows("nothing_lost")
    for part in chosen.parts or parts:
        match part:
            case "kills":
                done: dict[str, Any] = {}
                for first in range(0, chosen.kills, AT_ONCE):
                    count = min(AT_ONCE, chosen.kills - first)
                    row = rows.measure(f"kills from {first}, {count}", kills, count, first)
                    numbers = {key: value for key, value in row.items() if isinstance(value, int)}
                    done = {
                        key: max(done.get(key, 0), value) if "most" in key else done.get(key, 0) + value
                        for key, value in numbers.items()
                    }
                tell(part, done)
            case "saves":
                tell(part, rows.measure(part, saves, chosen.operations))
            case "checkpoint":
                tell(part, rows.measure(part, cost))
            case "scaling":
                tell(part, rows.measure(part, scaling))
            case "preparation":
                for size in SIZES:
                    tell(f"{size:g} GB", rows.measure(f"{size:g} GB", preparation, size))
            case _:
                parser.error(f"{part}: choose of {', '.join(parts)}")


if __name__ == "__main__":
    main()
