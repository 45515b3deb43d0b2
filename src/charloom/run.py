"""A run folder: its name, its settings, and the records that grow while it trains.

A run folder is a model folder plus `config.toml`, `metrics.jsonl`, `samples.jsonl`, `report.html` and
`checkpoints/`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from charloom.errors import ModelError, RunError, UsageError, closest, unwritable
from charloom.model import folder
from charloom.model.folder import WEIGHTS, Model
from charloom.system.files import flush, locked, make_folder, replace_file, unique_name

RUNS = Path("runs")
CONFIG, METRICS, SAMPLES, PAGE = "config.toml", "metrics.jsonl", "samples.jsonl", "report.html"
CHECKPOINTS, LOCK = "checkpoints", ".lock"
MOVABLE = os.name == "posix"  # Windows does not rename a folder in which a file is open


def check(out: Path, *, overwrite: bool = False) -> None:
    """Check that a run can be made at `out`, before anything long is begun; an empty folder is used.

    Raises RunError where it exists (without `overwrite`, or where it is no run) or cannot be made,
    UsageError where another process trains it.
    """
    try:
        if out.exists() and not is_empty(out):
            if not overwrite:
                raise RunError(f"{out}: exists; choose another --out, or --overwrite it, or --resume it")
            if not (out / CONFIG).is_file():
                raise RunError(f"{out}: exists and is no run, so it is not overwritten; choose another --out")
            with held(out):
                pass
        above = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    except OSError as error:
        raise _unmakeable(out, error) from error
    if not above.is_dir():
        raise RunError(f"{out}: cannot be made ({above} is a file); choose another --out")
    if not os.access(above, os.W_OK):
        raise RunError(f"{out}: cannot be made ({above} is read-only); choose another --out")


@contextlib.contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold the run's lock, so that no other process or thread trains, resumes or overwrites it.

    The lock lies in the folder and moves with it. Raises UsageError where another holds it, RunError.
    """
    from filelock import Timeout

    with contextlib.ExitStack() as stack:
        try:
            make_folder(run / CHECKPOINTS)
            stack.enter_context(locked(run / CHECKPOINTS / LOCK))
        except Timeout:
            raise UsageError(
                f"{run}: another process is training this run; wait until it ends, or choose another"
            ) from None
        except OSError as error:
            raise RunError(unwritable(run / CHECKPOINTS, error, "what was there before is kept")) from error
        yield


def is_empty(folder: Path) -> bool:
    """Return whether `folder` is a folder that holds nothing but hidden names."""
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def draft(out: Path | None) -> Path:
    """Make a hidden folder for the run to come, which `publish` makes `out`. Raises RunError.

    It lies beside `out`, or in it where that is an empty folder, which may be a disk of its own.
    """
    path = unique_name(out / "new" if out and is_empty(out) else out or RUNS / "new")
    try:
        make_folder(path.parent)
        path.mkdir()
    except OSError as error:
        raise _unmakeable(out or RUNS, error) from error
    return path


def publish(drafted: Path, out: Path | None, name: str, *, overwrite: bool = False) -> Path:
    """Rename a finished draft to `out` (replacing it with `overwrite`), or to the first free `runs/NAME`.

    Whoever finds a run finds it whole. Of processes that publish one `out` at the same time, one succeeds.
    Raises UsageError where another process trains the run to be replaced, RunError where it cannot be made.
    """
    try:
        if out is None:
            run = _first_free(drafted, name)
        elif drafted.parent == out:
            _move_content(drafted, run := out)
            drafted.rmdir()
            flush(out)
        else:
            run = out
            lock = held(out) if MOVABLE and overwrite and out.exists() else contextlib.nullcontext()
            with lock:
                _replace(drafted, out, overwrite)
        flush(run.parent)
    except OSError as error:
        raise _unmakeable(out or RUNS, error) from error
    return run


def _replace(drafted: Path, out: Path, overwrite: bool) -> None:
    old = unique_name(out)
    if overwrite and out.exists():
        out.rename(old)
    try:
        drafted.rename(out)
    except OSError:  # such as that another process was quicker
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _first_free(drafted: Path, name: str) -> Path:
    count = 1
    while True:
        run = RUNS / (name if count == 1 else f"{name}-{count}")
        count += 1
        if run.exists():
            continue
        try:
            drafted.rename(run)
        except OSError:
            if not run.exists():  # else another process was quicker
                raise
        else:
            return run


