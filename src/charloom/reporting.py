"""Everything that is known of a run, gathered for its report."""

from __future__ import annotations

from pathlib import Path

from charloom.errors import DataError
from charloom.insight.paired import Paired, paired
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.verdict import Text, own_text


def held_out(path: Path, model: Model) -> Text:
    """What the run at `path` was not trained on: its test part, or its validation part where that is empty.

    Raises DataError where it has neither, or its text is gone, ModelError where the folder is no run.
    """
    try:
        return own_text(path, model, "test")
    except DataError:
        return own_text(path, model, "validation")


def compared(
    first: Generator, second: Generator, text: Text, names: tuple[str, str], limit: int | None = None
) -> Paired:
    """Two models on a text, or its first `limit` characters."""
    texts, left = [], text.part.characters if limit is None else limit
    for each in text.part.texts():
        texts.append(each[:left])
        left -= len(each)
        if left <= 0:
            break
    return paired(first, second, texts, names)
