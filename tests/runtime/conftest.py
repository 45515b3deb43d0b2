"""Small models with random weights, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import untrained
from charloom.model.folder import Model

MakeModel = Callable[..., Model]


@pytest.fixture
def make_model() -> MakeModel:
    """`make_model(cell, layers=, hidden=, embedding=, vocabulary=, specials=, seed=, conditions=)`."""
    return untrained.model
