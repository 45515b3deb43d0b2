"""How well a model predicts a text, beside models that anybody has: which text, the scores, what follows."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from charloom import finetuning, settings
from charloom import run as runs
from charloom.errors import DataError, ModelError, UsageError
from charloom.insight import baselines as ground
from charloom.insight import evaluation
from charloom.insight.advice import advice, praise
from charloom.insight.baselines import Baseline
from charloom.insight.evaluation import Evaluation
from charloom.insight.heldout import HeldOut
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.text import catalog, reading
from charloom.text import corpus as corpus_room
from charloom.text.config import DOCUMENTS, NONE, DataConfig, Report
from charloom.text.corpus import Corpus, Part
from charloom.text.decoding import BYTES, text_blocks, text_lines
from charloom.text.documents import paragraphs
from charloom.text.encodings import beside
from charloom.text.sources import (
    Arriving,
    Collection,
    Source,
    collect,
    collect_arriving,
    is_stream,
    require_once,
)

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
    encoding: str = "",
    stdin: BinaryIO | None = None,
    progress: Report = lambda _: None,
) -> Text:
    """Texts that are read whole, as the model's own was, conditions too.

    `columns` of a table are its texts, with commas between, where they have other names than the model's.
    Where no `encoding` is named, it is UTF-8, and for what is not, that of the model's own text. Raises
    DataError as `prepare` does.
    """
    vocabulary, provenance = model.vocabulary, model.provenance
    tables = require_sources(model, files)
    mode = provenance.get("documents")
    data = replace(
        _data(path, model, columns=columns, encoding=encoding),
        documents=mode if mode in DOCUMENTS and not tables else "auto",
    )
    if not tables:
        data = replace(data, text=(), condition=(), source="", delimiter="")
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
    train, known = None, finetuning.hashes(provenance)
    if (path / runs.CONFIG).is_file():
        with contextlib.suppress(DataError):  # the baselines will do without
            own = _own_corpus(path, model, progress)
            train, known = own.train, known | _hashes(own.provenance)
    return Text(corpus.name, corpus.train, train, bool(_hashes(corpus.provenance) & known))


def require_sources(model: Model, files: Sequence[str]) -> bool:
    """Whether there is a table among files; raises DataError where the model needs one, and there is none."""
    tables = any(map(is_table, files))
    if model.vocabulary.sep is not None and not tables:
        raise DataError(f"{files[0]}: is no table, and the model needs a source for each text; give a table")
    return tables


class Read(NamedTuple):
    """A text that was read for a model, what it depends on by the names of the conditions, and its source."""

    text: str
    condition: Mapping[str, Any]
    source: str


def texts(
    path: Path,
    model: Model,
    files: Iterable[str],
    *,
    documents: str = "",
    columns: str = "",
    encoding: str = "",
    stdin: BinaryIO | None = None,
    warn: Callable[[str], None],
) -> Iterator[tuple[str, bool, Iterator[Read]]]:
    """Each file's label, whether it arrives bit by bit, and its texts, read as the model's own text was.

    They are its lines, or the rows of a table; with `documents`, which takes every file as text, each "line",
    paragraph ("blank") or the "whole". Bytes that are not in the encoding (see `other_text`) become U+FFFD,
    and `warn` is told so once a file: a few in a log must not end the reading of it. Raises DataError.
    """
    files = list(files)
    require_once(files)
    data = _data(path, model, columns=columns, encoding=encoding)
    if not data.condition:
        data = replace(data, condition=tuple(each.name for each in model.config.conditions))
    with corpus_room.spooled() as spool:
        for name in files:
            by_line = documents in ("", "line")
            collected = collect_arriving if by_line else partial(collect, progress=lambda _: None)
            collection = collected(name, stdin=stdin, spool=spool)
            for source in collection.sources:
                label = name if len(collection.sources) == 1 else source.label
                if source.kind != "text" and not documents:
                    found = _rows(collection, source, model, data)
                else:
                    pieces = _texts(source, data, documents, warn)
                    found = (Read(_shown(text, data), {}, "") for text in pieces)
                yield label, isinstance(source, Arriving), found


def rows(text: Text, model: Model) -> Iterator[Read]:
    """The documents of a prepared text."""
    part, conditions = text.part, model.config.conditions
    for number, (each, source) in enumerate(zip(part.texts(), part.sources(), strict=True)):
        yield Read(each, part.condition(conditions, number), source)


def whole_text(path: Path, model: Model, file: Path, stdin: BinaryIO | None = None) -> str:
    """A whole file (a prompt, say), read as the model's own text was. Raises UsageError."""
    data = _data(path, model)
    if not (is_stream(file) or file.is_file()):
        what = "is a folder" if file.is_dir() else "there is no such file"
        raise UsageError(f"{file}: {what}; give a text file")
    with corpus_room.spooled() as spool:
        try:
            (source,) = collect(file, stdin=stdin, spool=spool, progress=lambda _: None).sources
            return _shown("".join(text_blocks(source, data)), data)
        except DataError as error:
            what, _, hint = str(error).partition("; ")
            raise UsageError(f"{what}; {'save it as UTF-8' if '--encoding' in hint else hint}") from error


