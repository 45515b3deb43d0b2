"""Many texts into one file: in order, in constant memory, and after an interruption from where it stopped.

While it is written, the file is called OUT.part; OUT.part.json says how much of it counts and which
sample comes next. Text number i is sample number i, whatever the batch, so a resumed file is the same.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout

from charloom.character_model import CharacterModel, record
from charloom.errors import RunError, UsageError, unwritable
from charloom.model.folder import Model, to_json
from charloom.runtime.novel import Novel
from charloom.runtime.passages import Passages
from charloom.runtime.sample import Given, Sample
from charloom.runtime.unique import Unique
from charloom.system.files import link_target, locked, replace_file, require_place
from charloom.text.corpus import Part
from charloom.text.tables import TAB

FORMATS = (".txt", ".csv", ".jsonl")
FACTS = ("temperature", "seed", "stream", "finish_reason", "characters")
FLUSHED = 256  # texts between two writes: what an interruption may cost


@dataclass
class Progress:
    """How much is written: `written` texts, `size` bytes of the file, `stream` the next sample's number.

    Of several things given, number `place` is at work, and has `of_place` texts.
    """

    written: int = 0
    size: int = 0
    stream: int = 0
    place: int = 0
    of_place: int = 0
    refused: int = 0
    exhausted: bool = False


NOTHING = Progress()


def write(
    model: CharacterModel,
    out: Path,
    *,
    count: int,
    given: Sequence[Given] = (Given(),),
    options: dict[str, Any],
    unique: bool = False,
    novel: int = 0,
    training: Part | None = None,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[Progress]:
    """Write `count` texts of each `given` into `out` (.txt, .csv or .jsonl, each also .gz).

    Yields after every write. A text of several columns comes back as columns in .csv and .jsonl.
    `unique` refuses a text that was already written or is a document of `training`, and ends early when
    no new ones come; `novel` keeps passages of so many characters of `training` out. Of several processes
    that share the work, `shard` k of n writes the k-th part into OUT-k-of-n; the parts one after another are
    what one process would write. Raises UsageError for another ending, and for `unique` shards, which do
    not know each other's texts; RunError where `out` exists, is being
    written by another process, or its parts belong to other settings.
    """
    layout, out = Layout(out, model.model), link_target(out)
    settings = model.settings(**options)
    rank, of = shard
    if of > 1:
        if unique:
            raise UsageError("unique needs to know all texts, so one process writes them; unset WORLD_SIZE")
        ending = "".join(out.suffixes)
        out = out.with_name(f"{out.name.removesuffix(ending)}-{rank:05d}-of-{of:05d}{ending}")
    first, last = (count * len(given) * number // of for number in (rank, rank + 1))
    part, notes = out.with_name(out.name + ".part"), out.with_name(out.name + ".part.json")
    with _claimed(out):
        if out.exists():
            raise RunError(f"{out}: exists; choose another --out, or remove it")
        require_place(part)
        asked = json.loads(
            json.dumps(
                [
                    asdict(settings),
                    list(map(asdict, given)),
                    unique,
                    novel,
                    model.precision,
                    dict(model.metrics),
                    first,
                ],
                default=lambda array: np.asarray(array).tolist(),
            )
        )
        begin = Progress(stream=first, place=first // count, of_place=first % count) if count else Progress()
        progress = _resume(part, notes, asked, begin)
        chosen = Choice(
            model,
            count,
            given=given,
            options=options,
            unique=unique,
            novel=novel,
            training=training,
            begun=progress,
            written=layout.read(part),
        )
        before = progress.refused
        try:
            for block in _blocks(islice(chosen, last - first - progress.written)):
                if not part.exists():
                    part.write_bytes(layout.bytes(layout.header()))
                with part.open("ab") as file:
                    file.write(layout.bytes("".join(map(layout.line, block))))
                    progress.size = file.tell()
                progress.written += len(block)
                progress.stream = block[-1].stream + 1
                progress.place, progress.of_place = chosen.place, chosen.of_place
                progress.refused = before + chosen.refused
                replace_file(notes, to_json({"asked": asked, **asdict(progress)}))
                yield progress
            progress.refused, progress.exhausted = before + chosen.refused, chosen.exhausted
            if not part.exists():  # not a single new text came
                part.write_bytes(layout.bytes(layout.header()))
            part.replace(out)
            notes.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(unwritable(part, error, "the same command then goes on")) from error
        yield progress


@contextlib.contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """Hold the lock of a file that is being written, so that two commands never mix in it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(out.with_name(f".{out.name}.lock"), remove=True))
        except Timeout:
            raise RunError(
                f"{out}: another process is writing it; wait until it ends, or choose another --out"
            ) from None
        except OSError as error:
            raise RunError(unwritable(out, error)) from error
        yield


