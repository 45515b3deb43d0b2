"""Bad input, through the real command: one line that says what, where and how to mend, and nothing is lost.

`CASES` is also what the table of messages in docs/commands.md is made from.
"""

from __future__ import annotations

import ctypes
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from conditioned import IMAGE, KIND, TRANSLATES, YEAR, model, write
from safetensors.numpy import load_file, save_file

from charloom.text import catalog

TEXT = "".join(f"The fog comes on little cat feet {n}\n" for n in range(400))
ANY = "…"  # in a message: whatever stands there


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as document:
        document.writestr("word/document.xml", "<w:document/>")
    return packed.getvalue()


FILES = {
    "text.txt": TEXT.encode(),
    "empty.txt": b"",
    "white.txt": b"\n \n",
    "short.txt": b"The fog comes on",
    "same.txt": b"a" * 5000,
    "binary.txt": b"abc\0\1\2" * 300,
    "essay.docx": zipped(),
    "essay.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"x" * 300,
    "latin.txt": ("Der Bär läuft über die Straße, schön müde.\n" * 200).encode("latin-1"),
    "items.csv": b"title,body\n" + b"a fine day,it was a fine day\n" * 300,
    "items.jsonl": b'{"text": "a fine day"}\n' * 5 + b'{"text": "broken\n',
    "same.csv": b"text,kind,rare,none\n" + b"".join(b"a fine day %d,x,%d,\n" % (n, n) for n in range(99)),
    "blank.csv": b"text,kind\n,a\n ,b\n",
    "arrays.jsonl": b'{"text": "a fine day", "image": [1, 2]}\n{"text": "it pours", "image": [1]}\n',
    "nan.jsonl": b'{"text": "a fine day", "image": [1, NaN]}\n' * 9,
    "odd.toml": b"[train]\nminutes = \n",
}


def drop(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def reshape(run: Path) -> None:
    weights = load_file(run / "model.safetensors")
    weights["output.bias"] = np.zeros(3, np.float32)
    weights["layers.0.weight_hidden"] = np.zeros((99, 99), np.float32)
    save_file(weights, run / "model.safetensors")


def poison(run: Path) -> None:
    weights = load_file(run / "model.safetensors")
    weights["output.bias"][0] = np.nan
    save_file(weights, run / "model.safetensors")


def cut(run: Path) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def age(run: Path) -> None:
    path = run / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "format": 99}), encoding="utf-8")


def garble(run: Path) -> None:
    (run / "vocab.json").write_text("{ no JSON", encoding="utf-8")


def change_text(run: Path) -> None:
    path = run / "config.toml"
    path.write_text(path.read_text("utf-8").replace("verse.txt", "text.txt"), encoding="utf-8")
    (run.parent / "verse.txt").write_bytes(FILES["text.txt"])


CONDITIONED = {
    "label": model((KIND,)),
    "kinds": model((KIND, YEAR)),
    "image": model((IMAGE,)),
    "pairs": model((), TRANSLATES),
}  # of random weights, by the folder that they are put in


@dataclass(frozen=True)
class Case:
    """When it happens (the test's name too), what was typed, what must be said, with which exit code.

    `run` is a trained run in the folder, changed by `damage`; `text.txt` and the other `FILES` lie there.
    """

    when: str
    typed: str
    says: str
    code: int = 1
    damage: Callable[[Path], object] = lambda run: None
    environment: dict[str, str] = field(default_factory=dict)


