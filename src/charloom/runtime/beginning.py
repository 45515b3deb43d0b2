"""Where a text begins: the state that a condition gives, and the ids that are read before the text."""

from __future__ import annotations

import numpy as np

from charloom.errors import UsageError
from charloom.model.config import condition_weights
from charloom.model.folder import Model
from charloom.runtime.arrays import Floats, Ids
from charloom.runtime.state import State
from charloom.text.condition import Asked, Vectors, slices, vector

NOTHING = np.zeros(0, np.int32)


class Beginning:
    """The linear map of a model's conditions: one `matrix` (layers · parts · H, S)."""

    def __init__(self, model: Model) -> None:
        self._model = model
        rows = []
        for condition, _ in slices(model.config.conditions):
            names = [condition_weights(condition.name, k) for k in range(model.config.layers)]
            weight = np.concatenate([model.weights[weight] for weight, _ in names])
            bias = np.concatenate([model.weights[bias] for _, bias in names])
            rows.append(np.concatenate((weight, bias[:, None]), axis=1))
        height = int(np.prod(model.config.state_shape()))
        self.matrix: Floats = np.concatenate([np.zeros((height, 0), np.float32), *rows], axis=1)

    def states(self, vectors: Vectors) -> list[State]:
        """The state before anything is read, for each row of `vectors` (B, S)."""
        shape, vocabulary = self._model.config.state_shape(), len(self._model.vocabulary)
        # row by row: a product of many rows would give each other last bits than alone
        hidden = [(self.matrix @ row).reshape(shape) for row in vectors]
        return [State(each, np.full(vocabulary, np.nan, np.float32), NOTHING) for each in hidden]

    def state(self, condition: Asked = None, strength: float = 1.0) -> State:
        """The same for what was asked for, times `strength`: 0 is unknown, above 1 is more than was learned.

        Raises UsageError as `charloom.text.condition.vector` does.
        """
        asked = vector(self._model.config.conditions, condition)[None]
        return self.states(asked * np.float32(strength))[0]

    def ids(self, source: str = "") -> Ids:
        """Rows that are read before a text: `<bos>`, and a source with its `<sep>`.

        Raises UsageError for a source where the model does not translate, and the other way round.
        """
        vocabulary = self._model.vocabulary
        before = [NOTHING if vocabulary.bos is None else np.array([vocabulary.bos], np.int32)]
        if vocabulary.sep is None:
            if source:
                raise UsageError("source: the model was not trained to translate; leave it out")
            return before[0]
        if not source:
            raise UsageError("the model writes what belongs to a source; give one, as --source TEXT")
        read = vocabulary.rows(self._model.encode(source))
        return np.concatenate((*before, read, np.array([vocabulary.sep], np.int32)))
