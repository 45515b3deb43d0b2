"""Bad input for the real command: what lies in its folder, what was typed, and what must be told."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

import conditioned

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
    "items.json": b'[{"text": "a fine day"},\n',
    "tweets.csv": b"tweet\nI like it\nI like it, really\n",
    "quote.tsv": b'text\nI like it\n"I like it\n' + b"and so on\n" * 99,
    "same.csv": b"text,kind,rare,void\n" + b"".join(b"a fine day %d,x,%d,\n" % (n, n) for n in range(99)),
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


def sampling(**values: Any) -> Callable[[Path], object]:
    return lambda run: (run / "generation.json").write_text(json.dumps(values), encoding="utf-8")


def garble(run: Path) -> None:
    (run / "vocab.json").write_text("{ no JSON", encoding="utf-8")


def in_runs(run: Path) -> None:
    shutil.copytree(run, run.parent / "runs" / "book")


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


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def matches(says: str, line: str) -> bool:
    return re.fullmatch(re.escape(f"charloom: {says}").replace(re.escape(ANY), ".*"), line) is not None


def lay(folder: Path, trained: Path) -> None:
    """Put everything that is typed about into a folder."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    shutil.copytree(trained, folder / "run")
    conditioned.lay(folder)
    np.save(folder / "long.npy", np.arange(5))
    shutil.copy(trained.parent / "verse.txt", folder)


def check(charloom: Callable[..., Any], folder: Path, case: Case) -> None:
    """It is told on one line, and nothing is lost."""
    case.damage(folder / "run")
    before = tree(folder)
    found = charloom(*case.typed.split(), **case.environment)
    assert found.code == case.code, found.err
    lines = found.err.splitlines()
    assert len(lines) == 1, found.err
    assert matches(case.says, lines[0]), lines[0]
    assert found.out == ""
    assert tree(folder) == before, "a file was changed"
    assert "runs" in {Path(name).parts[0] for name in before} or not (folder / "runs").exists()
