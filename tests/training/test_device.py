"""Where products are made, in which precision, and the check before bfloat16 is trusted."""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from charloom import job
from charloom.errors import UsageError
from charloom.job import processors
from charloom.training import device
from charloom.training.config import TrainConfig


@pytest.mark.parametrize(
    ("gain", "error", "precision", "reason"),
    [
        (3.0, 0.003, "bfloat16", r"3\.0 times as fast here and err by 0\.3%"),
        (1.1, 0.003, "float32", "not multiply bfloat16 any faster"),
        (0.2, 0.003, "float32", "not multiply bfloat16 any faster"),
        (3.0, 0.5, "float32", r"err by 50\.0% on this machine"),
        (3.0, float("nan"), "float32", "err by nan"),
    ],
)
def test_bfloat16_after_a_check(
    gain: float, error: float, precision: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_compare", lambda where, threads: (gain, error))
    monkeypatch.setattr(device, "_has_bfloat16", lambda: True)
    place = device.choose(TrainConfig(device="cpu", threads=1))
    assert place.precision == precision
    assert re.search(reason, place.reason)
    with place.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)


def test_the_check_itself() -> None:
    """Its products are real ones: eight bits err, and not by much."""
    gain, error = device._compare(torch.device("cpu"), 1)
    assert gain > 0
    assert 0.0005 < error < device.CHECK_TOLERANCE


def test_the_check_is_made_once_and_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated products, a hundred times slower than float32, cost two small trials."""
    rows: list[int] = []

    def seconds(left: torch.Tensor, right: torch.Tensor) -> float:
        rows.append(len(left))
        return 1.0 if left.dtype == torch.bfloat16 else 0.01

    monkeypatch.setattr(device, "_seconds", seconds)
    device._compare.cache_clear()
    try:
        gains = {device._compare(torch.device("cpu"), 1)[0] for _ in range(2)}
    finally:
        device._compare.cache_clear()
    assert gains == {0.01}
    assert rows == [device.FEW_ROWS] * 4


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the variable is one of x86's")
def test_a_processor_without_bfloat16_is_not_tried() -> None:
    """In a process of its own, since torch reads the variable once."""
    code = (
        "from charloom.training import device\nfrom charloom.training.config import TrainConfig\n"
        "device._compare = None\nplace = device.choose(TrainConfig(device='cpu'))\nprint(place.reason)"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert found.stdout == "this processor has no bfloat16 instructions\n"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "800000 100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n2:cpu,cpuacct:/x\n0::/\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            math.inf,
        ),
    ],
    ids=["no Linux", "no limit", "version 2", "nested", "version 1", "version 1, no limit"],
)
def test_the_quota_of_a_container(files: dict[str, str], quota: float, tmp_path: Path) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert job._quota(tmp_path) == quota


def test_a_quota_bounds_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_quota", lambda: 0.5)
    assert job.processors() == 1
    assert device.choose(TrainConfig(precision="float32", device="cpu")).threads == 1


def test_what_is_asked_for_is_taken() -> None:
    for precision in ("float32", "bfloat16"):
        place = device.choose(TrainConfig(precision=precision, device="cpu", threads=1))
        assert (place.precision, place.reason) == (precision, "as asked for")
        assert place.facts()["precision"] == precision


def test_threads_are_those_this_process_may_use() -> None:
    place = device.choose(TrainConfig(precision="float32"))
    assert place.threads == processors()
    assert 1 <= processors() <= (os.cpu_count() or 1)


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"device cuda is not there; torch sees cpu$"):
        device.choose(TrainConfig(device="cuda"))
    with pytest.raises(UsageError, match="device 'tpu' is not known; choose one of auto, cpu, cuda, mps"):
        TrainConfig(device="tpu")  # type: ignore[arg-type]
    assert device.choose(TrainConfig(device="auto", precision="float32", threads=1)).device.type == "cpu"


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    places = [
        device.choose(TrainConfig(precision="float32", threads=1), sharing).device.type
        for sharing in (1, 2, 3)
    ]
    assert places == ["cuda", "cuda", "cpu"]
    with pytest.raises(UsageError, match="device cuda is not there for each of 3 processes; torch sees"):
        device.choose(TrainConfig(device="cuda"), 3)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match="device mps is not there; torch sees cpu, cuda"):
        device.choose(TrainConfig(device="mps"))


def test_torch_is_left_as_it_was() -> None:
    """Threads and the treatment of tiny numbers belong to whoever called."""
    tiny = torch.tensor([1e-40])
    torch.set_num_threads(1)
    place = device.choose(TrainConfig(device="cpu", threads=2))
    assert torch.get_num_threads() == 1
    assert (tiny * 1).item() > 0
    with place.engaged():
        assert torch.get_num_threads() == 2
        assert (tiny * 1).item() == 0
    assert torch.get_num_threads() == 1
    assert (tiny * 1).item() > 0
