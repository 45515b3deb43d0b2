"""The joiner: what needs two rooms at once meets here. `train`, `load`, and the model they give."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Mapping
from collections.abc import Generator as Generating
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from charloom import finetuning
from charloom import job as jobs
from charloom import run as runs
from charloom import settings as settings_room
from charloom.character_model import CharacterModel, beginning, record
from charloom.errors import CharloomError, DataError, MissingExtraError, ModelError, RunError
from charloom.job import Job
from charloom.model import card, folder
from charloom.model.config import ModelConfig
from charloom.model.folder import Model, Weights
from charloom.model.growth import grown
from charloom.runtime.generator import Generator, Sample
from charloom.runtime.options import SamplerConfig
from charloom.settings import Settings
from charloom.system.files import link_target, replace_file
from charloom.text import corpus as corpus_room
from charloom.text.config import DOCUMENTS, Progress
from charloom.text.corpus import Corpus

if TYPE_CHECKING:
    from charloom.training.config import TrainConfig
    from charloom.training.events import Event
    from charloom.training.ranks import Ranks

MIN_CHARACTERS = 100  # of a training part: with fewer there is nothing to learn but the text itself
FEW_CHARACTERS = 2000  # below it a model can only memorize
ENOUGH_CHARACTERS = 100_000  # for new and readable text
SAMPLE_LENGTH = 200  # of the samples on the way: a few lines of a terminal


def load(path: str | Path, *, precision: str = "float32") -> CharacterModel:
    """The model in a folder. Raises ModelError for one that is missing, damaged, hostile or too new."""
    return CharacterModel(runs.model_of(Path(path)), Path(path), precision)


def train(
    *corpora: str | Path,
    out: str | Path | None = None,
    preset: str = "auto",
    overwrite: bool = False,
    on_event: Callable[[Any], None] = lambda event: None,
    on_read: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], str] = lambda: "",
    **options: Any,
) -> CharacterModel:
    """Train as `charloom.train` does, and show nothing.

    `on_read` is called while the text is read; `stop` may name a reason to end after any step.
    """
    flags: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        flags.setdefault(settings_room.section_of(name), {})[name] = value
    chosen = settings_room.resolve(preset=preset, corpus=map(str, corpora), flags=flags)
    path = None
    where = Path(out) if out is not None else None
    events = training(chosen, out=where, overwrite=overwrite, stop=stop, progress=on_read)
    with contextlib.closing(events):  # an error in on_event leaves a checkpoint, and no lock
        for event in events:
            if isinstance(event, Prepared):
                path = event.run
            on_event(event)
    assert path is not None
    return load(path)


@dataclass(frozen=True)
class Prepared:
    """The text is encoded, the run folder made, everything chosen; `reasons` by `section.key`."""

    run: Path
    corpus: Corpus
    model: ModelConfig
    train: TrainConfig
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class Sampled:
    """What the weights of `step` write."""

    step: int
    sample: Sample


def training(
    settings: Settings,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    resume: Path | None = None,
    more: bool = False,
    stdin: BinaryIO | None = None,
    stop: Callable[[], str] = lambda: "",
    progress: Callable[[Progress], None] = lambda _: None,
) -> Generating[Event | Prepared | Sampled, None, None]:
    """Prepare a text and train on it, yielding everything that happens; records go into the run folder.

    `stop` may name a reason to end after any step. With `resume` the settings are those that the run
    was started with, and it goes on from its newest whole checkpoint; with `more`, their budget comes on
    top of what was spent. Of many processes that torchrun starts, the first settles all of this for the
    others, and alone writes; started again, they go on with the run at `out`, or with the newest, towards
    the same end.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("training", "train")
    wanted = _Wanted(settings, out, overwrite, resume, more)
    job = jobs.here()
    with contextlib.ExitStack() as held:
        if job == Job():  # nobody started this process together with others
            yield from _training(wanted, job, None, stdin, stop, progress, held)
        else:
            from charloom.training.ranks import Ranks

            ranks = held.enter_context(Ranks(job).joined())
            wanted = _agreed(wanted, ranks)
            yield from _training(wanted, job, ranks, stdin, stop, progress, held)


@dataclass(frozen=True)
class _Wanted:
    """What `training` was asked for; `restarted` where processes were that are gone now."""

    settings: Settings
    out: Path | None
    overwrite: bool
    resume: Path | None
    more: bool
    restarted: bool = False


