"""Many processes train what one would: real processes, started by torchrun."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from charloom import run as runs
from charloom.errors import UsageError
from charloom.job import Job, here
from charloom.model import folder
from charloom.training import checkpoint
from charloom.training.ranks import Ranks
from pages import PAGES

SETTINGS = (
    "--hidden", "16", "--set", "model.dropout=0.2", "--set", "train.lanes=6", "--set", "train.window=16",
    "--set", "train.precision=float32", "--set", "train.threads=1", "--set", "train.evaluate_steps=5",
    "--set", "train.checkpoint_steps=5",
)  # fmt: skip
PATIENCE = 300  # seconds


def test_alone_nothing_is_exchanged() -> None:
    alone = Ranks()
    with alone.joined():
        flat = torch.ones(3)
        assert alone.sum(flat) is flat
        assert alone.agree("terminated") == "terminated"
        assert alone.share({"a": 1}) == {"a": 1}
        assert alone.total([1.0, 2.0]) == [1.0, 2.0]
        assert alone.rows(7) == slice(0, 7)
        alone.wait()


@pytest.mark.parametrize("count", [0, 1, 5, 64])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_each_row_has_one_owner(count: int, size: int) -> None:
    owned = [list(range(count))[Ranks(Job(rank=rank, size=size)).rows(count)] for rank in range(size)]
    assert [row for rows in owned for row in rows] == list(range(count))
    assert max(map(len, owned)) - min(map(len, owned)) <= 1


def test_what_the_environment_says() -> None:
    assert here({}) == Job()
    given = {"RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RESTART_COUNT": "2", "TORCHELASTIC_RUN_ID": "book"}
    assert here(given) == Job(rank=1, size=4, restarts=2, name="book")
    for wrong in ({"RANK": "4", "WORLD_SIZE": "4"}, {"RANK": "x"}, {"RANK": "1"}):
        with pytest.raises(UsageError, match="RANK"):
            here(wrong)


def test_nobody_says_where_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UsageError, match="torchrun"), Ranks(Job(size=2)).joined():
        pass


ALONE = ("--standalone",)  # one machine
SCRIPT = Path(__file__).parents[1] / "support" / "many.py"


def torchrun(processes: int, *arguments: str, folder: Path, options: tuple[str, ...] = ALONE) -> Any:
    """The real thing, on the loopback interface; its processes are a group of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", *options]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # as docs/promises.md says
    }  # fmt: skip
    return subprocess.Popen(
        [*command, *arguments], cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
    )  # fmt: skip


def write(folder: Path) -> Path:
    path = folder / "topics.txt"
    path.write_text(PAGES[:20_000], encoding="utf-8")
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.mark.parametrize(
    ("processes", "cases"), [(2, "some"), *(pytest.param(n, "all", marks=pytest.mark.slow) for n in (2, 4))]
)
def test_many_processes(processes: int, cases: str, text: Path, tmp_path: Path) -> None:
    """Sums in order, resume to the bit, the steps that one process takes, agreement, and one that dies.

    In all cells and layouts, or in each of them once.
    """
    started = torchrun(processes, str(SCRIPT), str(text), cases, folder=tmp_path)
    told, _ = started.communicate(timeout=PATIENCE)
    done = re.findall(r"rank (\d) saw that another is gone", told)
    assert sorted(map(int, done)) == list(range(processes - 1)), told


def train(folder: Path, *arguments: str, processes: int = 2, options: tuple[str, ...] = ALONE) -> Any:
    command = ("-m", "charloom", "train", "topics.txt", *SETTINGS, *arguments)
    return torchrun(processes, *command, folder=folder, options=options)


def weights(run: Path) -> dict[str, Any]:
    return {name: array.tobytes() for name, array in folder.read(run).weights.items()}