def _move_content(source: Path, target: Path) -> None:
    """Move what is not hidden: checkpoints first, as only one process can move them, weights last."""
    shown = [path for path in source.iterdir() if not path.name.startswith(".")]
    for path in sorted(shown, key=lambda path: (path.name == WEIGHTS, path.name != CHECKPOINTS)):
        path.rename(target / path.name)


def discard(run: Path, *, keep_folder: bool = False) -> None:
    """Remove a run that came to nothing, or only what it holds, and `runs/` if that was all it held."""
    gone = unique_name(run / "new" if keep_folder else run)
    with contextlib.suppress(OSError):
        if keep_folder:
            gone.mkdir()
            (run / WEIGHTS).rename(gone / WEIGHTS)  # first, so that nobody finds half of it
            _move_content(run, gone)
        else:
            run.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    if run.parent == RUNS:
        with contextlib.suppress(OSError):  # it holds others
            RUNS.rmdir()


def _unmakeable(out: Path, error: OSError) -> RunError:
    return RunError(f"{out}: cannot be made ({error.strerror}); choose another --out")


def newest() -> Path:
    """The run in `runs/` whose model was written last; raises ModelError where there is none."""
    runs = [path for path in RUNS.iterdir() if not path.name.startswith(".")] if RUNS.is_dir() else []
    found = [path for path in runs if (path / WEIGHTS).is_file()]
    if not found:
        raise ModelError(f"no MODEL was named and {RUNS}/ holds none; charloom train makes one")
    return max(found, key=lambda folder: (folder / WEIGHTS).stat().st_mtime_ns)


def has_checkpoint(run: Path) -> bool:
    """Whether there is something to go on from."""
    return (run / CONFIG).is_file() and any((run / CHECKPOINTS).glob("step-*"))


def model_of(path: Path) -> Model:
    """Return the model in a folder. Raises ModelError, with the folder that was meant."""
    if (path / "config.json").exists():
        return folder.read(path)
    near = _meant(path, WEIGHTS)
    if path.is_dir() and not near:
        return folder.read(path)  # which says what is missing
    what = "there is no such model folder"
    if path.exists():
        what = "is not a model folder" if path.is_dir() else "is a file, not a model folder"
    hint = f"did you mean {near}?" if near else "charloom train makes one"
    raise ModelError(f"{path}: {what}; {hint}")


def _meant(path: Path, file: str) -> Path | None:
    """Return the folder holding `file` that was probably meant: above, in or beside `path`, or in `runs/`."""
    if found := [each for each in path.parents if path.exists() and (each / file).is_file()]:
        return found[0]
    with contextlib.suppress(OSError):
        if within := sorted(path.glob(f"*/{file}")):
            return within[0].parent
        for beside in (path.parent, RUNS, RUNS / path.parent):
            names = [each.parent.name for each in beside.glob(f"*/{file}")]
            if meant := closest(path.name, names):
                return beside / meant
    return None


def config_of(run: Path) -> Path:
    """The settings of a run. Raises RunError where there is no such run."""
    if not (run / CONFIG).is_file():
        near = _meant(run, CONFIG)
        there = f"did you mean {near}?" if near else f"look into {RUNS}/"
        raise RunError(f"{run}: there is no such run (it would hold {CONFIG}); {there}")
    return run / CONFIG


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add one line to a file of JSON lines; raises RunError where it cannot be written."""
    try:
        new = not path.exists()
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())  # it is there before a checkpoint is that comes after it
        if new:
            flush(path.parent)
    except OSError as error:
        raise RunError(unwritable(path, error, "what was there before is kept")) from error


def finite(value: Any) -> Any:
    """A value for JSON, which has no NaN and no infinity: None in their place."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def records(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines; a last line that was cut off is left out, a missing file has none."""
    if not path.is_file():
        return []
    return list(_whole(path.read_text("utf-8").splitlines()))


def trim(run: Path, step: int) -> None:
    """Forget the records of steps after `step`, which a resumed run takes again."""
    for name in (METRICS, SAMPLES):
        kept = [record for record in records(run / name) if record["step"] <= step]
        replace_file(run / name, "".join(json.dumps(record) + "\n" for record in kept).encode("utf-8"))


def _whole(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # the process died while it wrote this line
            return