class Choice:
    """`count` samples of each `given`, one after the other, without what `unique` and `novel` refuse.

    They go on after `begun`. With `unique`, no text is a document of `training`, in `written`, or one that
    came before. `refused` counts those, `exhausted` tells that no new ones came any more. `place` is at
    work among the given, with `of_place` samples so far. Raises UsageError as sampling does, and for
    `novel` without `training`.
    """

    def __init__(
        self,
        model: CharacterModel,
        count: int,
        *,
        given: Sequence[Given] = (Given(),),
        options: dict[str, Any],
        unique: bool = False,
        novel: int = 0,
        training: Part | None = None,
        begun: Progress = NOTHING,
        written: Iterable[str] = (),
    ) -> None:
        self._generator, self._settings = model.generator, model.settings(**options)
        self._count, self._given = count, given
        self.place, self.of_place, self._stream = begun.place, begun.of_place, begun.stream
        self._novel: Novel | None = None
        if novel:
            if training is None:
                raise UsageError("novel needs the text that the model was trained on; name its run")
            self._novel = Novel(self._generator, Passages.of(training), novel, self._settings)
        self._unique: Unique | None = None
        if unique:
            documents = training.texts() if training is not None and training.documents is not None else ()
            self._unique = Unique(chain(documents, written))

    def __iter__(self) -> Iterator[Sample]:
        while self.place < len(self._given):
            left = self._count - self.of_place
            for sample in islice(self._samples(left), left):
                self.of_place += 1
                self._stream = sample.stream + 1
                yield sample
            self.place, self.of_place = self.place + 1, 0

    def _samples(self, left: int) -> Iterator[Sample]:
        last = None if self._unique else self._stream + left
        samples: Iterator[Sample] = self._generator.sample_many(
            [self._given[self.place]], settings=self._settings, n=last, first=self._stream
        )
        if self._novel:
            samples = map(self._novel, samples)
        return self._unique(samples) if self._unique else samples

    @property
    def refused(self) -> int:
        """Texts that were not new."""
        return self._unique.refused if self._unique else 0

    @property
    def exhausted(self) -> bool:
        """Whether the model has no new texts left, as far as so many tries in a row can tell."""
        return self._unique is not None and self._unique.exhausted


class Layout:
    """How texts lie in a file of that ending.

    A .txt holds a text a line; where the model writes line ends, an empty line stands between texts.
    """

    def __init__(self, out: Path, model: Model) -> None:
        suffixes = [suffix.lower() for suffix in out.suffixes]
        self.packed = bool(suffixes) and suffixes[-1] == ".gz"
        self.kind = ["", *suffixes][-2 if self.packed else -1]
        if self.kind not in FORMATS:
            raise UsageError(
                f"{out}: the ending says no format; use {', '.join(FORMATS)}, each also with .gz"
            )
        self._between = "\n\n" if "\n" in model.vocabulary.characters else "\n"
        self._columns = model.provenance.get("columns", ())
        self._labels = [each.name for each in model.config.conditions if each.kind == "label"]
        self._source = ["source"] if model.vocabulary.sep is not None else []

    def header(self) -> str:
        """What stands before the first text."""
        texts = self._columns or ("prompt", "text")
        return self._row([*texts, *self._labels, *self._source, *FACTS]) if self.kind == ".csv" else ""

    def line(self, sample: Sample) -> str:
        """One text."""
        if self.kind == ".txt":
            return sample.prompt + sample.text + self._between
        found = record(sample, self._columns)
        if self.kind == ".jsonl":
            return json.dumps(found) + "\n"
        texts = found["columns"].values() if self._columns else (sample.prompt, sample.text)
        labels = [sample.condition.get(name, "") for name in self._labels]
        source = [sample.source] if self._source else []
        return self._row([*texts, *labels, *source, *(found[fact] for fact in FACTS)])

    def _row(self, cells: list[Any]) -> str:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(cells)
        return line.getvalue()

    def bytes(self, text: str) -> bytes:
        """As it goes to disk; packed files may be appended to, member after member."""
        data = text.encode("utf-8", "backslashreplace")
        return gzip.compress(data, mtime=0) if self.packed and data else data

    def read(self, part: Path) -> Iterator[str]:
        """The texts that a file already holds, each with its prompt."""
        if not part.exists():
            return
        opened = gzip.open if self.packed else open
        with opened(part, "rt", encoding="utf-8", newline="") as file:
            if self.kind == ".txt":
                text = file.read()
                yield from text.split(self._between)[:-1]
            elif self.kind == ".jsonl":
                yield from (line["prompt"] + line["text"] for line in map(json.loads, file))
            elif self._columns:
                yield from (TAB.join(row[name] for name in self._columns) for row in csv.DictReader(file))
            else:
                yield from (row["prompt"] + row["text"] for row in csv.DictReader(file))


def _resume(part: Path, notes: Path, asked: Any, begin: Progress) -> Progress:
    """Where an interrupted writing of the same texts stopped; what came after its last note is cut off."""
    if not part.exists() or not notes.exists():
        part.unlink(missing_ok=True)
        return begin
    found = json.loads(notes.read_text("utf-8"))
    if found.pop("asked") != asked:
        raise RunError(
            f"{part}: holds texts of other settings; remove it, repeat its command, or choose another --out"
        )
    progress = Progress(**found)
    with part.open("r+b") as file:
        file.truncate(progress.size)
    return progress


def _blocks(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    remaining = iter(samples)
    while block := list(islice(remaining, FLUSHED)):
        yield block
