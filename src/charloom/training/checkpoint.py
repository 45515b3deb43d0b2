"""All that a run needs to go on as if it had never stopped: `checkpoints/step-N/`.

    weights.safetensors · optimiser.safetensors · state.safetensors (carried states)
    state.json          the step, the plan, the best so far, what the promise depends on
    sums.json           SHA-256 of the files above, written last

A checkpoint is written under a temporary name in the same folder, every file flushed to the disk, and
renamed. A reader takes the newest whose sums hold; a half-written one bears another name. The last two
are kept, and the one that was taken when the held-out loss was lowest.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from charloom.errors import CharloomError, RunError, unwritable
from charloom.model.folder import read_json, to_json
from charloom.system.files import flush, make_folder, write
from charloom.training.ranks import Ranks

KEPT = 2  # the last one, and the one before in case the last is damaged
GROUPS = ("weights", "optimiser", "state")
NAME = re.compile(r"step-(\d+)(\.previous)?")  # the previous one of the same step, while it is replaced


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by group (weights, optimiser, state) and name, and the facts that go with them."""

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    facts: Mapping[str, Any]


def save(run: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, drop the oldest ones. Raises RunError; earlier checkpoints are then untouched."""
    final = path_of(run, checkpoint.step)
    folder = final.parent
    previous = folder / f"{final.name}.previous"
    temporary = folder / f".{final.name}"
    try:
        make_folder(folder)
        for left in folder.glob(".step-*"):  # by a process that was killed
            shutil.rmtree(left)
        files = {f"{group}.safetensors": _serialised(checkpoint.tensors[group]) for group in GROUPS}
        files["state.json"] = to_json({"step": checkpoint.step, **checkpoint.facts})
        _require_space(folder, sum(map(len, files.values())))
        temporary.mkdir()
        for name, content in files.items():
            write(temporary / name, content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        write(temporary / "sums.json", to_json(sums))
        flush(temporary)
        if final.exists():
            shutil.rmtree(previous, ignore_errors=True)
            final.rename(previous)
        temporary.rename(final)
        flush(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(unwritable(final, error, "the last checkpoint is kept")) from error
    shutil.rmtree(previous, ignore_errors=True)
    _drop_old(run)
    return final


def path_of(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / "checkpoints" / f"step-{step}"


def latest(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint, or None; and a line for every damaged one that was passed over."""
    passed: list[str] = []
    for step, path in _found(run):
        try:
            return _read(step, path), passed
        except (CharloomError, OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            passed.append(f"{path}: passed over, it is damaged ({error})")
    return None, passed


def _drop_old(run: Path) -> None:
    found = [path for _, path in _found(run)]
    best = min(reversed(found), key=_heldout)
    for path in found[KEPT:]:
        if path != best or _heldout(path) == math.inf:
            shutil.rmtree(path, ignore_errors=True)


def _heldout(path: Path) -> float:
    """The held-out nats a character that a checkpoint had been measured at; infinite if they are unknown."""
    try:
        nats = read_json(path / "state.json").get("heldout")
    except CharloomError:
        return math.inf
    return nats if isinstance(nats, float) and math.isfinite(nats) else math.inf


def shared(found: Checkpoint | None, ranks: Ranks) -> Checkpoint:
    """Rank 0's checkpoint, which the others may not see on their disks."""
    step, facts = ranks.share([found.step, dict(found.facts)] if found else None)
    return Checkpoint(step, ranks.share_tensors(found.tensors if found else None), facts)


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
    tensors = {group: from_bytes(contents[f"{group}.safetensors"]) for group in GROUPS}
    return Checkpoint(step, tensors, json.loads(contents["state.json"]))


def _found(run: Path) -> list[tuple[int, Path]]:
    """Checkpoints by name, the newest first; half-written ones bear another name."""
    folder = run / "checkpoints"
    named = [(NAME.fullmatch(path.name), path) for path in (folder.iterdir() if folder.is_dir() else ())]
    found = [(int(match[1]), not match[2], path) for match, path in named if match]
    return [(step, path) for step, _, path in sorted(found, reverse=True)]


def _serialised(tensors: Mapping[str, Tensor]) -> bytes:
    return to_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _require_space(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, f"{size / 1e6:.0f} MB are needed and the disk is full")