def workers(agent: int) -> dict[int, psutil.Process]:
    """The training processes of an agent, by rank."""
    found = {}
    for process in psutil.Process(agent).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if "RANK" in environment and "charloom" in process.cmdline():
                found[int(environment["RANK"])] = process
    return found


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def ended(started: Any, code: int = 0) -> str:
    told: str = started.communicate(timeout=PATIENCE)[0]
    assert started.returncode == code, told
    return told


def listening(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


STEPS = ("--steps", "400")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The weights of a run that two processes trained, and nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder)
    ended(train(folder, "--out", "whole", *STEPS))
    return weights(folder / "whole")


@pytest.mark.slow
def test_one_dies_and_the_run_goes_on(text: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    """torchrun starts all anew; they go on from the last checkpoint, and end as if nothing had happened."""
    started = train(tmp_path, "--out", "part", *STEPS, options=("--standalone", "--max-restarts=1"))
    until(lambda: list((tmp_path / "part" / "checkpoints").glob("step-*")))
    workers(started.pid)[1].kill()
    told = ended(started)
    assert "rank 0: another rank is gone" in told
    assert weights(tmp_path / "part") == whole
    steps = [record["step"] for record in runs.records(tmp_path / "part" / runs.METRICS)]
    assert steps == sorted(set(steps))


@pytest.mark.slow
def test_a_budget_on_top_is_added_once(text: Path, tmp_path: Path) -> None:
    """A process of a resumed run dies; torchrun starts the command anew, and the run ends where it was to."""
    ended(train(tmp_path, "--out", "part", *STEPS, "--set", "train.patience=0"))
    command = ("-m", "charloom", "train", "--resume", "part", *STEPS)
    started = torchrun(2, *command, folder=tmp_path, options=("--standalone", "--max-restarts=1"))
    until(lambda: list((tmp_path / "part" / "checkpoints").glob("step-[45]?5")))
    workers(started.pid)[1].kill()
    assert "rank 0: another rank is gone" in ended(started)
    found = checkpoint.latest(tmp_path / "part")[0]
    assert found is not None
    assert found.step == 800


@pytest.mark.slow
@pytest.mark.parametrize("store", ["tcp", "file"])
def test_a_machine_dies_and_comes_back(store: str, text: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    """Two agents on one machine stand for two; one is killed with its process, and started anew.

    Who takes part is known to a file, or to the first agent, which then must not be the one that dies. The
    first is rank 0, and when it comes back knows of no restart.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    endpoint = str(tmp_path / "rendezvous") if store == "file" else f"127.0.0.1:{port}"

    def agent(number: int) -> Any:
        options = (
            "--nnodes=2", "--max-restarts=3", "--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}",
            "--rdzv-id=here", f"--local-addr=127.0.0.{number}", f"--rdzv-conf=store_type={store}",
        )  # fmt: skip
        return train(tmp_path, "--out", "part", *STEPS, processes=1, options=options)

    agents = {1: agent(1)}
    until(lambda: store == "file" or listening(port))
    agents[2] = agent(2)
    until(lambda: list((tmp_path / "part" / "checkpoints").glob("step-*")))
    dies = 1 if store == "file" else 2
    processes = workers(agents[dies].pid)
    os.killpg(agents[dies].pid, signal.SIGKILL)
    for process in processes.values():
        process.kill()
    agents[dies].communicate()
    agents[dies] = agent(dies)
    for each in agents.values():
        ended(each)
    assert weights(tmp_path / "part") == whole


@pytest.mark.slow
def test_a_signal_ends_all_after_a_checkpoint(text: Path, tmp_path: Path) -> None:
    started = train(tmp_path, "--out", "part", "--steps", "100000")
    until(lambda: list((tmp_path / "part" / "checkpoints").glob("step-*")))
    started.terminate()
    told = started.communicate(timeout=PATIENCE)[0]
    assert "Terminated after" in told
    found = checkpoint.latest(tmp_path / "part")[0]
    assert found is not None
    assert f"{found.step:,} steps" in told