def _agreed(wanted: _Wanted, ranks: Ranks) -> _Wanted:
    """The same for all ranks, as the first says; what a job has left that torchrun starts again goes on."""
    out, restarted = wanted.out, ranks.total([ranks.job.restarts])[0] > 0  # each machine counts its own
    if restarted and ranks.leads and not wanted.resume:
        if resume := _left(out):
            settings = settings_room.resolve(file=resume / runs.CONFIG)
            wanted = replace(wanted, settings=settings, out=None, resume=resume, more=False)
        elif out is not None and out.exists():  # it had come to no checkpoint
            wanted = replace(wanted, overwrite=True)
    settings = wanted.settings
    preset, corpus, given, resumed, more = ranks.share(
        [settings.preset, settings.corpus, settings.given, str(wanted.resume or ""), wanted.more]
    )
    settings, found = Settings(preset, tuple(corpus), given), Path(resumed) if resumed else None
    return replace(wanted, settings=settings, resume=found, more=more, restarted=restarted)


def _left(out: Path | None) -> Path | None:
    """The run that processes which torchrun starts again have left, if it can go on."""
    with contextlib.suppress(ModelError):  # there is none
        run = out or runs.newest()
        return run if runs.has_checkpoint(run) else None
    return None


def _training(
    wanted: _Wanted,
    job: Job,
    ranks: Ranks | None,
    stdin: BinaryIO | None,
    stop: Callable[[], str],
    progress: Callable[[Progress], None],
    held: contextlib.ExitStack,
) -> Generating[Event | Prepared | Sampled, None, None]:
    """`training`, once the ranks agree; torch is loaded when the text has been read."""
    settings, resume, more, leads = wanted.settings, wanted.resume, wanted.more, job.leads
    out = link_target(wanted.out) if wanted.out else None
    for section in settings_room.SECTIONS:  # a value out of its range is told before a long text is read
        settings.build(section)
    if out and leads:
        runs.check(out, overwrite=wanted.overwrite)
    if resume and leads:
        held.enter_context(runs.held(resume))
    start = str(settings.values("train").get("start") or "")
    begun = runs.model_of(resume or Path(start)) if resume or start else None
    goes_on = begun and start  # from another model's weights
    if begun and goes_on:
        settings = finetuning.sized(settings, begun)
    data = settings.build("data")
    lesson = settings.preset == "lesson"

    def prepared() -> Corpus:
        return corpus_room.prepare(
            settings.corpus,
            data,
            specials=bool(begun.vocabulary.specials) if begun else not lesson,
            vocabulary=begun.vocabulary if begun and goes_on else None,
            grows=not resume,
            stdin=stdin,
            progress=progress,
        )

    corpus = ranks.one_first(prepared) if ranks else prepared()
    characters = corpus.train.characters
    if characters < MIN_CHARACTERS and not resume:
        raise DataError(
            f"{corpus.name}: its training part has {characters} characters, too few to learn from; at least "
            f"{MIN_CHARACTERS} are needed, and {ENOUGH_CHARACTERS:,} for readable text"
        )
    from charloom import reporting, verdict
    from charloom.training import auto, checkpoint, layout
    from charloom.training.events import Evaluated, Finished, SampleDue, Warned
    from charloom.training.loop import Trainer
    from charloom.training.ranks import Ranks

    ranks = ranks or Ranks()
    ranks.require_same("text", corpus.provenance["corpora"])
    if resume and begun and leads:
        verdict.require_same(resume, begun, corpus)
    train_config = settings.build("train")
    choice = auto.Choice({}, {})
    if leads and not lesson and not resume:
        choice = auto.choose(corpus, train_config, _known(settings))
    choice = auto.Choice(*ranks.share([choice.values, choice.reasons]))
    model_config = settings.build("model", choice.values.get("model"))
    train_config = settings.build("train", choice.values.get("train"))
    if layout.name(corpus, train_config) == "documents":
        model_config = replace(model_config, conditions=corpus.conditions)
    sampling = settings.build("sample")
    if corpus.documents in DOCUMENTS:  # else there was no choice: rows of a table, many files
        data = replace(data, documents=corpus.documents)
    new = not resume and leads
    run = resume or (runs.draft(out) if leads else Path())
    in_place = new and run.parent == out  # an empty folder was given
    if new and runs.MOVABLE:
        held.enter_context(runs.held(run))
    reasons = settings_room.reasons(run / runs.CONFIG) if resume and leads else choice.reasons
    warnings: list[str] = []
    if characters < FEW_CHARACTERS and not resume:
        warnings.append(
            f"{corpus.name} is short: {characters:,} characters to train on, which a model memorizes; "
            f"{ENOUGH_CHARACTERS:,} or more give new and readable text"
        )

    def write_settings() -> None:
        resolved = {"data": data, "model": model_config, "train": trainer.resolved(), "sample": sampling}
        replace_file(run / runs.CONFIG, settings_room.write(settings, resolved, reasons))

    try:
        weights = grown(begun, model_config, corpus.vocabulary) if begun and not resume else None
        trainer = Trainer(corpus, model_config, train_config, run, weights=weights, stop=stop, ranks=ranks)
        if resume:
            found, passed = checkpoint.latest(run) if leads else (None, [])
            if found is None and leads:
                raise RunError(
                    f"{run}: no whole checkpoint to resume from; {'; '.join(passed) or 'train it anew'}"
                )
            found = checkpoint.shared(found, ranks)
            if wanted.restarted and found.facts.get("job") == job.name:
                more = False  # what this job wrote has it already
            warnings += passed + trainer.restore(found, more=more)
            if found.facts["finished"] and not more:
                warnings.append(f"{run}: its budget is spent; --minutes 10 trains ten more")
            if leads:
                runs.trim(run, found.step)
        elif leads:
            provenance = {**corpus.provenance, **(finetuning.told(settings, begun) if begun else {})}
            folder.create(
                run,
                config=model_config,
                vocabulary=corpus.vocabulary,
                card=card.write(model_config, corpus.vocabulary, provenance),
                sampling={key: getattr(sampling, key) for key in settings_room.SAMPLE_KEYS},
                provenance=provenance,
            )
            write_settings()
            nothing = {"step": 0, "nats": None, "characters": 0}
            folder.write_weights(run, trainer.network.to_weights(), nothing)
            existed = out is not None and out.exists() and not in_place
            run = runs.publish(run, out, corpus.name, overwrite=wanted.overwrite)
            new = not existed
            if not runs.MOVABLE:
                held.enter_context(runs.held(run))
        run = trainer.run = Path(ranks.share(str(run)))
        yield Prepared(run, corpus, model_config, train_config, choice.reasons)
        yield from map(Warned, warnings)
        if leads:
            _warm(model_config, corpus)
        for event in held.enter_context(contextlib.closing(trainer.train())):
            new = False
            if not leads:
                yield event
                continue
            if isinstance(event, SampleDue):
                sample = _draw(model_config, corpus, event.weights, train_config.seed, event.step)
                runs.append(run / runs.SAMPLES, {"step": event.step, **record(sample)})
                yield Sampled(event.step, sample)
                continue
            if isinstance(event, Evaluated):
                metrics = {key: runs.finite(value) for key, value in asdict(event).items()}
                runs.append(run / runs.METRICS, metrics)
            if isinstance(event, Finished):
                if event.reason in ("budget", "patience"):
                    write_settings()
                try:
                    reporting.finished(run)
                except CharloomError as error:  # the model is kept; a page of it can be made any time
                    yield Warned(f"no page of its curves and samples: {error}")
            yield event
    except BaseException:
        if new:  # it came to nothing
            runs.discard(run, keep_folder=in_place and run == out)
        raise


