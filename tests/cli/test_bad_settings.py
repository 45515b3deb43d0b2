"""Bad settings, flags and prompts: told on one line, with what mends it, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bad_input import ANY, TINY, Case, check

CASES = [
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
        "preset 'tony' is not known; did you mean 'tiny'?",
        2,
    ),
    Case(
        "a regular expression that is cut off",
        "sample run --match ([",
        "match '([': unterminated character set at character 2; "
        "write signs of its syntax as in \\( to mean themselves",
        2,
    ),
    Case(
        "a regular expression that looks ahead",
        "sample run --match a(?=b)",
        "match: '(?=' at character 2: lookahead and lookbehind are not supported; describe the whole text",
        2,
    ),
    Case(
        "a regular expression of a million states",
        "sample run --match ((a{99}){99}){99}",
        "match: the expression needs 970,300 states, and may have 20,000; shorten its repetitions",
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
        "No such option '--hiden'; did you mean --hidden?",
        2,
    ),
    Case(
        "a long option with one dash",
        "sample run -length 5",
        "No such option '-length'; did you mean --length?",
        2,
    ),
    Case("a command that does not exist", "trian", "No such command 'trian'; did you mean train?", 2),
    Case("a subcommand that does not exist", "data lst", "No such command 'lst'; did you mean list?", 2),
    Case(
        "a text in the place of a command",
        "text.txt",
        "No such command 'text.txt'; did you mean train text.txt?",
        2,
    ),
    Case("a command like none", "xyz", "No such command 'xyz'; see charloom --help", 2),
    Case(
        "more texts than can be counted",
        "sample run -n 99999999999999999999 --out new.csv",
        f"Invalid value for '-n': {ANY} is out of range; it takes a whole number from 1 to 2,147,483,647; "
        "see charloom sample --help",
        2,
    ),
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
        "a page in the place of a text",
        "report run --out text.txt",
        "text.txt: exists and does not end in .html; choose another --out",
        2,
    ),
    Case(
        "an export in the place of a text",
        "export run --to onnx --out text.txt",
        "text.txt: exists and does not end in .onnx; choose another --out",
        2,
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
        "a temperature with a decimal comma",
        "sample run --temperature 0,8",
        "--temperature 0,8: is one number or two; write 0.8, or 0.0,8.0",
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
        "latin.txt: byte 5 is not UTF-8; save it as UTF-8",
        2,
    ),
    Case(
        "an expression that breaks off",
        "sample run --match ([",
        f"match '([': unterminated character set at character 2; {ANY}",
        2,
    ),
    Case(
        "a page of scores in the place of the text",
        "score run text.txt --html text.txt",
        "text.txt: exists and does not end in .html; choose another --out",
        2,
    ),
    Case(
        "a threshold that is no number",
        "score run text.txt --above nan",
        "--above nan: it takes a number of bits, such as 20, or a percentile, such as p99.9",
        2,
    ),
    Case(
        "a web folder in the place of another",
        "export run --to js --out kinds",
        "kinds: is not empty, and no earlier export; choose another --out",
        2,
    ),
    Case(
        "a seed for play that is none",
        "play run --seed -1",
        f"seed is -1; it takes a whole number from 0 to {ANY}",
        2,
    ),
    Case(
        "cells to compare that do not exist",
        "compare text.txt --cells lstn --steps 1",
        "cell 'lstn' is not known; choose one of lstm, gru, rnn",
        2,
    ),
    Case(
        "two budgets to compare with",
        "compare text.txt --steps 1 --minutes 1",
        "minutes and steps are given; a run has one budget, so choose one of them",
        2,
    ),
    Case(
        "a setting that compare varies",
        "compare text.txt --steps 1 --set model.hidden=8",
        "--set model.hidden: compare varies it; use --hidden",
        2,
    ),
    Case(
        "a text to compare on that is not there",
        "compare missing.txt --steps 1",
        f"missing.txt: there is no such file{ANY}",
    ),
    Case(
        "two prompts",
        "sample run --prompt a --prompt-file text.txt",
        "--prompt and --prompt-file exclude each other; leave one out",
        2,
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
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.when)
def test_it_is_told_on_one_line_and_nothing_is_lost(either, folder: Path, case: Case) -> None:
    check(either, folder, case)


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
    assert (
        found.err == "charloom: the model has never met Ω μ έ γ α of the prompt, and reads bytes for them\n"
    )
