"""Several networks under one budget: cells × layers × widths × seeds, each a run in one folder.

Any number of processes may work on the same folder at once: each takes the runs that nobody else holds,
so a cluster's job array needs no more than the same command in every job. A finished run has a
`result.json`; a broken-off one is trained anew by whoever comes next.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from charloom import api
from charloom.errors import RunError, UsageError
from charloom.model.folder import replace_file, to_json
from charloom.settings import Settings
from charloom.training.events import Finished

RESULT = "result.json"


@dataclass(frozen=True, order=True)
class Shape:
    """A network to compare."""

    cell: str
    layers: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.cell} {self.layers}×{self.hidden}"


@dataclass(frozen=True)
class Result:
    """What one run reached: held-out nats a character, its size and its speed in characters a second."""

    cell: str
    layers: int
    hidden: int
    seed: int
    nats: float
    parameters: int
    speed: float
    seconds: float
    run: str

    @property
    def shape(self) -> Shape:
        """The network, whatever its seed."""
        return Shape(self.cell, self.layers, self.hidden)


@dataclass(frozen=True)
class Row:
    """A network over its seeds: mean and standard deviation (0 for one seed) of the held-out nats."""

    shape: Shape
    nats: float
    deviation: float
    parameters: int
    speed: float
    seeds: int


@dataclass(frozen=True)
class Taken:
    """Another process holds this run."""

    name: str


def compare(
    settings: Settings,
    shapes: Sequence[Shape],
    seeds: Sequence[int],
    folder: Path,
    *,
    stop: Callable[[], str] = lambda: "",
    progress: Callable[[Any], None] = lambda _: None,
) -> Iterator[Any]:
    """Train what is missing in `folder`; yields a Result or Taken for every run, and the events of training.

    Raises UsageError where there is nothing to compare, RunError where the folder holds runs of another
    comparison, and what training raises.
    """
    if not shapes or not seeds:
        raise UsageError("there is nothing to compare; give --cells, --layers, --hidden and --seeds")
    _same_plan(folder, settings)
    for seed, shape in product(seeds, shapes):  # every network once, before any a second time
        name = f"{shape.cell}-{shape.layers}x{shape.hidden}-seed{seed}"
        try:
            with FileLock(folder / f"{name}.lock", timeout=0):
                path = folder / name / RESULT
                if not path.is_file():
                    result = yield from _train(settings, shape, seed, folder / name, stop, progress)
                    if result is None:
                        return
                    replace_file(path, to_json(asdict(result)))
        except Timeout:
            yield Taken(name)
            continue
        yield read(path)


def results(folder: Path) -> list[Result]:
    """Every finished run of a comparison."""
    return sorted((read(path) for path in folder.glob(f"*/{RESULT}")), key=lambda r: (r.shape, r.seed))


def rows(found: Sequence[Result]) -> list[Row]:
    """One row a network, the best first."""
    table = []
    for shape in {result.shape for result in found}:
        runs = [result for result in found if result.shape == shape]
        nats = [run.nats for run in runs]
        deviation = statistics.stdev(nats) if len(nats) > 1 else 0.0
        speed = statistics.mean(run.speed for run in runs)
        table.append(Row(shape, statistics.mean(nats), deviation, runs[0].parameters, speed, len(runs)))
    return sorted(table, key=lambda row: row.nats)


def read(path: Path) -> Result:
    """A finished run's result; raises RunError for a damaged file."""
    try:
        return Result(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{path}: not a result ({error}); delete its folder, and it is trained anew"
        ) from error


def _train(
    settings: Settings,
    shape: Shape,
    seed: int,
    run: Path,
    stop: Callable[[], str],
    progress: Callable[[Any], None],
) -> Iterator[Any]:
    given = {section: dict(values) for section, values in settings.given.items()}
    given.setdefault("model", {}).update(asdict(shape))
    given.setdefault("train", {})["seed"] = seed
    parameters = 0
    for event in api.training(
        replace(settings, given=given), out=run, overwrite=True, stop=stop, progress=progress
    ):
        yield event
        if isinstance(event, api.Prepared):
            parameters = event.model.parameters(len(event.corpus.vocabulary))
        elif isinstance(event, Finished):
            if stop():
                return None
            speed = event.characters / event.seconds
            return Result(
                **asdict(shape),
                seed=seed,
                nats=event.best_nats,
                parameters=parameters,
                speed=speed,
                seconds=event.seconds,
                run=str(run),
            )
    return None


def _same_plan(folder: Path, settings: Settings) -> None:
    """One folder holds one comparison: the same text, budget and other settings."""
    plan = json.loads(
        json.dumps({"corpus": settings.corpus, "preset": settings.preset, "given": settings.given})
    )
    path = folder / "comparison.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error
    if not path.is_file():
        replace_file(path, to_json(plan))
        return
    found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    if found != plan:
        raise RunError(
            f"{folder}: holds a comparison of other settings; repeat its command, or choose another --out"
        )
