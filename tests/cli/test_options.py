"""Every option has an effect: two invocations that differ in it alone must not do the same.

`EFFECTS` names, for every option of every command, the arguments without it and with it. An option that
is missing here fails the first test; the table of flags in docs/commands.md is made from the same.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest

import conditioned
from charloom.cli import group

TIMES = re.compile(r'"(seconds|reason|path)": [^,}]+|\d+:\d\d|^(on|run) .*|seconds = .*', re.MULTILINE)


@dataclass(frozen=True)
class Effect:
    """What is typed without the option and with it; `where` the difference must show: out, err or a file.

    `fed` comes through standard input.
    """

    without: str
    with_it: str
    where: str = "out"
    fed: str = ""


ANEW = "train text.txt --steps 2 --out new"
TRAIN = f"{ANEW} --hidden 4"
TABLE = "train items.csv --text title --steps 2 --hidden 4 --out new"
COMPARE = "compare text.txt --steps 2 --hidden 4"
WRITE = "sample run --length 60 --ignore-eos"
TEXT, SETTINGS = "new/vocab.json", "new/config.toml"

EFFECTS: Mapping[str, Mapping[str, Effect]] = {
    "": {"--debug": Effect("sample nothing", "--debug sample nothing", "err")},
    "train": {
        "--out": Effect("train text.txt --steps 2 --hidden 4", TRAIN, SETTINGS),
        "--minutes": Effect(TRAIN, "train text.txt --minutes 0.005 --hidden 4 --out new", SETTINGS),
        "--epochs": Effect(TRAIN, "train text.txt --epochs 2 --hidden 4 --out new", SETTINGS),
        "--steps": Effect(TRAIN, "train text.txt --steps 3 --hidden 4 --out new", SETTINGS),
        "--preset": Effect(TRAIN, f"{TRAIN} --preset large --layers 1", SETTINGS),
        "--cell": Effect(TRAIN, f"{TRAIN} --cell gru", "new/config.json"),
        "--layers": Effect(TRAIN, f"{TRAIN} --layers 2", "new/config.json"),
        "--hidden": Effect(TRAIN, f"{TRAIN} --hidden 5", "new/config.json"),
        "--documents": Effect(TRAIN, f"{TRAIN} --documents line", "new/config.json"),
        "--unit": Effect(TRAIN, f"{TRAIN} --unit byte", TEXT),
        "--text": Effect(TABLE, TABLE.replace("title", "body"), TEXT),
        "--condition": Effect(TABLE, f"{TABLE} --condition kind", "new/config.json"),
        "--source": Effect(TABLE, f"{TABLE} --source body", TEXT),
        "--delimiter": Effect(
            TABLE.replace("title", "0"), f"{TABLE.replace('title', '0')} --delimiter ^", TEXT
        ),
        "--fractions": Effect(TRAIN, f"{TRAIN} --fractions 50/25/25", "new/config.json"),
        "--validation": Effect(TRAIN, f"{TRAIN} --validation other.txt", "new/metrics.jsonl"),
        "--encoding": Effect(
            "train latin.txt --encoding cp437 --steps 2 --hidden 4 --out new",
            "train latin.txt --encoding latin-1 --steps 2 --hidden 4 --out new",
            TEXT,
        ),
        "--normalize": Effect(
            "train accents.txt --steps 2 --hidden 4 --out new",
            "train accents.txt --normalize none --steps 2 --hidden 4 --out new",
            TEXT,
        ),
        "--from": Effect(
            "train text.txt --steps 2 --out new", "train text.txt --steps 2 --out new --from run", SETTINGS
        ),
        "--resume": Effect(
            "train text.txt --steps 2 --hidden 4", "train --resume run --steps 2", "run/metrics.jsonl"
        ),
        "--overwrite": Effect(
            "train text.txt --steps 2 --hidden 4 --out run",
            "train text.txt --steps 2 --hidden 4 --out run --overwrite",
            "run/config.json",
        ),
        "--config": Effect(TRAIN, f"{TRAIN} --config settings.toml", SETTINGS),
        "--set": Effect(TRAIN, f"{TRAIN} --set train.rate=0.001", SETTINGS),
        "--device": Effect(TRAIN, f"{TRAIN} --device cpu", SETTINGS),
        "--seed": Effect(TRAIN, f"{TRAIN} --seed 1", "new/model.safetensors"),
        "--tensorboard": Effect(TRAIN, f"{TRAIN} --tensorboard", "err"),
        "--json": Effect(TRAIN, f"{TRAIN} --json"),
    },
    "sample": {
        "--prompt": Effect(WRITE, f"{WRITE} --prompt cats"),
        "--prompt-file": Effect(WRITE, f"{WRITE} --prompt-file prompt.txt"),
        "-n": Effect(WRITE, f"{WRITE} -n 2"),
        "--length": Effect(WRITE, f"{WRITE} --length 61"),
        "--temperature": Effect(WRITE, f"{WRITE} --temperature 0.4"),
        "--greedy": Effect(WRITE, f"{WRITE} --greedy"),
        "--top-k": Effect(WRITE, f"{WRITE} --top-k 2"),
        "--top-p": Effect(WRITE, f"{WRITE} --top-p 0.3"),
        "--min-p": Effect(WRITE, f"{WRITE} --min-p 0.5"),
        "--no-repeat": Effect(f"{WRITE} --greedy", f"{WRITE} --greedy --no-repeat 2"),
        "--stop": Effect(WRITE, f"{WRITE} --stop o --stop e"),
        "--ban": Effect(WRITE, f"{WRITE} --ban eot"),
        "--only": Effect(WRITE, f"{WRITE} --only cats"),
        "--match": Effect(WRITE, f"{WRITE} --match [a-c]{{20}}"),
        "--best-of": Effect(WRITE, f"{WRITE} --best-of 4"),
        "--ignore-eos": Effect("sample run --length 500", "sample run --length 500 --ignore-eos"),
        "--precision": Effect(f"{WRITE} --length 2000", f"{WRITE} --length 2000 --precision int8"),
        "--seed": Effect(WRITE, f"{WRITE} --seed 1"),
        "--condition": Effect("sample kinds", "sample kinds --condition kind=even,year=2004"),
        "--strength": Effect(
            "sample kinds --condition kind=even", "sample kinds --condition kind=even --strength 9"
        ),
        "--each": Effect("sample kinds", "sample kinds --each year"),
        "--condition-array": Effect("sample image", "sample image --condition-array image.npy"),
        "--source": Effect("sample pairs --source tale", "sample pairs --source rain"),
        "--unique": Effect("sample run --length 1 -n 400", "sample run --length 1 -n 400 --unique"),
        "--novel": Effect("sample run --greedy", "sample run --greedy --novel 4"),
        "--out": Effect(WRITE, f"{WRITE} --out texts.csv", "texts.csv"),
        "--json": Effect(WRITE, f"{WRITE} --json"),
    },
    "play": {
        "--temperature": Effect("play run", "play run --temperature 0", fed="\n/text\n"),
        "--seed": Effect("play run", "play run --seed 1", fed="\n/text\n"),
        "--file": Effect("play run", "play run --file mine.txt", "mine.txt", fed="\n/text\n"),
    },
    "eval": {
        "--part": Effect("eval run", "eval run --part train"),
        "--text": Effect("eval label items.csv --text title", "eval label items.csv --text body"),
        "--encoding": Effect("eval run latin.txt --encoding cp437", "eval run latin.txt --encoding latin-1"),
        "--against": Effect("eval run", "eval run --against run"),
        "--limit": Effect("eval run", "eval run --limit 300"),
        "--exact": Effect("eval run", "eval run --exact"),
        "--dynamic": Effect("eval run --limit 300", "eval run --limit 300 --dynamic"),
        "--json": Effect("eval run", "eval run --json"),
    },
    "score": {
        "--documents": Effect("score run other.txt", "score run other.txt --documents whole"),
        "--sort": Effect("score run other.txt", "score run other.txt --sort"),
        "--above": Effect("score run other.txt", "score run other.txt --above 20"),
        "--text": Effect("score run items.csv --text title", "score run items.csv --text body"),
        "--encoding": Effect("score run latin.txt", "score run latin.txt --encoding latin-1"),
        "--condition": Effect("score kinds other.txt", "score kinds other.txt --condition kind=even"),
        "--condition-array": Effect(
            "score image other.txt", "score image other.txt --condition-array image.npy"
        ),
        "--source": Effect("score pairs other.txt --source tale", "score pairs other.txt --source rain"),
        "--html": Effect("score run other.txt", "score run other.txt --html page.html", "page.html"),
        "--json": Effect("score run other.txt", "score run other.txt --json"),
    },
    "classify": {
        "--text": Effect("classify label items.csv", "classify label items.csv --text title,body"),
        "--encoding": Effect("classify label latin.txt", "classify label latin.txt --encoding latin-1"),
        "--condition": Effect("classify label other.txt", "classify kinds other.txt --condition year"),
        "--json": Effect("classify label other.txt", "classify label other.txt --json"),
    },
    "report": {
        "--out": Effect("report run", "report run --out mine.html", "mine.html"),
        "--json": Effect("report run", "report run --json"),
    },
    "compare": {
        "--cells": Effect(COMPARE, f"{COMPARE} --cells rnn", "compare/comparison.svg"),
        "--layers": Effect(COMPARE, f"{COMPARE} --layers 2", "compare/comparison.svg"),
        "--hidden": Effect(COMPARE, COMPARE.replace("--hidden 4", "--hidden 5"), "compare/comparison.svg"),
        "--seeds": Effect(COMPARE, f"{COMPARE} --seeds 2", "compare/lstm-1x4-seed1/result.json"),
        "--minutes": Effect(
            COMPARE, COMPARE.replace("--steps 2", "--minutes 0.005"), "compare/comparison.json"
        ),
        "--steps": Effect(COMPARE, COMPARE.replace("--steps 2", "--steps 3"), "compare/comparison.json"),
        "--out": Effect(COMPARE, f"{COMPARE} --out other", "other/comparison.json"),
        "--set": Effect(COMPARE, f"{COMPARE} --set train.rate=0.001", "compare/comparison.json"),
        "--json": Effect(COMPARE, f"{COMPARE} --json"),
    },
    "export": {
        "--to": Effect("export run --to html", "export run --to js"),
        "--precision": Effect("export run --to html", "export run --to html --precision int8"),
        "--out": Effect("export run --to html", "export run --to html --out page.html", "page.html"),
        "--json": Effect("export run --to html", "export run --to html --json"),
    },
    "data list": {"--json": Effect("data list", "data list --json")},
    "data fetch": {"--json": Effect("data fetch python-docs", "data fetch python-docs --json")},
    "data cache": {
        "--clear": Effect("data cache", "data cache --clear"),
        "--json": Effect("data cache", "data cache --json"),
    },
    "data inspect": {
        "--documents": Effect("data inspect text.txt", "data inspect text.txt --documents line"),
        "--unit": Effect("data inspect latin.txt --encoding latin-1", "data inspect latin.txt --unit byte"),
        "--text": Effect("data inspect items.csv --text title", "data inspect items.csv --text body"),
        "--condition": Effect(
            "data inspect items.csv --text title", "data inspect items.csv --text title --condition kind"
        ),
        "--source": Effect(
            "data inspect items.csv --text title", "data inspect items.csv --text title --source body"
        ),
        "--delimiter": Effect(
            "data inspect items.csv --text 0", "data inspect items.csv --text 0 --delimiter ^"
        ),
        "--fractions": Effect("data inspect text.txt", "data inspect text.txt --fractions 50/25/25"),
        "--validation": Effect("data inspect text.txt", "data inspect text.txt --validation other.txt"),
        "--encoding": Effect(
            "data inspect latin.txt --encoding cp437", "data inspect latin.txt --encoding cp1252"
        ),
        "--normalize": Effect("data inspect accents.txt", "data inspect accents.txt --normalize none"),
        "--json": Effect("data inspect text.txt", "data inspect text.txt --json"),
    },
    "info": {"--json": Effect("info run", "info run --json")},
}

ELSEWHERE = {"serve": Path(__file__).parents[1] / "server" / "test_flags.py"}
"""Commands that go on until they are stopped; that file tests each of their flags."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command of mine that does something, by its words."""
    yield "", group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {child}", found) for child, found in command.commands.items())
        elif command is not None:
            yield name, command


