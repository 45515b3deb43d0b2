"""Promise 1, without a process: power cuts at every operation of the production writer, and lines deleted."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from charloom import run as runs
from charloom.errors import CharloomError
from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.text.vocabulary import Vocabulary
from charloom.training import checkpoint
from charloom.training.checkpoint import Checkpoint
from power import Disk, Site

MODEL = ModelConfig(hidden=2, embedding=2)
VOCABULARY = Vocabulary.of_characters(("a", "b"), ("<bos>",))
RUN = Path("run")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


class Promised:
    """What the writer has told us is safe, so far."""

    def __init__(self) -> None:
        self.published = False
        self.model = -1
        self.checkpoint = -1
        self.metrics = -1

    def check(self, left: Path) -> None:
        if not self.published:
            assert not (left / RUN).exists() or self.loaded(left) >= 0  # found at all, it is found whole
            return
        assert self.loaded(left) >= self.model
        found, passed = checkpoint.latest(left / RUN)
        assert not passed
        step = -1 if found is None else found.step
        assert step >= self.checkpoint
        assert found is None or found.facts["best"] <= self.loaded(left)
        noted = [record["step"] for record in runs.records(left / RUN / runs.METRICS)]
        assert noted[: self.metrics + 1] == list(range(self.metrics + 1))

    def loaded(self, left: Path) -> int:
        assert (left / RUN / runs.CONFIG).is_file()
        step: int = folder.read(left / RUN).metrics["step"]
        return step


def write(root: Path, promised: Promised) -> None:
    """A run from its beginning, as `api.training` writes it."""
    weights = {
        name: np.zeros(shape, np.float32) for name, shape in MODEL.weight_shapes(len(VOCABULARY)).items()
    }
    out = root / RUN
    drafted = runs.draft(out)
    folder.create(
        drafted, config=MODEL, vocabulary=VOCABULARY, card="", sampling={}, provenance={"corpora": []}
    )
    folder.replace_file(drafted / runs.CONFIG, b"[train]\n")
    folder.write_weights(drafted, weights, {"step": 0})
    runs.publish(drafted, out, "")
    promised.published, promised.model = True, 0
    for step in (1, 2, 3, 3, 4):  # the third is written twice: its second time, it is finished
        if step != promised.model:
            folder.write_weights(out, weights, {"step": step})
            promised.model = step
            runs.append(out / runs.METRICS, {"step": step - 1})
            promised.metrics = step - 1
        tensors = {group: {"x": torch.full((2,), float(step))} for group in checkpoint.GROUPS}
        checkpoint.save(out, Checkpoint(step, tensors, {"best": step, "heldout": 5.0 - step}))
        promised.checkpoint = step


def crashes(tmp_path: Path, skipped: Site | None = None) -> Disk:
    root = tmp_path / "disk"
    root.mkdir()
    promised = Promised()
    with Disk(root, promised.check, skipped) as disk:
        write(root, promised)
        promised.check(root)
    return disk


def test_power_may_go_at_any_operation(tmp_path: Path) -> None:
    disk = crashes(tmp_path)
    assert disk.operations > 100
    asks = re.compile(r"\b(fsync|flush|rename|replace|make_folder|write)\(")
    asking = {site for site in disk.sites if asks.search(site[1]) and site[0] != "model/folder.py"}
    assert asking - set(NEEDED) == set()  # and each of them is tried below


NEEDED = [  # whoever deletes one of these lines fails the test below
    ("system/files.py", "os.fsync(file.fileno())"),
    ("system/files.py", "write(temporary, content)"),
    ("system/files.py", "temporary.replace(path)"),
    ("system/files.py", "flush(path.parent)"),
    ("system/files.py", "flush(folder.parent)"),
    ("system/files.py", "os.fsync(descriptor)"),
    ("model/folder.py", 'replace_file(folder / "vocab.json", to_json(vocabulary.to_json()))'),
    ("training/checkpoint.py", "make_folder(folder)"),
    ("training/checkpoint.py", "write(temporary / name, content)"),
    ("training/checkpoint.py", 'write(temporary / "sums.json", to_json(sums))'),
    ("training/checkpoint.py", "flush(temporary)"),
    ("training/checkpoint.py", "final.rename(previous)"),
    ("training/checkpoint.py", "temporary.rename(final)"),
    ("training/checkpoint.py", "flush(folder)"),
    ("run.py", "drafted.rename(out)"),
    ("run.py", "flush(run.parent)"),
    ("run.py", "flush(path.parent)"),
    ("run.py", "os.fsync(file.fileno())  # it is there before a checkpoint is that comes after it"),
]


@pytest.mark.parametrize("site", NEEDED, ids=lambda site: ":".join(site))
def test_no_flush_and_no_rename_can_be_left_out(site: Site, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, OSError, ValueError, CharloomError)):  # the writer itself may notice
        crashes(tmp_path, site)
