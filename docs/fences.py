"""Runs every fenced command of README.md and docs/, each page in a folder of its own.

    python docs/fences.py [PAGE]...

Budgets and sizes are cut down, so that a page takes seconds. What cannot run here is named in
`CANNOT_RUN`, with the reason, and printed.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).parent
PAGES = (HERE.parent / "README.md", *sorted(HERE.glob("*.md")), *sorted(HERE.glob("guides/*.md")))
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
CANNOT_RUN = {  # how a command begins: why not
    "make ": "installs; .ci/run does it",
    "git clone": "needs the network",
    "pip ": "installs; tests/test_packaging.py does it",
    "python -m pip": "installs; tests/test_packaging.py does it",
    "python benchmarks/": "takes minutes; make bench does it",
    "python docs/": "writes this very site; tests/docs does it",
    "tail -f": "has no end; tests/cli/test_score.py feeds a pipe line by line",
    "torchrun": "starts processes of its own; tests/training/test_ranks.py does it",
    "curl": "needs the server; tests/server does it",
    "docker": "needs docker",
    "tensorboard": "has no end",
    "charloom serve": "has no end; tests/server starts it",
    "charloom play": "asks; tests/cli/test_play.py answers",
    "charloom train huge.txt --device cuda": "there may be no such card",
}
ALONE = "charloom"  # asks, as play does
SMALL = (  # what is typed for minutes becomes seconds
    (re.compile(r"--(minutes|steps|epochs) \S+"), "--steps 3"),
    (re.compile(r"--hidden \S+"), "--hidden 8"),
    (re.compile(r"-n \d{3,}"), "-n 12"),
    (re.compile(r"--layers \S+"), "--layers 1"),
)
STORY = "Once there was a cat that sat on a mat. It saw a rat, and that was that.\n"


class Fence(NamedTuple):
    """A block of a page: its language, its text, and the line on which it begins."""

    language: str
    text: str
    line: int


def fences(page: str) -> Iterator[Fence]:
    """All fenced blocks of a page, in order."""
    for found in FENCE.finditer(page):
        text = "\n".join(line.removeprefix(found[1]) for line in found[3].splitlines())
        yield Fence(found[2], text, page[: found.start()].count("\n") + 1)


def commands(fence: Fence) -> list[str]:
    """The commands of a shell block, comments and prompts left out."""
    lines = fence.text.replace("\\\n", " ").splitlines() if fence.language in ("sh", "bash") else []
    return [line.strip().removeprefix("$ ") for line in lines if line.strip() and line.strip()[0] != "#"]


def why_not(command: str) -> str:
    """The reason why a command cannot run here, or nothing."""
    if shlex.split(command, comments=True) == [ALONE]:
        return "asks; tests/cli answers"
    return next((reason for begins, reason in CANNOT_RUN.items() if command.startswith(begins)), "")


def small(command: str) -> list[str]:
    """A charloom command's arguments, cut down."""
    for pattern, instead in SMALL:
        command = pattern.sub(instead, command)
    words = shlex.split(command, comments=True)[1:]
    if words[0] in ("train", "compare") and "--steps" not in words:
        words += ["--steps", "3"]
    if words[0] == "train" and not {"--hidden", "--resume", "--from", "--config"} & set(words):
        words += ["--hidden", "8"]
    return words


def material(folder: Path) -> None:
    """The files that pages speak of."""
    book = STORY * 300
    (folder / "src").mkdir()
    code = "".join(f"def f{k}(x):\n    return x + {k}\n\n\n" for k in range(300))
    items = "".join(f"{k},title {k},the story of number {k},{('sport', 'news')[k % 2]}\n" for k in range(300))
    image = [float(k % 7) for k in range(64)]
    turned = [image[k % 3 :] + image[: k % 3] for k in range(200)]
    digits = "".join(json.dumps({"caption": f"number {k}", "image": turned[k]}) + "\n" for k in range(200))
    news = "title,description,class\n" + "".join(
        f"title {k},what happened on day {k},{('Sports', 'World')[k % 2]}\n" for k in range(300)
    )
    captions = "text,language\n" + "".join(
        f"number {k},{('English', 'Spanish')[k % 2]}\n" for k in range(200)
    )
    np.savez(folder / "captions.npz", image=np.array(turned, np.float32))
    np.save(folder / "digit.npy", np.array(image, np.float32))
    words = ("cero", "uno", "dos", "tres", "cuarenta y dos")
    texts = {
        "book.txt": book, "other.txt": book[:5000], "huge.txt": book, "src/code.py": code,
        "names.txt": "".join(f"Name{k:x}\n" for k in range(500)), "new.txt": STORY * 3,
        "scene.txt": STORY * 40,
        "poems.txt": "\n\n".join(f"roses are {k}\nviolets are blue" for k in range(300)),
        "day.log": "".join(f"12:00:{k % 60:02} host job {k} done\n" for k in range(6000)),
        "new.log": "12:00:01 host job 7 done\n12:00:02 host PANIC\n",
        "articles.csv": "id,title,body,section\n" + items, "lines.txt": STORY,
        "new.csv": news, "news.csv": news,
        "captions.csv": captions,
        "pairs.tsv": "".join(f"{words[k % 5]} {k}\tword {k}\n" for k in range(300)),
        "digits.jsonl": digits,
        "numbers.tsv": "es\ten\n" + "".join(f"{words[k % 5]} {k}\tword {k}\n" for k in range(300)),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    (folder / "huge.txt.gz").write_bytes(gzip.compress(book.encode()))
    run(folder, ["train", "book.txt", "--steps", "3", "--hidden", "8"])
    shutil.copytree(folder / "runs" / "book", folder / "runs" / "book-2")


def run(folder: Path, words: list[str]) -> str:
    """A charloom command in this process, in `folder`: what it printed. Raises RuntimeError if it fails."""
    from charloom.cli import main

    told = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            main(words)
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"charloom {shlex.join(words)}: {told.getvalue()[-500:]}") from ended
    return told.getvalue()


def follow(page: Path, folder: Path) -> list[str]:
    """Run a page in `folder`, where `material` lies; the commands that could not run, with the reasons."""
    left = []
    for fence in fences(page.read_text("utf-8")):
        for command in commands(fence):
            if reason := why_not(command):
                left.append(f"{page.name}:{fence.line}: {command} ({reason})")
                continue
            if not command.startswith("charloom "):
                raise RuntimeError(f"{page.name}:{fence.line}: {command}: run it, or name it in CANNOT_RUN")
            for name in re.findall(r"\bruns/[\w-]+", command):
                if not (folder / name).exists():
                    shutil.copytree(folder / "runs" / "book", folder / name)
            run(folder, small(command))
        if fence.language == "python" and "import charloom" not in fence.text:
            left.append(f"{page.name}:{fence.line}: an excerpt, or a client of the server")
        elif fence.language == "python":
            code = re.sub(r"(minutes|steps)=[\d.]+", "steps=3, hidden=8", fence.text)
            with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
                exec(compile(code, f"{page.name}:{fence.line}", "exec"), {"__name__": "__main__"})
    return left


def main(pages: list[Path]) -> None:
    """Run the pages, and name what could not."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "material"
        made.mkdir()
        material(made)
        for page in pages:
            folder = Path(name) / "page"
            shutil.copytree(made, folder)
            for line in follow(page, folder):
                print(f"not run: {line}")
            print(f"ran {page.name}")
            shutil.rmtree(folder)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or list(PAGES))
