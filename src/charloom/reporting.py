"""Everything that is known of a run, gathered for its report."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any

from charloom import run as runs
from charloom._version import __version__
from charloom.errors import CharloomError, DataError, MissingExtraError, in_shell
from charloom.insight import baselines as ground
from charloom.insight import diversity, evaluation, novelty, page
from charloom.insight.advice import advice
from charloom.insight.calibration import calibration
from charloom.insight.extremes import extremes, in_pieces
from charloom.insight.paired import Paired, paired
from charloom.insight.report import Measured, Report
from charloom.insight.score import score
from charloom.insight.units import hidden_units
from charloom.model import folder
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.passages import Passages
from charloom.runtime.sample import Given
from charloom.system.files import replace_file
from charloom.text.parts import Part
from charloom.text.vocabulary import Vocabulary
from charloom.verdict import Text, own_text

MACHINE = "machine.json"
READ = 2**15  # characters of held-out text: half an hour of reading aloud, under a second of reading here
COUNTED = 2**20  # characters at the end of the training text that the baselines see: seconds, not a minute
CALIBRATED = 2**13
UNITS_READ = 6000  # enough for a correlation
PAIRED = 2**17
TEXTS = 32  # written at each temperature
LENGTH = 300  # of each: the lesson's
SHOWN = 4  # passages of each kind
FULL = 2**20  # parameters up to which all of that is done; larger networks get less, and take no longer
FEWEST_PLACES = 50  # where it is tried whether a text is recited
FEWEST = 12  # texts at each temperature: fewer would tell too little
Progress = Callable[[str, float | None], None]


def held_out(path: Path, model: Model) -> Text:
    """What the run at `path` was not trained on: its test part, or its validation part where that is empty.

    Raises DataError where it has neither, or its text is gone, ModelError where the folder is no run.
    """
    try:
        return own_text(path, model, "test")
    except DataError:
        return own_text(path, model, "validation")


def compared(
    first: Generator,
    second: Generator,
    text: Text,
    names: tuple[str, str],
    limit: int | None = None,
    *,
    exact: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> Paired:
    """Compare two models on a text, or its first `limit` characters, read as `evaluate` reads it."""
    texts = _beginning(text.part, limit or text.part.characters)
    sources = _sources(text.part, texts, first)
    return paired(first, second, texts, names, sources, exact=exact, progress=progress)


def finished(run: Path) -> Path:
    """At the end of training: note the machine, and write the page of what is known by then, in a second."""
    replace_file(run / MACHINE, json.dumps(_machine(), indent=1).encode("utf-8"))
    report = known(run)
    report = replace(report, missing=[f"charloom report {in_shell(run)} completes this page."])
    return written([report], [], run / runs.PAGE)


def written(reports: Sequence[Report], verdicts: Sequence[Paired], path: Path) -> Path:
    """Write the page of one run, or of several side by side. Raises RunError, MissingExtraError."""
    text = page.one(reports[0]) if len(reports) == 1 else page.several(reports, verdicts)
    replace_file(path, text.encode("utf-8", "backslashreplace"))
    return path


def known(run: Path) -> Report:
    """What the run's folder says without reading any text. Raises RunError where it is no run."""
    settings = runs.config_of(run).read_text("utf-8")
    model = folder.read(run)
    config, metrics = model.config, runs.records(run / runs.METRICS)
    trained = metrics[-1] if metrics else {}
    kept = run / MACHINE
    machine = json.loads(kept.read_text("utf-8")) if kept.is_file() else _machine()
    parameters = config.parameters(len(model.vocabulary))
    facts = {
        "Text": ", ".join(each["name"] for each in model.provenance.get("corpora", ())),
        "Network": f"{config.layers} × {config.cell.upper()} of {config.hidden}, {parameters:,} parameters",
        "Vocabulary": f"{len(model.vocabulary)} {model.vocabulary.unit}s and specials",
        "Trained": f"{trained.get('step', 0):,} steps, {trained.get('characters', 0):,} characters, "
        f"{trained.get('seconds', 0) / 60:.1f} minutes",
        **machine,
    }
    return Report(
        name=str(run),
        facts=facts,
        settings=settings,
        metrics=metrics,
        samples=runs.records(run / runs.SAMPLES),
    )


def gathered(run: Path, generator: Generator, progress: Progress = lambda doing, share: None) -> Report:
    """All that a report tells of a run. What cannot be measured is missing there, with the reason."""
    report = known(run)
    model = generator.model
    try:
        text = held_out(run, model)
    except DataError as error:
        try:
            text = own_text(run, model, "train")
        except CharloomError:
            return replace(report, missing=[f"{error}."])
    missing: list[str] = []
    measured = _measured(generator, text, missing, progress)
    return replace(report, measured=measured, missing=missing)


def verdicts(models: Sequence[tuple[str, Generator]]) -> list[Paired]:
    """Each of the runs against the first one, on what that held out; those that cannot are left out."""
    if len(models) < 2:
        return []
    name, first = models[0]
    try:
        text = held_out(Path(name), first.model)
    except DataError:
        return []
    return [
        compared(first, other, text, (name, own), PAIRED)
        for own, other in models[1:]
        if _shares_split(first.model, other.model)
    ]


def _shares_split(first: Model, second: Model) -> bool:
    """Whether what the one held out was held out from the other, too."""
    keys = ("corpora", "split", "documents")
    return all(first.provenance.get(key) == second.provenance.get(key) for key in keys)


