"""Corpora by name: fetched whole and unaltered, or said why not. The network is a server on this machine."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from charloom.errors import DataError, DownloadError
from charloom.text import catalog
from charloom.text.catalog import Entry, File, entries, fetch, find, python_source
from charloom.text.config import DataConfig, Progress
from charloom.text.corpus import prepare

CONTENT = (
    b'"3","Wall St. Bears","Short-sellers, Wall Street\'s dwindling\\band"\n"1","A ""quoted"" one","text"\n'
    * 50
)
FILE = File("owner/small.csv", "small/small.csv", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
SMALL = Entry(
    "small",
    "a small table",
    "CC0",
    "row",
    (FILE,),
    ("1", "2"),
    ("0",),
    ("World", "Sports", "Business", "Sci/Tech"),
)
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers every request with `answer`, and counts."""

    answer: Answer
    paths: list[str]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.paths.append(self.path)
            here.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    here = Server(("127.0.0.1", 0), Handler)
    here.paths = []
    thread = threading.Thread(target=here.serve_forever, args=(0.01,))
    thread.start()
    yield here
    here.shutdown()
    thread.join()
    here.server_close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(catalog, "ENTRIES", (*catalog.ENTRIES, SMALL))
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHARLOOM_DATA", raising=False)


def sends(content: bytes, announced: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(announced or len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def test_a_file_is_fetched_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer = sends(CONTENT)
    seen: list[Progress] = []
    (path,) = fetch("small", seen.append, server.base)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == Progress(len(CONTENT), len(CONTENT), "downloading")
    assert fetch("small", base=server.base) == (path,)
    assert server.paths == ["/owner/small.csv"]
    path.write_bytes(CONTENT[:-1])
    assert fetch("small", base=server.base)[0].read_bytes() == CONTENT
    assert len(server.paths) == 2
    corpus = prepare(["small"], DataConfig(fractions=(100, 0, 0)))
    assert next(corpus.train.texts()) == "Wall St. Bears Short-sellers, Wall Street's dwindling\\band"
    assert corpus.train.labels[:2].tolist() == [[2], [0]]
    assert corpus.provenance["corpora"][0]["sha256"] == FILE.sha256


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (sends(CONTENT[:-9], len(CONTENT)), "broke off after 4,991 of 5,000 bytes"),
        (sends(CONTENT[:-9]), "4,991 bytes came, not 5,000"),
        (sends(CONTENT[:-1] + b"x"), "its SHA256 is .*, not "),
        (lambda handler: handler.send_error(404), r"refused by the server \(404 Not Found\)"),
        (lambda handler: handler.connection.close(), "cannot be reached"),
        (lambda handler: handler.wfile.write(b"nonsense\n"), "cannot be reached"),
    ],
    ids=["truncated", "short", "altered", "refused", "hung up", "no HTTP"],
)
def test_a_file_that_does_not_come_whole(server: Server, answer: Answer, message: str) -> None:
    server.answer = answer
    message = message.replace("4,991", f"{len(CONTENT) - 9:,}").replace("5,000", f"{len(CONTENT):,}")
    with pytest.raises(DownloadError, match=f"small.csv: {message}.*CHARLOOM_DATA") as caught:
        fetch("small", base=server.base)
    assert "\n" not in str(caught.value)
    kept = Path(catalog.cache.folder("named")) / "small"
    assert list(kept.iterdir()) == []


def test_no_server_at_all(server: Server) -> None:
    base = server.base.replace(str(server.server_port), "9")  # the port "discard", where nothing listens
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch("small", base=base)


def test_the_published_files(data_folder: Path, server: Server) -> None:
    """Names below CHARLOOM_DATA, sizes and hashes are those of the real files; nothing is fetched."""
    assert fetch("tinyshakespeare", base=server.base) == (data_folder / "tinyshakespeare.txt",)
    assert fetch("ag_news:test", base=server.base) == (data_folder / "ag_news" / "test.csv",)
    assert server.paths == []


def test_a_published_file_from_the_server(
    data_folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHARLOOM_DATA")
    server.answer = sends((data_folder / "ag_news" / "test.csv").read_bytes())
    assert fetch("ag_news:test", base=server.base)[0].stat().st_size == 1857427
    assert server.paths == [f"/{catalog.AG_NEWS}/test.csv"]


def test_a_mirror_that_differs(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLOOM_DATA", str(tmp_path))
    content = (data_folder / "tinyshakespeare.txt").read_bytes()
    (tmp_path / "tinyshakespeare.txt").write_bytes(content[:-1] + b" ")
    with pytest.raises(DataError, match=r"tinyshakespeare\.txt: its SHA256 .* not the published file"):
        fetch("tinyshakespeare")
    (tmp_path / "ag_news").mkdir()
    shutil.copy(data_folder / "ag_news" / "test.csv", tmp_path / "ag_news" / "train.csv")
    with pytest.raises(DataError, match=r"train\.csv: its MD5"):
        fetch("ag_news")


def test_the_language_reference() -> None:
    (path,) = fetch("python-docs")
    text = path.read_text(encoding="utf-8")
    assert len(text) > 300_000
    assert "for_stmt" in text
    assert fetch("python-docs") == (path,)
    corpus = prepare()
    assert (corpus.name, corpus.documents, corpus.guess) == ("python-docs", "whole", "")
    assert corpus.provenance["corpora"][0]["licence"] == "PSF-2.0"
    assert corpus.provenance["corpora"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_language_reference_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match="packed without pydoc_data"):
        fetch("python-docs")


def test_the_standard_library() -> None:
    paths = fetch("python-source")
    names = [path.name for path in paths]
    assert "dataclasses.py" in names
    assert len(paths) > 300
    assert not any({"test", "idlelib", "lib2to3", "site-packages"} & set(path.parts) for path in paths)


def test_which_modules_are_taken(tmp_path: Path) -> None:
    for name, content in (
        ("b.py", b"b"),
        ("a/z.py", b"z"),
        ("a/latin.py", b"# \xe9"),
        ("test/t.py", b"t"),
        ("a/tests/t.py", b"t"),
        ("site-packages/p.py", b"p"),
        ("a/empty.py", b""),
        ("a/data.txt", b"d"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert [path.name for path in python_source(tmp_path)] == ["z.py", "b.py"]


def test_names() -> None:
    assert {entry.name for entry in entries()} >= {
        "python-docs",
        "python-source",
        "ag_news",
        "ag_news:test",
        "tinyshakespeare",
    }
    assert all(entry.licence and entry.title and entry.source for entry in entries())
    assert find("ag_news").files == find("ag_news:train").files + find("ag_news:test").files
    with pytest.raises(DataError, match="did you mean python-docs"):
        find("pythondocs")
    with pytest.raises(DataError, match="charloom data list"):
        find("qqqq")
