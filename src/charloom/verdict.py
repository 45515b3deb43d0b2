"""How well a model predicts a text, beside models that anybody has: which text, the scores, what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from charloom import finetuning, settings
from charloom import run as runs
from charloom.errors import DataError, ModelError
from charloom.insight import baselines as ground
from charloom.insight import evaluation
from charloom.insight.advice import advice, praise
from charloom.insight.baselines import Baseline
from charloom.insight.evaluation import Evaluation
from charloom.insight.heldout import HeldOut
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.text import catalog
from charloom.text import corpus as corpus_room
from charloom.text.config import DOCUMENTS, NONE, DataConfig, Report
from charloom.text.corpus import Corpus, Part
from charloom.text.sources import Source

COMPARED = 2**16  # characters of the training text that are scored, to see whether it is known by heart
PartName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Text:
    """What is to be scored: `part` in ids of the model.

    `train` is what the model was trained on, None where that is not at hand; `seen` tells whether the
    one is (or may be) out of the other.
    """

    name: str
    part: Part
    train: Part | None
    seen: bool


@dataclass(frozen=True)
class Verdict:
    """The score of a text, those of the baselines, and sentences on what they mean."""

    evaluation: Evaluation
    baselines: list[Baseline]
    advice: list[str]


def own_text(path: Path, model: Model, part: PartName = "test", *, progress: Report = lambda _: None) -> Text:
    """A part of the text that the run at `path` was trained on.

    Raises DataError where that text is gone, has changed since, or has no such part, ModelError where
    the folder is no run.
    """
    if not (path / runs.CONFIG).is_file():
        raise ModelError(
            f"{path}: has no {runs.CONFIG}, which says what it was trained on; name a FILE to score"
        )
    corpus = _own_corpus(path, model, progress)
    found: Part = getattr(corpus, part)
    if not found.characters:
        shares = "/".join(f"{share:g}" for share in corpus.provenance["split"]["fractions"])
        raise DataError(
            f"{path}: its {part} part is empty (fractions {shares}); name another --part or a FILE"
        )
    return Text(f"the {part} part of {corpus.name}", found, corpus.train, part == "train" or _mixed(model))


def other_text(
    path: Path,
    model: Model,
    files: Sequence[str],
    *,
    columns: str = "",
    labelled: bool = True,
    stdin: BinaryIO | None = None,
    progress: Report = lambda _: None,
) -> Text:
    """Texts that are read whole, as the model's own was, conditions too if they are `labelled`.

    `columns` of a table are its texts, with commas between, where they have other names than the model's.
    Raises DataError as `prepare` does.
    """
    vocabulary, provenance = model.vocabulary, model.provenance
    tables = any(map(is_table, files))
    if vocabulary.sep is not None and not tables:
        raise DataError(f"{files[0]}: is no table, and the model needs a source for each text; give a table")
    is_run = (path / runs.CONFIG).is_file()
    data = settings.resolve(file=path / runs.CONFIG).build("data") if is_run else DataConfig()
    mode = provenance.get("documents")
    data = replace(
        data,
        unit=vocabulary.unit,
        documents=mode if mode in DOCUMENTS and not tables else "auto",
        fractions=(100, 0, 0),
        validation="",
        **({} if tables else {"text": (), "condition": (), "source": "", "delimiter": ""}),
        **({} if labelled else {"condition": (NONE,)}),
        **({"text": tuple(columns.split(","))} if columns else {}),
    )
    corpus = corpus_room.prepare(
        files,
        data,
        vocabulary=vocabulary,
        conditions=model.config.conditions,
        stdin=stdin,
        progress=progress,
    )
    if corpus.documents != "whole" and vocabulary.eos is None and vocabulary.bos is not None:
        raise DataError(
            f"{corpus.name}: is a list of documents, and the model knows one whole text only; give plain text"
        )
    train = None
    if is_run:
        try:
            train = _own_corpus(path, model, progress).train
        except DataError:  # the baselines will do without
            train = None
    return Text(
        corpus.name, corpus.train, train, bool(_hashes(corpus.provenance) & finetuning.hashes(provenance))
    )


def judge(
    generator: Generator,
    text: Text,
    *,
    limit: int | None = None,
    dynamic: bool = False,
    progress: Callable[[str, float], None] = lambda doing, share: None,
) -> Verdict:
    """Score a text, or its first `limit` characters, and say what the score is worth.

    `progress` is told what is being done, and the share of it that is done.
    """
    vocabulary = generator.model.vocabulary
    found = evaluation.evaluate(
        generator,
        text.part,
        limit=limit,
        dynamic=dynamic,
        progress=lambda share: progress("scoring", share),
    )
    if text.train is None:
        return Verdict(found, [ground.uniform(HeldOut(text.part, vocabulary, limit))], [])
    progress("counting the training text for the baselines", 0.0)
    beside = ground.baselines(text.train, text.part, vocabulary, limit=limit)
    if text.seen:
        return Verdict(found, beside, [])
    on_training = evaluation.carried(
        generator,
        text.train,
        limit=min(max(found.characters, 1), COMPARED),
        progress=lambda share: progress("comparing with the training text", share),
    )
    told = praise(found.carried, beside) + advice(found.carried, on_training.nats, beside)
    return Verdict(found, beside, told)


def require_same(run: Path, model: Model, corpus: Corpus) -> None:
    """Raises DataError where `corpus` is not, to the letter, what the model in `run` was trained on."""
    if corpus.vocabulary != model.vocabulary or _hashes(corpus.provenance) != _hashes(model.provenance):
        raise DataError(
            f"{corpus.name}: has changed since {run} was trained on it, so nobody can tell what was held out "
            "from it; restore that text, or name a FILE to score"
        )


def _own_corpus(run: Path, model: Model, progress: Report) -> Corpus:
    chosen = settings.resolve(file=run / runs.CONFIG)
    if "-" in chosen.corpus:
        raise DataError(f"{run}: its text came through standard input and is gone; name a FILE to score")
    try:
        corpus = corpus_room.prepare(
            chosen.corpus,
            chosen.build("data"),
            specials=bool(model.vocabulary.specials),
            vocabulary=model.vocabulary if chosen.values("train").get("start") else None,
            progress=progress,
        )
    except DataError as error:
        gone = [name for name in chosen.corpus if not catalog.known(name) and not Path(name).exists()]
        if not gone:
            raise
        raise DataError(
            f"{gone[0]}: {run} was trained on it, and it is not here any more; "
            "go back to that folder, or name a FILE to score"
        ) from error
    require_same(run, model, corpus)
    return corpus


def is_table(name: str) -> bool:
    """Whether a corpus of this name has columns."""
    if catalog.known(name):
        return catalog.find(name).documents == "row"
    return Source(Path(name), name).kind != "text"


def _mixed(model: Model) -> bool:
    """Whether the model began as one that was trained on the same text, cut in another way."""
    before = model.provenance.get("from", {})
    again = finetuning.hashes(before) & _hashes(model.provenance)
    return bool(again) and before.get("split") != model.provenance["split"]


def _hashes(provenance: Mapping[str, Any]) -> set[str]:
    return {corpus["sha256"] for corpus in provenance.get("corpora", ())}
