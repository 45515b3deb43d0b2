"""All that a run needs to go on as if it had never stopped: `checkpoints/step-N/`.

    weights.safetensors · optimiser.safetensors · state.safetensors (carried states)
    state.json          the step, the plan, the best so far, what the promise depends on
    sums.json           SHA-256 of the files above, written last

A checkpoint is written under a temporary name in the same folder, flushed, and renamed. A reader takes
the newest whose sums hold.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from charloom.errors import CharloomError, RunError
from charloom.model.folder import read_json, replace_file, to_json

KEPT = 2  # the last one, and the one before in case the last is damaged
GROUPS = ("weights", "optimiser", "state")
NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by group (weights, optimiser, state) and name, and the facts that go with them."""

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    facts: Mapping[str, Any]


def save(run: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, drop the oldest ones. Raises RunError; earlier checkpoints are then untouched."""
    folder = run / "checkpoints"
    final = folder / f"step-{checkpoint.step}"
    temporary = folder / f".{final.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        files = {f"{group}.safetensors": _serialised(checkpoint.tensors[group]) for group in GROUPS}
        files["state.json"] = to_json({"step": checkpoint.step, **checkpoint.facts})
        _require_space(folder, sum(map(len, files.values())))
        for name, content in files.items():
            replace_file(temporary / name, content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        replace_file(temporary / "sums.json", to_json(sums))
        _flush(temporary)
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
        _flush(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(
            f"{final}: cannot be written ({error.strerror or error}); the last checkpoint is kept"
        ) from error
    except RunError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in [path for _, path in _found(run)][KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint, or None; and a line for every damaged one that was passed over."""
    passed: list[str] = []
    for step, path in _found(run):
        try:
            return _read(step, path), passed
        except (CharloomError, OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            passed.append(f"{path}: passed over, it is damaged ({error})")
    return None, passed


def drop_after(run: Path, step: int) -> None:
    """Forget the checkpoints of later steps, which a run that was rolled back takes again."""
    for later, path in _found(run):
        if later > step:
            shutil.rmtree(path, ignore_errors=True)


def _read(step: int, path: Path) -> Checkpoint:
    sums = read_json(path / "sums.json")
    contents = {}
    for name in ("state.json", *(f"{group}.safetensors" for group in GROUPS)):
        contents[name] = (path / name).read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != sums[name]:
            raise RunError(f"the sum of {name} does not hold")
    tensors = {group: safetensors.torch.load(contents[f"{group}.safetensors"]) for group in GROUPS}
    return Checkpoint(step, tensors, json.loads(contents["state.json"]))


def _found(run: Path) -> list[tuple[int, Path]]:
    """Checkpoints by name, the newest first; half-written ones bear another name."""
    return sorted(_named(run / "checkpoints"), reverse=True)


def _named(folder: Path) -> Iterator[tuple[int, Path]]:
    if folder.is_dir():
        for path in folder.iterdir():
            if match := NAME.fullmatch(path.name):
                yield int(match[1]), path


def _serialised(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    )


def _require_space(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, f"{size / 1e6:.0f} MB are needed and the disk is full")


def _flush(folder: Path) -> None:
    """Make the folder's entries durable, where the system can (Windows does it by itself)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