def options(command: click.Command) -> list[click.Option]:
    """What can be given to it, but for help and version, which click itself tests."""
    found = [param for param in command.params if isinstance(param, click.Option)]
    return [option for option in found if option.name not in ("help", "version")]


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda value: str(value) or "charloom")
def test_no_option_is_without_an_entry(name: str, command: click.Command) -> None:
    if name not in ELSEWHERE:
        assert {option.opts[0] for option in options(command)} == set(EFFECTS.get(name, {}))


@pytest.fixture(scope="module")
def _seen() -> dict[str, dict[str, str]]:
    """What a command did: many options are held against the same one."""
    return {}


@pytest.fixture
def did(quick, tmp_path: Path, trained: Path, _seen: dict[str, dict[str, str]]):
    def lay(folder: Path) -> None:
        folder.mkdir()
        lines = "".join(f"the fog comes on little cat feet {n}\n" for n in range(400))
        (folder / "text.txt").write_text(lines, encoding="utf-8")
        (folder / "other.txt").write_text(lines[::-1], encoding="utf-8")
        (folder / "accents.txt").write_text(lines + "cafe\u0301 caf\u00e9\r\n" * 300, encoding="utf-8")
        (folder / "latin.txt").write_bytes((lines + "schön müde\n" * 300).encode("latin-1"))
        (folder / "items.csv").write_text(
            "title,body,kind\n" + "".join(f"a fine day {n},it pours {n},k{n % 3}\n" for n in range(300)),
            encoding="utf-8",
        )
        conditioned.lay(folder)
        np.save(folder / "image.npy", np.arange(4.0))
        (folder / "prompt.txt").write_text("The fog", encoding="utf-8")
        (folder / "settings.toml").write_text("[model]\nembedding = 7\n", encoding="utf-8")
        shutil.copytree(trained, folder / "run")
        shutil.copy(trained.parent / "verse.txt", folder)

    def run(typed: str, monkeypatch: pytest.MonkeyPatch, fed: str = "") -> dict[str, str]:
        if typed not in _seen:
            folder = tmp_path / str(len(_seen))
            lay(folder)
            monkeypatch.chdir(folder)
            found = quick(*typed.split(), input=fed.encode())
            files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
            _seen[typed] = {
                "out": TIMES.sub("", found.out),
                "err": found.err,
                **{name: TIMES.sub("", path.read_bytes().decode("latin-1")) for name, path in files.items()},
            }
        return _seen[typed]

    return run


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for command, effects in EFFECTS.items() for option in effects],
    ids=lambda word: word.replace(" ", "-") or "charloom",
)
def test_an_option_has_an_effect(did, command: str, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    effect = EFFECTS[command][option]
    assert option in effect.with_it.split()
    without, with_it = (did(typed, monkeypatch, effect.fed) for typed in (effect.without, effect.with_it))
    assert effect.where in with_it, with_it["err"]
    assert without.get(effect.where) != with_it[effect.where]
    assert "internal error" not in with_it["err"]


def test_lines_that_end_in_blanks_are_told(quick, tmp_path: Path) -> None:
    (tmp_path / "sayings.txt").write_text("".join(f"Saying {n}. \n" for n in range(400)), encoding="utf-8")
    found = quick("train", "sayings.txt", "--steps", "2", "--hidden", "4")
    assert "100% of its lines end in a blank, which is learned too" in found.out
    assert "100% of its lines end in a blank" in quick("data", "inspect", "sayings.txt").out
    told = "charloom: its text's lines end in a blank, for which --match has no room, so they may not end; "
    shaped = ["sample", "runs/sayings", "--length", "20", "--match"]
    assert quick(*shaped, "S.*\\.").err == f"{told}write ' ?' after it\n"
    assert quick(*shaped, "S.*\\. ?").err == ""


def test_json_is_json(did, monkeypatch: pytest.MonkeyPatch) -> None:
    for command, effects in EFFECTS.items():
        if "--json" in effects:
            lines = did(effects["--json"].with_it, monkeypatch)["out"].splitlines()
            assert lines, command
    for line in did("info run --json", monkeypatch)["out"].splitlines():
        assert json.loads(line)["cell"] == "lstm"
