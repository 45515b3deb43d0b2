"""Which way of reading suits a corpus and its settings."""

from __future__ import annotations

from collections.abc import Sequence

from charloom.errors import DataError, UsageError
from charloom.text.condition import Condition
from charloom.text.corpus import Corpus
from charloom.training.batches import Lanes, Layout, Shuffled, Windows
from charloom.training.config import Layout as Name
from charloom.training.config import TrainConfig
from charloom.training.documents import Documents


def name(corpus: Corpus, config: TrainConfig) -> Name:
    """The layout by name: what the settings say, else documents where they have conditions or sources."""
    if config.layout != "auto":
        return config.layout
    vocabulary = corpus.vocabulary
    given = corpus.conditions or vocabulary.sep is not None
    return "documents" if given and vocabulary.eos is not None else "lanes"


def layout(corpus: Corpus, config: TrainConfig, conditions: Sequence[Condition] = ()) -> Layout:
    """That layout over the training part. Raises DataError for a text that does not suit it."""
    part, vocabulary = corpus.train, corpus.vocabulary
    chosen = name(corpus, config)
    if chosen != "documents" and (conditions or vocabulary.sep is not None):
        raise UsageError(f"the layout {chosen} reads no conditions and no sources; leave it out")
    if chosen == "documents":
        return Documents(
            part,
            vocabulary,
            rows=config.lanes,
            window=config.window,
            seed=config.seed,
            conditions=conditions,
            dropped=config.unconditional,
        )
    if chosen == "windows":
        if part.documents is None:
            raise DataError(
                "the layout windows takes one text a step, and this is one whole; use --documents line"
            )
        return Windows(part.ids, part.documents, config.window)
    if chosen == "shuffled":
        return Shuffled(part.ids, rows=config.lanes, window=config.window, seed=config.seed)
    return Lanes(
        part.ids,
        lanes=config.lanes,
        window=config.window,
        seed=config.seed,
        restarts=config.restarts,
        bos=vocabulary.bos if part.documents is None else None,  # documents bring their own
        documents=part.documents,
    )