TINY = "--steps 2 --hidden 4"
CASES = [
    Case(
        "a file that is not there",
        f"train missing.txt {TINY}",
        "missing.txt: there is no such file or folder, nor a corpus of that name; "
        "`charloom data list` names the corpora there are",
    ),
    Case(
        "an unknown corpus name",
        f"train tinyshakespear {TINY}",
        "tinyshakespear: there is no such file or folder, nor a corpus of that name; "
        "did you mean tinyshakespeare?",
    ),
    Case("an empty file", f"train empty.txt {TINY}", "empty.txt: is empty; give a file with text in it"),
    Case(
        "nothing but white space",
        f"train white.txt {TINY}",
        "white.txt: 3 characters leave nothing for validation; give more text, or --fractions 100/0/0 "
        "to hold nothing out",
    ),
    Case(
        "a text shorter than a window",
        f"train short.txt {TINY} --fractions 100/0/0",
        "the training text has 17 characters, but a window needs 65; use more text or a smaller "
        "--set train.window",
    ),
    Case(
        "a text shorter than its lanes",
        f"train text.txt {TINY} --set train.lanes=20000",
        f"the training text has {ANY} characters, too few for 20000 lanes; use fewer",
    ),
    Case(
        "one single distinct character",
        f"train same.txt {TINY}",
        "same.txt: the training text is nothing but 'a'; give a text with more than one character in it",
    ),
    Case(
        "binary data",
        f"train binary.txt {TINY}",
        "binary.txt: byte 3 is NUL, so this is binary data, not text; give a text, or try --unit byte",
    ),
    Case(
        "a Word document",
        f"train essay.docx {TINY}",
        "essay.docx: this is a .docx, .odt, .epub or another zipped document; save it as plain text (.txt) "
        "first",
    ),
    Case(
        "a PDF",
        f"train essay.pdf {TINY}",
        "essay.pdf: this is a PDF; save it as plain text (.txt) first",
    ),
    Case(
        "a wrong encoding",
        f"train latin.txt {TINY}",
        "latin.txt: byte 5 is not UTF-8; try --encoding cp1252",
    ),
    Case(
        "an unknown encoding",
        f"train text.txt {TINY} --encoding utf8000",
        "encoding: there is none called 'utf8000'; utf-8, latin-1, cp1252 are some",
        2,
    ),
    Case(
        "a label that is the same in every row",
        f"train same.csv --condition kind {TINY}",
        "same.csv: kind is 'x' in every row; leave it out",
    ),
    Case(
        "a label that hardly two rows share",
        f"train same.csv --condition rare {TINY}",
        "same.csv: rare has … values in 99 rows, and a condition is what many rows share; leave it out, "
        "or name it as --text or --source",
    ),
    Case(
        "a label that is missing everywhere",
        f"train same.csv --condition none {TINY}",
        "same.csv: none is empty in every row to train on; leave it out",
    ),
    Case(
        "rows without text",
        f"train blank.csv --condition kind {TINY}",
        "blank.csv: is empty; give a file with text in it",
    ),
    Case(
        "arrays of differing length",
        f"train arrays.jsonl --condition image {TINY}",
        "arrays.jsonl: image of row 2 has 1 numbers, those before it 2; mend the row",
    ),
    Case(
        "an array with NaN",
        f"train nan.jsonl --condition image {TINY}",
        "nan.jsonl: image of row 1 holds NaN or infinity; mend the row",
    ),
    Case(
        "a condition for a text that is no table",
        f"train text.txt --condition kind {TINY}",
        "text.txt: is no table, so it has no columns; leave out the columns' names",
        2,
    ),
    Case(
        "a condition for a model without one",
        "sample run --condition Sports",
        "condition: the model was trained without any; leave it out",
        2,
    ),
    Case(
        "an unknown value of a condition",
        "sample kinds --condition kind=eve,year=2003",
        "condition kind: the model knows no 'eve'; did you mean even?",
        2,
    ),
    Case(
        "an unknown condition",
        "sample kinds --condition kin=even,year=2003",
        "condition kin: the model has none of this name; did you mean kind?",
        2,
    ),
    Case(
        "a bare value for several conditions",
        "sample kinds --condition even",
        "condition even: there are kind, year; say which, as kind=even",
        2,
    ),
    Case(
        "an unknown condition to go through",
        "sample label --condition kind=odd --each colour",
        "--each colour: the model has no labels of this name; there are kind",
        2,
    ),
    Case(
        "an array file that is none",
        "sample image --condition-array text.txt",
        "text.txt: is no .npy of numbers (…); save it with numpy.save",
        2,
    ),
    Case(
        "an array of another size",
        "sample image --condition-array long.npy",
        "condition image: 5 numbers were given; it takes 4",
        2,
    ),
    Case(
        "a model that translates, and no source",
        "sample pairs",
        "the model writes what belongs to a source; give one, as --source TEXT",
        2,
    ),
    Case(
        "a source for a model that does not translate",
        "sample run --source uno",
        "source: the model was not trained to translate; leave it out",
        2,
    ),
    Case(
        "classification by a model without labels",
        "classify run text.txt",
        "classify: the model has no labels; train with --condition COLUMN",
        2,
    ),
    Case(
        "a table and no column named",
        f"train items.csv {TINY}",
        "items.csv: which column is the text? There are title, body; say --text NAME",
    ),
    Case(
        "a table without the column",
        f"train items.csv {TINY} --text story",
        "items.csv: there is no column 'story'; there are title, body",
    ),
    Case(
        "a broken line of JSON",
        f"train items.jsonl {TINY}",
        f"items.jsonl: line 6 is no JSON ({ANY}); mend the line",
    ),
    Case(
        "fractions that do not sum to 100",
        f"train text.txt {TINY} --fractions 90/20/5",
        "fractions: 90/20/5 are not three percentages that sum to 100, such as 90/5/5",
        2,
    ),
    Case(
        "two budgets",
        "train text.txt --minutes 1 --steps 3",
        "minutes and steps are given; a run has one budget, so choose one of them",
        2,
    ),
    Case(
        "a budget of nothing",
        "train text.txt --minutes 0",
        "Invalid value for '--minutes': 0.0 is not in the range x>0; see charloom train --help",
        2,
    ),
    Case(
        "an unknown preset",
        "train text.txt --preset tony",
        "preset 'tony' is not known; choose one of auto, lesson, tiny, small, base, large",
        2,
    ),
    Case(
        "an unknown setting",
        "train text.txt --set train.rat=1",
        "--set train.rat: [train] has no key 'rat'; did you mean 'rate'?",
        2,
    ),
    Case(
        "an unknown setting in the environment",
        "train text.txt",
        "CHARLOOM_TRAIN_MINUTE: [train] has no key 'minute'; did you mean 'minutes'?",
        2,
        environment={"CHARLOOM_TRAIN_MINUTE": "1"},
    ),
    Case(
        "a settings file that is no TOML",
        "train text.txt --config odd.toml",
        f"odd.toml: not valid TOML ({ANY})",
        2,
    ),
    Case(
        "an option that does not exist",
        "train text.txt --hiden 4",
        f"No such option '--hiden'{ANY}; see charloom train --help",
        2,
    ),
    Case("a command that does not exist", "trian", "No such command 'trian'; see charloom --help", 2),
    Case(
        "an --out that exists",
        f"train text.txt {TINY} --out run",
        "run: exists; choose another --out, or --overwrite it, or --resume it",
    ),
    Case(
        "an --out that exists and is no run, to be overwritten",
        f"train text.txt {TINY} --out text.txt --overwrite",
        "text.txt: exists and is no run, so it is not overwritten; choose another --out",
    ),
    Case(
        "an --out below a file",
        f"train text.txt {TINY} --out text.txt/run",
        f"text.txt/run: cannot be made ({ANY} is a file); choose another --out",
    ),
    Case(
        "--overwrite and no --out",
        "train text.txt --overwrite",
        "--overwrite replaces the run at --out; say which",
        2,
    ),
    Case(
        "a run to resume that is not there",
        "train --resume nothing",
        "nothing: there is no such run (it would hold config.toml); look into runs/",
    ),
    Case(
        "a run resumed with other settings",
        "train --resume run --hidden 8",
        "--resume goes on with a run as it was started; leave --hidden out",
        2,
    ),
    Case(
        "a temperature below zero",
        "sample run --temperature -1",
        "temperature is -1.0; it takes a number from 0 to 100 (0 is greedy)",
        2,
    ),
    Case(
        "a temperature that is no number",
        "sample run --temperature nan",
        "temperature is nan; it takes a number from 0 to 100 (0 is greedy)",
        2,
    ),
    Case(
        "an enormous temperature",
        "sample run --temperature 0.5,1e9",
        "temperature is 1000000000.0; it takes a number from 0 to 100 (0 is greedy)",
        2,
    ),
    Case(
        "temperatures that are no numbers",
        "sample run --temperature hot",
        "--temperature hot: it takes numbers with commas between, such as 0.5,1.0",
        2,
    ),
    Case(
        "a length of 0",
        "sample run --length 0",
        "length is 0; it takes a whole number of at least 1 (it counts characters)",
        2,
    ),
    Case(
        "a prompt file that is not UTF-8",
        "sample run --prompt-file latin.txt",
        "latin.txt: cannot be read (byte 5 is not UTF-8; save it as UTF-8)",
        2,
    ),
    Case(
        "two prompts",
        "sample run --prompt a --prompt-file text.txt",
        "--prompt and --prompt-file exclude each other; leave one out",
        2,
    ),
    Case(
        "a model that is not there",
        "sample nothing",
        "nothing: there is no such model folder; charloom train makes one",
    ),
    Case(
        "no model named and none trained",
        "sample",
        "no MODEL was named and runs/ holds none; charloom train makes one",
    ),
    Case(
        "a model folder with a file missing",
        "sample run",
        "run/vocab.json: the file is missing; this is not a whole charloom model",
        damage=drop("vocab.json"),
    ),
    Case(
        "a model whose weights have wrong shapes",
        "sample run",
        f"run/model.safetensors: {ANY} is F32 {ANY}, not F32 {ANY}; the file is damaged",
        damage=reshape,
    ),
    Case(
        "a model with NaN among its weights",
        "sample run",
        "run/model.safetensors: output.bias holds NaN or infinity; train or copy the model again",
        damage=poison,
    ),
    Case(
        "a model file that was cut off",
        "sample run",
        f"run/model.safetensors: {ANY} bytes cannot hold {ANY} parameters; the file is truncated",
        damage=cut,
    ),
    Case(
        "a vocabulary that is no JSON",
        "sample run",
        f"run/vocab.json: not valid JSON ({ANY}); train or copy the model again",
        damage=garble,
    ),
    Case(
        "a model of a future version",
        "sample run",
        "run: model format 99 is newer than this charloom reads (1); upgrade charloom",
        damage=age,
    ),
    Case(
        "a part that is empty",
        "eval run --part validation",
        "run: its validation part is empty (fractions 90/0/10); name another --part or a FILE",
    ),
    Case(
        "a part of a FILE",
        "eval run text.txt --part test",
        "a FILE is scored whole, so it has no --part; leave one of them out",
        2,
    ),
    Case(
        "a text that has changed since training",
        "eval run",
        "verse: has changed since run was trained on it, so nobody can tell what was held out from it; "
        "restore that text, or name a FILE to score",
        damage=lambda run: (run.parent / "verse.txt").write_bytes(FILES["text.txt"]),
    ),
    Case(
        "a text that is gone since training",
        "eval run",
        "verse.txt: run was trained on it, and it is not here any more; go back to that folder, or name a "
        "FILE to score",
        damage=lambda run: (run.parent / "verse.txt").unlink(),
    ),
    Case(
        "a model folder that is no run",
        "eval run",
        "run: has no config.toml, which says what it was trained on; name a FILE to score",
        damage=drop("config.toml"),
    ),
    Case(
        "a file of keys that holds none",
        "serve run --api-key-file empty.txt",
        "empty.txt: it holds no key; write one a line",
        2,
    ),
    Case(
        "a limit of nothing",
        "serve run --set serve.tokens=0",
        "tokens is 0; it takes a whole number of at least 1",
        2,
    ),
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


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def matches(says: str, line: str) -> bool:
    return re.fullmatch(re.escape(f"charloom: {says}").replace(re.escape(ANY), ".*"), line) is not None


@pytest.fixture
def folder(tmp_path: Path, trained: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    shutil.copytree(trained, tmp_path / "run")
    for name, made in CONDITIONED.items():
        write(tmp_path / name, made)
    np.save(tmp_path / "long.npy", np.arange(5))
    shutil.copy(trained.parent / "verse.txt", tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.when)
def test_it_is_told_on_one_line_and_nothing_is_lost(charloom, folder: Path, case: Case) -> None:
    case.damage(folder / "run")
    before = tree(folder)
    found = charloom(*case.typed.split(), **case.environment)
    assert found.code == case.code
    lines = found.err.splitlines()
    assert len(lines) == 1, found.err
    assert matches(case.says, lines[0]), lines[0]
    assert found.out == ""
    assert tree(folder) == before
    assert not (folder / "runs").exists()


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
        thread = threading.Thread(target=serving.serve_forever)
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
        [sys.executable, "-c", code], capture_output=True, env=environment, encoding="utf-8", timeout=60
    )
    assert found.returncode == 1, found.stderr
    (line,) = found.stderr.splitlines()
    assert matches(says.replace("http:", server), line), line
    assert tree(tmp_path) == {}
    assert catalog.known("tinyshakespeare")


def without_override() -> None:
    """Root may write anywhere: give that up (Linux: CAP_DAC_OVERRIDE leaves the bounding set)."""
    ctypes.CDLL(None).prctl(24, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="how root gives up its rights is Linux's")
def test_a_read_only_folder(folder: Path) -> None:
    locked = folder / "locked"
    locked.mkdir(mode=0o555)
    found = subprocess.run(
        [sys.executable, "-m", "charloom", "train", "text.txt", *TINY.split(), "--out", "locked/run"],
        capture_output=True,
        cwd=folder,
        preexec_fn=without_override,
        encoding="utf-8",
        timeout=60,
    )
    assert found.returncode == 1
    assert matches(
        f"locked/run: cannot be made ({folder}/locked is read-only); choose another --out",
        found.stderr.strip(),
    )
    assert list(locked.iterdir()) == []


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
        timeout=60,
    )
    assert found.returncode == 1
    assert "cannot be written (File too large)" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert (folder / "run" / "checkpoints" / "step-30" / "sums.json").is_file()
    assert subprocess.run([sys.executable, "-m", "charloom", "info", "run"], cwd=folder).returncode == 0


