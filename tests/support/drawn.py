"""Whether a text that one engine drew is what another would draw.

Engines sum in different orders, so their logits differ in the last bits, and one draw on a border changes
all of the text that follows. Each character is therefore drawn anew after the characters that the text has
before it, and may be any that logits within `TOLERANCE` would give.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from charloom.runtime import sampler
from charloom.runtime.draw import uniform
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.writer import Writer

TOLERANCE = 1e-4


def require_drawn(
    generator: Generator,
    text: str,
    prompt: str = "",
    settings: SamplerConfig | None = None,
    stream: int = 0,
    **begin: Any,
) -> None:
    """Fail unless `text` is what `generator.sample` draws after `prompt`; for settings without `match`."""
    settings = settings or SamplerConfig()
    vocabulary = generator.model.vocabulary
    state = generator.prime(prompt, strength=settings.strength, **begin)
    ids = vocabulary.encode(text)
    logits, last = generator.logits(ids, state) if len(ids) else (np.empty((0, len(vocabulary))), state)
    forced = [state.logits, *logits]
    added, counts = settings.added(vocabulary), np.zeros(len(vocabulary), np.int32)
    history = list(state.ids)
    writer = Writer(vocabulary, settings.length, settings.stop)
    for t in count():
        near = _near(forced[t] + added, settings, counts, np.array(history, np.int32), stream, t)
        drawn = near[0]
        if t < len(ids):
            drawn = int(ids[t])
            assert drawn in near, f"character {t} of {text!r}: {drawn} is drawn where {near} would be"
        elif t + 1 == len(forced):  # behind the text: its end, or a stop string
            more, last = generator.logits(np.array([drawn], np.int32), last)
            forced.append(more[0])
        counts[drawn] += 1
        history.append(drawn)
        writer.feed([drawn], "eos" if drawn == vocabulary.eos else None)
        if writer.finish_reason:
            break
    assert writer.text == text


def _near(logits: Any, settings: SamplerConfig, counts: Any, history: Any, stream: int, t: int) -> list[int]:
    """Ids that such logits may give, the one that they do give first."""
    row = settings.row()
    found: list[int] = []
    for factor in (1.0, 1 - TOLERANCE, 1 + TOLERANCE):  # borders of top_p and min_p
        moved = row.copy()
        moved[sampler.TOP_P] = min(row[sampler.TOP_P] * factor, 1.0)
        moved[sampler.MIN_P] *= factor
        shaped = logits.astype(np.float32)
        sampler.shape(shaped, moved, counts, history, np.empty(len(shaped), np.int64))
        if settings.temperature == 0:
            found.append(sampler.greedy(shaped))
            found += np.flatnonzero(shaped >= shaped.max() - 2 * TOLERANCE).tolist()
            continue
        u = uniform(settings.seed, stream, t, 0)
        found.append(sampler.draw(shaped, u))
        weights = np.exp(shaped.astype(np.float64) - shaped.max())
        ends = np.cumsum(weights) / weights.sum()
        margin = 2 * TOLERANCE / min(settings.temperature, 1.0)
        begins = np.concatenate(([0.0], ends[:-1]))
        found += np.flatnonzero((begins <= u + margin) & (u - margin <= ends) & (weights > 0)).tolist()
    return list(dict.fromkeys(found))
