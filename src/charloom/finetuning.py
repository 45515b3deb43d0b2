"""What a run takes over from the model that it goes on from (`train --from`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from charloom.errors import UsageError
from charloom.model.folder import Model
from charloom.settings import Settings

SIZES = ("cell", "layers", "hidden", "embedding")


def sized(settings: Settings, begun: Model) -> Settings:
    """These settings with the model's sizes and unit. Raises UsageError where others are given."""
    given = {section: dict(values) for section, values in settings.given.items()}
    fixed = {"model": {key: getattr(begun.config, key) for key in SIZES}}
    fixed |= {"data": {"unit": begun.vocabulary.unit}}
    for section, values in fixed.items():
        for key, value in values.items():
            asked = settings.values(section).get(key, value)
            if asked != value:
                path = settings.values("train")["start"]
                raise UsageError(f"{key} is {asked}, and {path} has {value}, which stays; leave {key} out")
            given.setdefault(section, {})[key] = value
    return replace(settings, given=given)


def told(settings: Settings, begun: Model) -> dict[str, Any]:
    """What the provenance of the run says of it."""
    kept = ("corpora", "contents", "split", "from")
    before = {key: begun.provenance[key] for key in kept if key in begun.provenance}
    return {"from": {"model": settings.values("train")["start"], **before}}


def hashes(provenance: Mapping[str, Any]) -> set[str]:
    """The texts that a model has been trained on, those of the model that it began as included.

    Each is there by the hash of its bytes, and by that of its normalized content.
    """
    found = {corpus["sha256"] for corpus in provenance.get("corpora", ())} | {*provenance.get("contents", ())}
    return found | (hashes(provenance["from"]) if "from" in provenance else set())
