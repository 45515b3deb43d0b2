"""The model card: a README that people and model hubs can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charloom.model.config import ModelConfig
from charloom.text.vocabulary import Vocabulary

NAMES = {"lstm": "An LSTM", "gru": "A GRU", "rnn": "A simple recurrent network"}


def write(config: ModelConfig, vocabulary: Vocabulary, provenance: Mapping[str, Any]) -> str:
    """Markdown with the hub's header: what it is, where it comes from, how to use it, its limits."""
    flag, name = ("--source", "source=") if vocabulary.sep is not None else ("--prompt", "")
    plural = "s" if config.layers > 1 else ""
    facts = "\n".join(f"- {key.replace('_', ' ')}: {_shown(value)}" for key, value in provenance.items())
    return f"""---
library_name: charloom
pipeline_tag: text-generation
tags: [charloom, character-level, {config.cell}]
---

# A character model

{NAMES[config.cell]} of {config.layers} layer{plural} and {config.hidden} hidden units
({config.parameters(len(vocabulary)):,} parameters), over {len(vocabulary)} ids of unit {vocabulary.unit}.

## Trained on

{facts}

## Use

    charloom sample THIS_FOLDER {flag} "Once " --length 500

    import charloom
    print(charloom.load("THIS_FOLDER").generate({name}"Once ", temperature=0.8))

## Limits

It writes text that looks like what it was trained on, a few sentences at a time; it knows no facts and
keeps no plot. It may repeat passages of its training text word for word, private ones included.
"""


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items() if item not in ("", None))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
