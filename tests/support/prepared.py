"""Small corpora of real text, and one thread: tiny products only lose time on more."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from charloom.text import corpus
from charloom.text.corpus import Corpus, DataConfig
from pages import PAGES

Prepare = Callable[..., Corpus]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """A corpus out of the language reference that every Python carries: `characters` of it, or `lines`."""

    def prepared(
        characters: int = 6000, *, lines: bool = False, specials: bool = True, **data: object
    ) -> Corpus:
        text = PAGES[:characters]
        if lines:
            text = "\n".join(textwrap.wrap(" ".join(text.split()), 60))
        path = tmp_path / "topics.txt"
        path.write_text(text, encoding="utf-8", newline="\n")
        documents = "line" if lines else "whole"
        return corpus.prepare([path], DataConfig(documents=documents, **data), specials=specials)  # type: ignore[arg-type]

    return prepared
