"""Checkpoints that survive damage, half-written files and full disks."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from charloom.errors import RunError
from charloom.training import checkpoint
from charloom.training.checkpoint import GROUPS, KEPT, Checkpoint


def made(step: int, seed: int = 0) -> Checkpoint:
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "weights": {"output.weight": torch.randn(7, 3, generator=generator), "output.bias": torch.zeros(7)},
        "optimiser": {"output.weight.step": torch.tensor(float(step)), "empty": torch.zeros(0, 2)},
        "state": {"state": torch.randn(2, 3, 4, 5, generator=generator).transpose(0, 1)},
    }
    return Checkpoint(
        step, tensors, {"seconds": 0.1, "plan": [[0, 10]], "best": {"nats": 2.5}, "named": "né\ud800"}
    )


def require_same(found: Checkpoint | None, expected: Checkpoint) -> None:
    assert found is not None
    assert found.step == expected.step
    assert {**found.facts, "step": 0} == {**expected.facts, "step": 0}
    for group in GROUPS:
        assert found.tensors[group].keys() == expected.tensors[group].keys()
        for name, tensor in expected.tensors[group].items():
            assert torch.equal(found.tensors[group][name], tensor)


def test_round_trip(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) == (None, [])
    path = checkpoint.save(tmp_path, made(12))
    assert path == tmp_path / "checkpoints" / "step-12"
    found, passed = checkpoint.latest(tmp_path)
    require_same(found, made(12))
    assert passed == []
    checkpoint.save(tmp_path, made(12, seed=1))  # once more in the same place
    require_same(checkpoint.latest(tmp_path)[0], made(12, seed=1))
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}  # inert files alone


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        checkpoint.save(tmp_path, made(step))
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert len(kept) == KEPT
    assert kept == ["step-10", "step-100"]  # by number, not by letter
    require_same(checkpoint.latest(tmp_path)[0], made(100))


def test_the_best_is_kept(tmp_path: Path) -> None:
    for step, nats in ((1, 3.0), (2, 2.0), (3, 1.0), (4, 1.0), (5, 1.5), (6, 2.0), (7, math.nan)):
        one = made(step)
        checkpoint.save(tmp_path, replace(one, facts={**one.facts, "heldout": nats}))
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-3", "step-6", "step-7"]  # the first after that evaluation


def test_later_ones_can_be_dropped(tmp_path: Path) -> None:
    for step in (10, 20):
        checkpoint.save(tmp_path, made(step))
    checkpoint.drop_after(tmp_path, 20)
    require_same(checkpoint.latest(tmp_path)[0], made(20))
    checkpoint.drop_after(tmp_path, 10)
    require_same(checkpoint.latest(tmp_path)[0], made(10))
    checkpoint.drop_after(tmp_path, 0)
    assert checkpoint.latest(tmp_path)[0] is None


FILES = ["state.json", "sums.json", *(f"{group}.safetensors" for group in GROUPS)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "not an object"])
def test_a_damaged_newest_is_passed_over_and_said(name: str, damage: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, made(10))
    path = checkpoint.save(tmp_path, made(20)) / name
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(path.read_bytes()[:-3])
        case "flipped":
            flip(path)
        case _:
            path.write_bytes(b"[1]")
    found, passed = checkpoint.latest(tmp_path)
    require_same(found, made(10))
    assert len(passed) == 1
    assert passed[0].startswith(f"{path.parent}: passed over, it is damaged")
    assert "\n" not in passed[0]


def test_half_written_ones_are_no_checkpoints(tmp_path: Path) -> None:
    """What a kill leaves in the middle of writing bears another name, and is in nobody's way."""
    checkpoint.save(tmp_path, made(10))
    left = tmp_path / "checkpoints" / ".step-20"
    shutil.copytree(tmp_path / "checkpoints" / "step-10", left)
    (tmp_path / "checkpoints" / "step-20.bak").mkdir()
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine", encoding="utf-8")
    found, passed = checkpoint.latest(tmp_path)
    require_same(found, made(10))
    assert passed == []
    checkpoint.save(tmp_path, made(20))
    require_same(checkpoint.latest(tmp_path)[0], made(20))
    assert not left.exists()


def refused(run: Path) -> str:
    with pytest.raises(RunError) as caught:
        checkpoint.save(run, made(20))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, made(10))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 0))  # type: ignore[attr-defined]
    message = refused(tmp_path)
    assert message.startswith(str(tmp_path / "checkpoints" / "step-20"))
    assert "the disk is full" in message
    assert "the last checkpoint is kept" in message
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-10"]
    require_same(checkpoint.latest(tmp_path)[0], made(10))


def test_a_disk_that_stops_writing(tmp_path: Path) -> None:
    """The system itself refuses to let a file grow, in the middle of one."""
    resource = pytest.importorskip("resource")
    checkpoint.save(tmp_path, made(10))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        message = refused(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot be written (File too large)" in message
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-10"]
    require_same(checkpoint.latest(tmp_path)[0], made(10))


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("", encoding="utf-8")
    assert str(tmp_path / "checkpoints") in refused(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_no_permission(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, made(10))
    (tmp_path / "checkpoints").chmod(0o500)
    root = os.geteuid() == 0  # who may write everywhere, unless they become somebody else
    if root:
        os.seteuid(65534)
    try:
        assert "Permission denied" in refused(tmp_path)
    finally:
        if root:
            os.seteuid(0)
        (tmp_path / "checkpoints").chmod(0o700)
    require_same(checkpoint.latest(tmp_path)[0], made(10))