def test_a_source_of_100_000_characters_is_read_and_told(charloom, folder: Path) -> None:
    config = json.loads((folder / "pairs" / "config.json").read_text("utf-8"))
    config["provenance"]["longest_source"] = 60
    (folder / "pairs" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = charloom("sample", "pairs", "--source", "a tale " * 14_285 + "12345", "--length", "9")
    assert found.code == 0
    assert "the source has 100,000 characters, and the longest learned 60; what comes of it" in found.err


def test_a_condition_that_is_not_given_is_told(charloom, folder: Path) -> None:
    found = charloom("sample", "kinds", "--condition", "year=2003", "--length", "9")
    assert found.code == 0
    assert "charloom: kind not given, so the text may be of any" in found.err.splitlines()


def test_accents_and_emoji_under_a_foreign_code_page(charloom, folder: Path) -> None:
    prompt = "Äß é 日本 🙂 "
    (folder / "prompt.txt").write_text(prompt, encoding="utf-8")
    page = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    by_flag = charloom("sample", "run", "--prompt", prompt, "--length", "30", **page)
    by_file = charloom("sample", "run", "--prompt-file", "prompt.txt", "--length", "30", **page)
    by_pipe = charloom(
        "sample", "run", "--prompt-file", "-", "--length", "30", input=prompt.encode("utf-8"), **page
    )
    assert by_flag.code == by_file.code == by_pipe.code == 0
    assert by_flag.out.startswith(prompt)
    assert by_flag.out == by_file.out == by_pipe.out
    told = charloom("train", "日本🙂.txt", **page)
    assert told.err.startswith("charloom: 日本🙂.txt: there is no such file")


def test_a_prompt_of_characters_never_seen_is_read_as_bytes(charloom, folder: Path) -> None:
    found = charloom("sample", "run", "--prompt", "Ωμέγα", "--length", "10", "--json")
    assert found.code == 0
    sample = json.loads(found.out)
    assert sample["prompt"] == "Ωμέγα"
    assert sample["characters"] == len(sample["text"])
