"""charloom: recurrent character models on any text, on an ordinary computer, in minutes.

    import charloom
    model = charloom.train("book.txt", minutes=5)
    print("today " + model.generate("today ", length=300, temperature=0.8))

Names are resolved on first use, so importing charloom loads neither torch nor numba.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from charloom._version import __version__
from charloom.errors import (
    CharloomError,
    DataError,
    DivergedError,
    DownloadError,
    MissingExtraError,
    ModelError,
    RunError,
    UsageError,
)

if TYPE_CHECKING:
    from charloom.api import load
    from charloom.character_model import CharacterModel, Score
    from charloom.cli.python import train

_LAZY = {
    "CharacterModel": "character_model", "Score": "character_model", "load": "api", "train": "cli.python"
}  # fmt: skip

__all__ = [
    "CharacterModel",
    "CharloomError",
    "DataError",
    "DivergedError",
    "DownloadError",
    "MissingExtraError",
    "ModelError",
    "RunError",
    "Score",
    "UsageError",
    "__version__",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"charloom.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'charloom' has no attribute {name!r}")
