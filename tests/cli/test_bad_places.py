"""Bad networks, folders and disks: told on one line, with what mends it, and nothing is lost."""

from __future__ import annotations

import ctypes
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bad_input import ANY, TINY, Case, check, matches, tree
from charloom.text import catalog

CASES = [
    Case(
        "an address that is not this machine's",
        "serve run --host 192.0.2.1",
        f"192.0.2.1:8000: cannot be listened on ({ANY}); choose another --port or --host",
    ),
    Case(
        "no network",
        "data fetch tinyshakespeare",
        f"https://{ANY}/input.txt: cannot be reached ({ANY}); look at the connection and try again, or put "
        "the file into the folder that CHARLOOM_DATA names",
        environment={"https_proxy": "http://127.0.0.1:9", "CHARLOOM_DATA": ""},
    ),
]
for kind, typed in {
    "texts": "sample run --length 9 -n 2 --out {}.csv",
    "a page": "report run --out {}.html",
    "an export": "export run --to html --out {}.html",
    "scores": "score run text.txt --html {}.html",
    "a story": "play run --file {}.txt",
}.items():
    CASES.append(
        Case(
            f"{kind} into a folder that is not there",
            typed.format("there/new"),
            f"there/new.{ANY}: cannot be written (No such file or directory); make the folder there first",
        )
    )
CASES.append(
    Case(
        "texts below a file",
        "sample run --out text.txt/new.csv",
        f"text.txt/new.csv{ANY}: cannot be written (Not a directory); "
        "text.txt is no folder, so choose another",
    )
)
BY_HAND = "or put the file as tinyshakespeare.txt into the folder that CHARLOOM_DATA names"
LOOK = "look at the connection and try again, or put the file into the folder that CHARLOOM_DATA names"
DOWNLOADS = {  # when it happens: what the server answers (status, the length it claims, body), the message
    "a download that breaks off": (
        (200, 1115394, b"First Citizen:\n"),
        f"http:{ANY}: broke off after 15 of 1,115,394 bytes; {LOOK}",
    ),
    "a download that was altered": (
        (200, 1115394, b"x" * 1115394),
        f"http:{ANY}: its SHA256 is {ANY}, not 86c4e6aa9db7{ANY}; try again, {BY_HAND}",
    ),
    "a download of another size": (
        (200, 15, b"First Citizen:\n"),
        f"http:{ANY}: 15 bytes came, not 1,115,394; try again, {BY_HAND}",
    ),
    "a download that is refused": (
        (403, 0, b""),
        f"http:{ANY}: refused by the server (403 Forbidden); {LOOK}",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.when)
def test_it_is_told_on_one_line_and_nothing_is_lost(either, folder: Path, case: Case) -> None:
    check(either, folder, case)


class Served(http.server.BaseHTTPRequestHandler):
    """Answers every request with `answer`: a status, the length it claims, and a body."""

    answer = (200, 0, b"")

    def do_GET(self) -> None:
        status, length, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize(("answer", "says"), DOWNLOADS.values(), ids=DOWNLOADS)
def test_a_download_that_is_not_whole_leaves_nothing(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, answer, says: str
) -> None:
    """The real command, with the address of the public source changed to that of a server here."""
    monkeypatch.setattr(Served, "answer", answer)
    code = (
        "from charloom.text import catalog; from charloom.cli import main; import sys;"
        f"*_, old = catalog.fetch.__defaults__; assert old == catalog.BASE;"
        f"catalog.fetch.__defaults__ = (*_, {server!r}); main(['data', 'fetch', 'tinyshakespeare'])"
    )
    environment = {**os.environ, "CHARLOOM_CACHE": str(tmp_path), "CHARLOOM_DATA": ""}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, encoding="utf-8", timeout=300
    )
    assert found.returncode == 1, found.stderr
    (line,) = found.stderr.splitlines()
    assert matches(says.replace("http:", server), line), line
    assert tree(tmp_path) == {}
    assert catalog.known("tinyshakespeare")


def without_override() -> None:
    """Root may write anywhere: give that up (Linux: CAP_DAC_OVERRIDE leaves the bounding set)."""
    ctypes.CDLL(None).prctl(24, 1)


def without_rights(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "charloom", *arguments],
        capture_output=True,
        cwd=folder,
        preexec_fn=without_override,
        encoding="utf-8",
        timeout=300,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="how root gives up its rights is Linux's")
def test_a_read_only_folder(folder: Path) -> None:
    locked = folder / "locked"
    locked.mkdir(mode=0o555)
    found = without_rights(folder, "train", "text.txt", *TINY.split(), "--out", "locked/run")
    assert found.returncode == 1
    assert matches(
        f"locked/run: cannot be made ({folder}/locked is read-only); choose another --out",
        found.stderr.strip(),
    )
    assert list(locked.iterdir()) == []
    found = without_rights(folder, "sample", "run", "--out", "locked/texts.csv")
    assert found.returncode == 1
    assert found.stderr.strip().endswith("(Permission denied); choose a folder that you may write to")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits on Windows")
def test_a_disk_that_is_full_keeps_what_was_there(folder: Path) -> None:
    """Simulated by a limit on the size of a file: the operating system refuses the write."""
    import resource

    found = subprocess.run(
        [sys.executable, "-m", "charloom", "train", "--resume", "run", "--steps", "3"],
        capture_output=True,
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
        encoding="utf-8",
        timeout=300,
    )
    assert found.returncode == 1
    assert "cannot be written (File too large)" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert (folder / "run" / "checkpoints" / "step-30" / "sums.json").is_file()
    assert subprocess.run([sys.executable, "-m", "charloom", "info", "run"], cwd=folder).returncode == 0
