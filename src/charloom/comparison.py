"""Several networks under one budget: cells × layers × widths × seeds, each a run in one folder.

Any number of processes may work on the same folder at once: each takes the runs that nobody else holds,
so a cluster's job array needs no more than the same command in every job. A finished run has a
`result.json`; a broken-off one is trained anew by whoever comes next.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from charloom import api
from charloom.character_model import beginning
from charloom.errors import CharloomError, MissingExtraError, RunError, UsageError, unwritable
from charloom.insight.novelty import copied
from charloom.model.folder import to_json
from charloom.runtime.passages import Passages
from charloom.settings import Settings
from charloom.system.files import replace_file
from charloom.text.sources import is_stream
from charloom.training.events import Finished

RESULT = "result.json"
COPIED = 20  # characters: passages longer than this are no longer common turns of phrase
TEXTS, LENGTH = 20, 500  # written by each network to see how much it copies


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
    """What one run reached: held-out nats a character, its size, its speed in characters a second.

    `copied` is the share of what it writes that lies in passages of the training text longer than
    `COPIED` characters, None without the library that finds them.
    """

    cell: str
    layers: int
    hidden: int
    seed: int
    nats: float
    parameters: int
    speed: float
    seconds: float
    copied: float | None
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
    copied: float | None
    seeds: int


@dataclass(frozen=True)
class Begun:
    """The run of this name is now being trained."""

    name: str


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
    if stream := next(filter(is_stream, settings.corpus), None):
        raise UsageError(f"{stream}: can be read but once, and every network reads it; give a file")
    for shape in shapes:  # a wrong value is an error before anything is written
        for section in ("data", "model", "train"):
            _of(settings, shape, seeds[0]).build(section)
    new = not folder.exists()
    _same_plan(folder, settings)
    try:
        yield from _compare(settings, shapes, seeds, folder, stop, progress)
    except CharloomError:
        if new and not any(path.is_dir() for path in folder.iterdir()):  # such as a text that is not there
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _compare(
    settings: Settings,
    shapes: Sequence[Shape],
    seeds: Sequence[int],
    folder: Path,
    stop: Callable[[], str],
    progress: Callable[[Any], None],
) -> Iterator[Any]:
    for seed, shape in product(seeds, shapes):  # every network once, before any a second time
        name = f"{shape.cell}-{shape.layers}x{shape.hidden}-seed{seed}"
        try:
            with FileLock(folder / f"{name}.lock", timeout=0):
                path = folder / name / RESULT
                if not path.is_file():
                    yield Begun(name)
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
        shares = [run.copied for run in runs if run.copied is not None]
        share = statistics.mean(shares) if shares else None
        mean = statistics.mean(nats)
        table.append(Row(shape, mean, deviation, runs[0].parameters, speed, share, len(runs)))
    return sorted(table, key=lambda row: row.nats)


def read(path: Path) -> Result:
    """A finished run's result; raises RunError for a damaged file."""
    try:
        return Result(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{path}: not a result ({error}); delete its folder, and it is trained anew"
        ) from error


def draw(table: Sequence[Row], path: Path) -> None:
    """A plot of the table as SVG: held-out nats against parameters, a colour a cell; raises RunError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for cell in sorted({row.shape.cell for row in table}):
        chosen = sorted((row for row in table if row.shape.cell == cell), key=lambda row: row.parameters)
        sizes = [row.parameters for row in chosen]
        nats, deviations = [row.nats for row in chosen], [row.deviation for row in chosen]
        axes.errorbar(sizes, nats, yerr=deviations, fmt="o-", capsize=3, label=cell)
        for row in chosen:
            label = f"{row.shape.layers}×{row.shape.hidden}"
            axes.annotate(label, (row.parameters, row.nats), xytext=(5, 5), textcoords="offset points")
    axes.margins(0.15)  # the last label has to fit in, too
    axes.set(xscale="log", xlabel="parameters", ylabel="held-out nats a character")
    axes.legend()
    try:
        figure.savefig(path, format="svg")
    except OSError as error:
        raise RunError(unwritable(path, error)) from error


def _of(settings: Settings, shape: Shape, seed: int) -> Settings:
    given = {section: dict(values) for section, values in settings.given.items()}
    given.setdefault("model", {}).update(asdict(shape))
    given.setdefault("train", {})["seed"] = seed
    return replace(settings, given=given)


def _train(
    settings: Settings,
    shape: Shape,
    seed: int,
    run: Path,
    stop: Callable[[], str],
    progress: Callable[[Any], None],
) -> Generator[Any, None, Result | None]:
    """One run, its events passed on; None where `stop` ended it."""
    prepared, finished = None, None
    for event in api.training(
        _of(settings, shape, seed), out=run, overwrite=True, stop=stop, progress=progress
    ):
        yield event
        prepared = event if isinstance(event, api.Prepared) else prepared
        finished = event if isinstance(event, Finished) else finished
    if prepared is None or finished is None or stop():
        return None
    return Result(
        **asdict(shape),
        seed=seed,
        nats=finished.best_nats,
        parameters=prepared.model.parameters(len(prepared.corpus.vocabulary)),
        speed=finished.characters / finished.seconds,
        seconds=finished.seconds,
        copied=_copied(run, prepared),
        run=str(run),
    )


def _copied(run: Path, prepared: api.Prepared) -> float | None:
    try:
        passages = Passages.of(prepared.corpus.train)
    except MissingExtraError:
        return None
    model = api.load(run)
    settings = model.settings(length=LENGTH, temperature=1.0)
    texts = model.generator.sample_many([beginning(model.model.vocabulary)], settings=settings, n=TEXTS)
    return copied((sample.text for sample in texts), passages).share(COPIED)


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
