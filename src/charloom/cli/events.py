"""What `train` tells: plain lines for a log, JSON for programs; `live` is the view in a terminal."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import click

from charloom import api
from charloom.character_model import beginning, record
from charloom.cli.given import escaped
from charloom.errors import in_shell
from charloom.run import PAGE, finite
from charloom.runtime.sample import Sample
from charloom.text.condition import Condition
from charloom.text.corpus import Corpus
from charloom.training import events as happened

CUTS = {
    "whole": "one whole text",
    "line": "a document a line",
    "blank": "documents between empty lines",
    "file": "a document a file",
    "row": "a document a row",
}
VALUES = 8  # of a label that are told
SHOWN = 60  # characters of a source that are
ENDS = {
    "budget": "Done",
    "patience": "Stopped early, since nothing got better,",
    "interrupted": "Interrupted",
    "terminated": "Terminated",
    "hangup": "Terminal closed: ended",
    "output closed": "Output closed: ended",
}


class Lines:
    """JSON, a line each; `event` is start, plan, eval, sample, checkpoint, done, rollback or warning."""

    def __enter__(self) -> Lines:
        self._run = ""
        self._parameters = 0
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def take(self, event: Any) -> None:
        """Print what programs want to know."""
        found: dict[str, Any] | None = None
        match event:
            case api.Prepared():
                self._run = str(event.run)
                self._parameters = event.model.parameters(len(event.corpus.vocabulary))
            case happened.Started():
                found = {"event": "start", "run": self._run, **vars(event)}
            case happened.Planned():
                found = {"event": "plan", **vars(event)}
            case happened.Evaluated():
                found = {"event": "eval", **vars(event)}
            case api.Sampled():
                found = {"event": "sample", "step": event.step, **record(event.sample)}
            case happened.Saved():
                found = {"event": "checkpoint", "step": event.step, "path": str(event.path)}
            case happened.Warned():
                found = {"event": "warning", **vars(event)}
            case happened.RolledBack():
                found = {"event": "rollback", **vars(event)}
            case happened.Finished():
                found = {"event": "done", "run": self._run, "parameters": self._parameters, **vars(event)}
        if found:
            click.echo(json.dumps({key: finite(value) for key, value in found.items()}))


class Plain:
    """Lines for a log."""

    def __enter__(self) -> Plain:
        self._run = self._writing = ""
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def take(self, event: Any) -> None:
        """Print a line, or some, or none."""
        match event:
            case api.Prepared():
                self._run, self._writing = str(event.run), writing(event)
                for label, text in described(event):
                    click.echo(f"{label:<8}{text}")
            case happened.Started():
                click.echo("{:<8}{}".format(*placed(event)))
            case api.Sampled():
                click.echo("".join(f"        | {line}\n" for line in written(event.sample)), nl=False)
            case happened.Finished():
                for line in ended(event, self._run, self._writing):
                    click.echo(line)
            case _:
                if line := told(event):
                    click.echo(line)


def described(event: api.Prepared) -> list[tuple[str, str]]:
    """What is trained on what, each line with its label."""
    corpus, model = event.corpus, event.model
    lines = [("text", f"{corpus.name}: {corpus.train.characters:,} characters to train on")]
    held = [(corpus.validation.characters, "validate"), (corpus.test.characters, "test")]
    if parts := [f"{size:,} to {purpose} with" for size, purpose in held if size]:
        lines.append(("", f"held out, never trained on: {' and '.join(parts)}"))
    if corpus.guess:
        lines.append(("", f"read as {CUTS[corpus.documents]} ({corpus.guess}); else say --documents"))
    for found in corpus.provenance["corpora"]:
        if skipped := found.get("skipped"):
            lines.append(
                ("", f"{skipped:,} files of {found['name']} left out; charloom data inspect says why")
            )
    lines += [("", text) for text in [*of_table(corpus), *blanks(corpus)]]
    given = list(map(told_of, model.conditions))
    given += ["a source for each text"] if corpus.vocabulary.sep is not None else []
    lines += [("" if number else "given", text) for number, text in enumerate(given)]
    parameters = f"{model.parameters(len(corpus.vocabulary)):,} parameters"
    lines.append(("model", f"{model.cell} {model.layers} × {model.hidden}, {parameters}"))
    for key, reason in event.reasons.items():
        section, _, name = key.partition(".")
        value = getattr(event.model if section == "model" else event.train, name)
        lines.append(("", f"{name} {value}: {reason}"))
    return [*lines, ("run", str(event.run))]


def of_table(corpus: Corpus) -> list[str]:
    """Return how the rows of a table were read, in lines."""
    lines = []
    if delimiter := corpus.provenance.get("delimiter"):
        spelled = "tabs" if delimiter == "\t" else repr(delimiter)
        lines.append(f"columns separated by {spelled}; else say --delimiter")
    if blank := corpus.provenance.get("without_text"):
        lines.append(f"{blank:,} {'row has' if blank == 1 else 'rows have'} no text, left out")
    return lines


def blanks(corpus: Corpus) -> list[str]:
    """What to know of a text whose lines end in blanks: a line, or none."""
    share = corpus.provenance.get("blank_ends")
    told = "of its lines end in a blank, which is learned too; take them out first, or let --match end in one"
    return [f"{share:.0%} {told}"] if share else []


def told_of(condition: Condition) -> str:
    """What a condition may be."""
    if condition.kind == "array":
        return f"{condition.name}: {condition.size:,} numbers"
    more = len(condition.values) - VALUES
    shown = ", ".join(condition.values[:VALUES]) + (f" and {more:,} more" if more > 0 else "")
    return f"{condition.name}: {shown}"


def written(sample: Sample) -> list[str]:
    """The lines of a text, after what was given of it."""
    given = [f"{name} {value}" for name, value in sample.condition.items()]
    given += [sample.source] if sample.source else []
    text = sample.prompt + sample.text
    return (f"{', '.join(given)}: {text}" if given else text).splitlines()


def placed(event: happened.Started) -> tuple[str, str]:
    """Where it is trained, with its label."""
    threads = f", {event.threads} threads" if event.device == "cpu" else ""
    steps = f", {event.steps:,} steps" if event.steps else ""
    return "on", f"{event.device}{threads}{steps}, in {event.precision}: {event.reason}"


def told(event: Any) -> str:
    """An event in words, or nothing."""
    match event:
        case happened.Evaluated():
            return (
                f"step {event.step:>7,}  {clock(event.seconds):>6}  loss {number(event.loss)}  "
                f"held out {number(event.nats)} nats, {number(event.nats / math.log(2))} bits"
                + ("  best so far" if event.best else "")
            )
        case happened.Warned():
            return f"note: {event.message}"
        case happened.RolledBack():
            return f"the loss exploded: back to step {event.step:,}, at {event.share:g} of the rate"
    return ""


def writing(event: api.Prepared) -> str:
    """A command that writes with the model: what it cannot begin without is given."""
    vocabulary, corpus = event.corpus.vocabulary, event.corpus
    given = ""
    if vocabulary.sep is not None:
        given = f" --source {shlex.quote(escaped(' '.join(next(corpus.shown.sources(1)).split())[:SHOWN]))}"
    elif vocabulary.bos is None:
        given = f" --prompt {shlex.quote(escaped(beginning(vocabulary)))}"
    return f"charloom sample {in_shell(event.run)}{given}"


def ended(event: happened.Finished, run: str, writing: str) -> list[str]:
    """How it went, how good it is, and what to do with it: `writing` is a command that writes."""
    best = "no score on held-out text, so the last weights are kept"
    if math.isfinite(event.best_nats):
        bits = event.best_nats / math.log(2)
        best = f"best at step {event.best_step:,}: {event.best_nats:.3f} nats, {bits:.3f} bits a character"
    stopped = event.reason not in ("budget", "patience")
    page = Path(run) / PAGE  # without matplotlib there is none
    shown = [f"curves and samples in {page}; to measure the rest: charloom report {in_shell(run)}"]
    return [
        f"{ENDS[event.reason]} after {clock(event.seconds)}, {event.step:,} steps, "
        f"{event.characters:,} characters",
        best,
        f"kept in {run}; to go on: charloom train --resume {in_shell(run)}"
        if stopped
        else f"kept in {run}; to write with it: {writing}",
        *(shown if page.is_file() else []),
    ]


def stopped(event: happened.Finished, run: str) -> str:
    """Return one line on a run that was ended early: why, when, where it is saved and how to resume it."""
    resume = f"charloom train --resume {in_shell(run)}"
    return f"{event.reason} at step {event.step:,}; saved to {run}; to resume: {resume}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def number(value: float) -> str:
    """Three decimals, or a dash where there is no number yet."""
    return f"{value:.3f}" if math.isfinite(value) else "–"