def _measured(generator: Generator, text: Text, missing: list[str], progress: Progress) -> Measured:
    vocabulary = generator.model.vocabulary
    assert text.train is not None
    whole = text.part.documents is None
    share = min(1.0, FULL / generator.model.parameters)
    limit, count = round(share * READ), max(FEWEST, round(share * TEXTS))
    real, read = _beginning(text.part, READ), _beginning(text.part, limit)
    sources = _sources(text.part, real, generator)
    of_each = sources or repeat("")
    progress("reading held-out text", 0.1)
    found = evaluation.evaluate(generator, text.part, limit=limit)
    on_training = evaluation.carried(generator, text.train, limit=limit)
    scored = in_pieces(generator, read[0]) if whole else score(generator, read, source=sources or "")
    hardest, easiest = extremes(scored, SHOWN)
    calibrated = calibration(generator, _beginning(text.part, round(share * CALIBRATED)), of_each)
    progress("counting for the baselines", 0.2)
    beside = ground.baselines(text.train.end(COUNTED), text.part, vocabulary, limit=limit)
    progress("writing at each temperature", 0.4)
    between = _between(vocabulary)
    if whole or vocabulary.bos is None:
        given, truth, more = _continued(real, count, between)
    else:
        given, truth, more = _begun(real, of_each, count)
    texts = diversity.write_at(generator, given, LENGTH, diversity.TEMPERATURES)
    pairs = zip(diversity.TEMPERATURES, texts, strict=True)
    tried = [diversity.diversity(temperature, written, truth) for temperature, written in pairs]
    recommendation = diversity.recommend(tried, truth, more)
    progress("looking for copies", 0.6)
    copied = copied_real = recited = recited_real = None
    try:
        passages = Passages.of(text.train)
    except MissingExtraError as error:
        missing.append(f"{error}.")
    else:
        if vocabulary.bos is not None:  # held-out prompts would lead it astray
            given = [replace(each, prompt="") for each in given]
        samples = diversity.write(generator, given, LENGTH, temperature=1.0, seed=1)
        copied = novelty.copied((each.text for each in samples), passages)
        places = max(FEWEST_PLACES, round(share * novelty.PLACES))
        trained = _beginning(text.train, COUNTED)
        recited = novelty.recited(
            generator, trained, places, _sources(text.train, trained, generator) or repeat("")
        )
        if not text.seen:
            lengths = [each.characters for each in samples]
            copied_real = novelty.copied(_matched(real, lengths, between), passages)
            recited_real = novelty.recited(generator, real, places, of_each)
    progress("looking at hidden units", 0.8)
    units = None
    if sources:
        missing.append("Its units are not looked at: they read a source before each text.")
    else:
        units = hidden_units(generator, between.join(real), round(share * UNITS_READ))
    return Measured(
        text=text.name,
        seen=text.seen,
        evaluation=found,
        baselines=beside,
        advice=[] if text.seen else advice(found.carried, on_training.nats, beside),
        calibration=calibrated,
        hardest=hardest,
        easiest=easiest,
        temperatures=tried,
        recommendation=recommendation,
        copied=copied,
        copied_real=copied_real,
        recited=recited,
        recited_real=recited_real,
        units=units,
    )


def _beginning(part: Part, characters: int) -> list[str]:
    """The first `characters` of a part: one text, or documents."""

    def cut() -> Iterator[str]:
        left = characters
        for text in part.blocks():
            yield text[:left]
            left -= len(text)
            if left <= 0:
                return

    return ["".join(cut())] if part.documents is None else list(cut())


def _sources(part: Part, texts: list[str], generator: Generator) -> list[str]:
    """Those of the part's first documents, `texts`; none where the model reads none."""
    return [] if generator.model.vocabulary.sep is None else list(part.sources(len(texts)))


def _between(vocabulary: Vocabulary) -> str:
    """What may stand between texts that are read as one: a line end, if the model can read it."""
    readable = vocabulary.unit == "byte" or vocabulary.byte is not None or "\n" in vocabulary.places
    return "\n" if readable else ""


def _begun(real: list[str], sources: Iterable[str], count: int) -> tuple[list[Given], list[str], list[str]]:
    """What documents begin with, their texts, and as much of other real text."""
    pairs = ((text[:LENGTH], source) for text, source in zip(real, sources, strict=False) if text)
    found = list(islice(pairs, 2 * count))
    given = [Given(source=found[2 * k % len(found)][1]) for k in range(count)]
    return given, [text for text, _ in found[::2]], [text for text, _ in found[1::2]]


def _continued(real: list[str], count: int, between: str) -> tuple[list[Given], list[str], list[str]]:
    """Beginnings of pieces of real text as prompts, what it goes on with, and as much of other real text."""
    sizes = [novelty.PREFIX + LENGTH] * (2 * count)
    pieces = [piece for piece in _matched(real, sizes, between) if len(piece) > novelty.PREFIX]
    pieces = pieces or novelty.pieces(between.join(real), sizes)
    after = [piece[novelty.PREFIX :] for piece in pieces]
    return [Given(piece[: novelty.PREFIX]) for piece in pieces[::2]], after[::2], after[1::2]


def _matched(real: list[str], lengths: Sequence[int], between: str) -> list[str]:
    """Pieces of real text of these lengths; documents where there are enough, for they begin alike."""
    if len(real) >= len(lengths):
        return [text[:length] for text, length in zip(real, lengths, strict=False)]
    return novelty.pieces(between.join(real), lengths)


def _machine() -> dict[str, Any]:
    versions = [f"charloom {__version__}", f"Python {platform.python_version()}"]
    for package in ("torch", "numpy"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "Machine": f"{platform.system()}, {os.cpu_count()} × {_processor()}",
        "Versions": ", ".join(versions),
    }


def _processor() -> str:
    """Its name where the system tells it, else its kind."""
    told = Path("/proc/cpuinfo")  # Linux
    lines = told.read_text("utf-8", "replace").splitlines() if told.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