def _data(path: Path, model: Model, *, columns: str = "", encoding: str = "") -> DataConfig:
    """How texts that the model was not trained on are read: as its own, but whole, and in their encoding."""
    provenance, unit = model.provenance, model.vocabulary.unit
    if (path / runs.CONFIG).is_file():
        data: DataConfig = settings.resolve(file=path / runs.CONFIG).build("data")
    else:
        recorded = {key: provenance[key] for key in ("normalize", "encoding") if key in provenance}
        data = DataConfig(**recorded if unit == "char" else {})
    return replace(
        data,
        unit=unit,
        fractions=(100, 0, 0),
        validation="",
        encoding=encoding or beside(data.encoding),
        text=tuple(columns.split(",")) if columns else data.text,
    )


def _texts(source: Source, data: DataConfig, documents: str, warn: Callable[[str], None]) -> Iterator[str]:
    if documents in ("blank", "whole"):
        blocks = text_blocks(source, data, warn)
        return paragraphs(blocks) if documents == "blank" else iter(["".join(blocks)])
    return text_lines(source, data, warn)


def _rows(collection: Collection, source: Source, model: Model, data: DataConfig) -> Iterator[Read]:
    """The rows of a table; without conditions where it has no such columns."""
    one = replace(collection, sources=(source,))
    (rows,) = reading.documents([one], "row", data)
    names = reading.columns_of(one, data).condition
    found = rows()
    try:
        first = next(found, None)
    except DataError:
        if not names:
            raise
        yield from _rows(collection, source, model, replace(data, condition=(NONE,)))
        return
    labels = {each.name: each.values for each in model.config.conditions if each.kind == "label"}
    for row in chain([first] if first else [], found):
        values = [each.strip() if isinstance(each, str) else each for each in row.conditions]
        given = {
            name: value
            for name, value in zip(names, values, strict=True)
            if not isinstance(value, str) or value in labels.get(name, ())
        }
        yield Read(_shown(row.text, data), given, _shown(row.source, data))


def _shown(text: str, data: DataConfig) -> str:
    """A text as Python has it; in the unit "byte", lone surrogates stand for bytes that are no UTF-8."""
    return text.encode(BYTES).decode("utf-8", "surrogateescape") if data.unit == "byte" else text


def judge(
    generator: Generator,
    text: Text,
    *,
    limit: int | None = None,
    exact: bool = False,
    dynamic: bool = False,
    progress: Callable[[str, float], None] = lambda doing, share: None,
) -> Verdict:
    """Score a text, or its first `limit` characters, and say what the score is worth.

    `exact` reads a long text as one stream. `progress` is told what is being done, and the share of it that
    is done.
    """
    vocabulary = generator.model.vocabulary
    found = evaluation.evaluate(
        generator,
        text.part,
        limit=limit,
        exact=exact,
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
        exact=exact,
        progress=lambda share: progress("comparing with the training text", share),
    )
    told = praise(found.carried, beside) + advice(found.carried, on_training.nats, beside)
    return Verdict(found, beside, told)


def require_same(run: Path, model: Model, corpus: Corpus) -> None:
    """Raises DataError where `corpus` has not the content that the model in `run` was trained on."""
    now, then = corpus.provenance, model.provenance
    keys = [key for key in ("corpora", "contents") if key in then]
    same = any(_hashes(now, key) == _hashes(then, key) for key in keys)
    if corpus.vocabulary != model.vocabulary or not same:
        raise DataError(
            f"{corpus.name}: has changed since {run} was trained on it, so nobody can tell what was held out "
            "from it; restore that text, or name a FILE to score"
        )


def _own_corpus(run: Path, model: Model, progress: Report) -> Corpus:
    chosen = settings.resolve(file=run / runs.CONFIG)
    if any(map(is_stream, chosen.corpus)):
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
    path = Path(name)
    files = path.rglob("*") if path.is_dir() else map(Path, glob.glob(name, recursive=True))  # noqa: PTH207
    return any(Source(each, str(each)).kind != "text" for each in (path, *files) if not each.is_dir())


def _mixed(model: Model) -> bool:
    """Whether the model began as one that was trained on the same text, cut in another way."""
    before = model.provenance.get("from", {})
    again = finetuning.hashes(before) & _hashes(model.provenance)
    return bool(again) and before.get("split") != model.provenance["split"]


def _hashes(provenance: Mapping[str, Any], *keys: str) -> set[str]:
    """The texts of a model or corpus, without those that the model began with."""
    return finetuning.hashes({key: provenance.get(key, ()) for key in keys or ("corpora", "contents")})