def _known(settings: Settings) -> dict[str, dict[str, Any]]:
    """What the user or the preset has fixed, so that `auto` leaves it alone."""
    return {section: settings.values(section) for section in ("model", "train")}


def _draw(config: ModelConfig, corpus: Corpus, weights: Weights, seed: int, step: int = 0) -> Sample:
    """What these weights write; where a condition or a source is wanted, those of some held-out document."""
    model = Model(config=config, vocabulary=corpus.vocabulary, weights=weights)
    sampling = SamplerConfig(temperature=0.8, length=SAMPLE_LENGTH, seed=seed)  # the lesson's most readable
    condition, source = _of_document(corpus, step) if config.conditions or corpus.vocabulary.sep else ({}, "")
    prompt = beginning(corpus.vocabulary)
    return Generator(model).sample(prompt, settings=sampling, condition=condition, source=source)


def _of_document(corpus: Corpus, step: int) -> tuple[dict[str, Any], str]:
    part = corpus.shown
    assert part.documents is not None
    document = int(np.random.default_rng(step).integers(len(part.documents) - 1))
    return part.condition(corpus.conditions, document), part.source(document)


def _warm(config: ModelConfig, corpus: Corpus) -> None:
    """Let the sampler compile before the clock starts: once on a machine, it takes many seconds."""
    shapes = config.weight_shapes(len(corpus.vocabulary))
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    if not config.embedding:
        weights["embedding.weight"] = np.eye(len(corpus.vocabulary), dtype=np.float32)
    _draw(config, corpus, weights, seed=0)
