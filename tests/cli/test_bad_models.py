"""Bad models and runs: told on one line, with what mends it, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bad_input import ANY, FILES, Case, age, check, cut, drop, garble, in_runs, poison, reshape, sampling

CASES = [
    Case(
        "a model that is not there",
        "sample nothing",
        "nothing: there is no such model folder; charloom train makes one",
    ),
    Case(
        "a model folder that is mistyped",
        "sample runs/bok",
        "runs/bok: there is no such model folder; did you mean runs/book?",
        damage=in_runs,
    ),
    Case(
        "a model to compare with that is mistyped",
        "eval run --against Ru",
        "Ru: there is no such model folder; did you mean run?",
    ),
    Case(
        "a file for a model",
        "sample text.txt",
        "text.txt: is a file, not a model folder; charloom train makes one",
    ),
    Case(
        "the weights for their folder",
        "train text.txt --from run/model.safetensors",
        "run/model.safetensors: is a file, not a model folder; did you mean run?",
    ),
    Case(
        "the folder of the runs for a run",
        "info runs",
        "runs: is not a model folder; did you mean runs/book?",
        damage=in_runs,
    ),
    Case(
        "a file and no model to score it",
        "score text.txt",
        "text.txt: is a file, not a model folder; name the model first: charloom score MODEL text.txt",
        2,
    ),
    Case(
        "a file and no model to evaluate it",
        "eval text.txt",
        "text.txt: is a file, not a model folder; name the model first: charloom eval MODEL text.txt",
        2,
    ),
    Case(
        "a file and no model to classify it",
        "classify text.txt",
        "text.txt: is a file, not a model folder; name the model first: charloom classify MODEL text.txt",
        2,
    ),
    Case(
        "a run to resume that is mistyped",
        "train --resume rum",
        "rum: there is no such run (it would hold config.toml); did you mean run?",
    ),
    Case(
        "a run called by its name alone",
        "sample book",
        "book: there is no such model folder; did you mean runs/book?",
        damage=in_runs,
    ),
    Case(
        "the same to be resumed",
        "train --resume book",
        "book: there is no such run (it would hold config.toml); did you mean runs/book?",
        damage=in_runs,
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
        "an unknown key among the sampling settings",
        "sample run",
        "run/generation.json: there is no option 'temprature'; did you mean 'temperature'?",
        damage=sampling(temprature=0.8),
    ),
    Case(
        "a sampling setting of a wrong type",
        "info run",
        "run/generation.json: temperature is '0.8'; it takes a number from 0 to 100 (0 is greedy)",
        damage=sampling(temperature="0.8"),
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
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.when)
def test_it_is_told_on_one_line_and_nothing_is_lost(either, folder: Path, case: Case) -> None:
    check(either, folder, case)
