"""The shape of a network, and from it the name and shape of every weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from charloom.errors import UsageError
from charloom.text.condition import Condition

Cell = Literal["lstm", "gru", "rnn"]
CELLS: tuple[Cell, ...] = get_args(Cell)

GATES: Mapping[Cell, int] = {"lstm": 4, "gru": 3, "rnn": 1}
"""Blocks of H rows in a layer's matrices, in torch's order: LSTM i f g o, GRU r z n."""

PARTS: Mapping[Cell, int] = {"lstm": 2, "gru": 1, "rnn": 1}
"""Vectors of H numbers in a layer's state: LSTM (h, c), the others h."""

MOST_LAYERS = 64
MOST_HIDDEN = 32_768  # one weight matrix of such a layer already takes 16 GiB
MOST_PARAMETERS = 2**33


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The sizes of a network, and what it depends on besides the text: that comes with the text alone.

    Raises UsageError for a size out of its range.
    """

    cell: Cell = "lstm"  # learns most of the three in equal time
    layers: int = 1  # in minutes on a processor, width pays more than depth
    hidden: int = 512  # what two cores can train on a megabyte in five minutes
    embedding: int = 64  # numbers a character; 0 feeds one-hot vectors, as the lesson does
    dropout: float = 0.0  # small texts want more, large ones none: the auto preset decides
    conditions: tuple[Condition, ...] = field(default=(), metadata={"setting": False})

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise UsageError(f"cell {self.cell!r} is not known; choose one of {', '.join(CELLS)}")
        for name, least, most in (
            ("layers", 1, MOST_LAYERS),
            ("hidden", 1, MOST_HIDDEN),
            ("embedding", 0, MOST_HIDDEN),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise UsageError(f"{name} is {value!r}; it takes a whole number from {least} to {most}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout!r}; it takes a number from 0 up to, not including, 1")

    @property
    def gates(self) -> int:
        """Blocks of H rows in each layer's matrices."""
        return GATES[self.cell]

    @property
    def parts(self) -> int:
        """Vectors of H numbers in each layer's state."""
        return PARTS[self.cell]

    def state_shape(self, batch: int | None = None) -> tuple[int, ...]:
        """(layers, parts, H) of one stream, (layers, parts, B, H) of a batch."""
        rows = () if batch is None else (batch,)
        return (self.layers, self.parts, *rows, self.hidden)

    def weight_shapes(self, vocabulary: int) -> dict[str, tuple[int, ...]]:
        """Every weight's name and shape, in the order of the file; `vocabulary` is V, the number of rows."""
        width = self.embedding or vocabulary
        rows = self.gates * self.hidden
        shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (vocabulary, width)}
        for k in range(self.layers):
            shapes[f"layers.{k}.weight_input"] = (rows, self.hidden if k else width)
            shapes[f"layers.{k}.weight_hidden"] = (rows, self.hidden)
            shapes[f"layers.{k}.bias_input"] = (rows,)
            shapes[f"layers.{k}.bias_hidden"] = (rows,)
        shapes["output.weight"] = (vocabulary, self.hidden)
        shapes["output.bias"] = (vocabulary,)
        for condition in self.conditions:
            for k in range(self.layers):
                weight, bias = condition_weights(condition.name, k)
                shapes[weight] = (self.parts * self.hidden, condition.width)
                shapes[bias] = (self.parts * self.hidden,)
        return shapes

    def parameters(self, vocabulary: int) -> int:
        """How many numbers the weights hold."""
        total = 0
        for shape in self.weight_shapes(vocabulary).values():
            size = 1
            for length in shape:
                size *= length
            total += size
        return total

    def to_json(self) -> dict[str, Any]:
        """The sizes as JSON holds them; the conditions have an entry of their own in config.json."""
        return {key: value for key, value in asdict(self).items() if key != "conditions"}

    @classmethod
    def from_json(cls, found: Mapping[str, Any], conditions: Sequence[Condition] = ()) -> ModelConfig:
        """Back from `to_json`; raises UsageError for an unknown or missing key."""
        names = [field.name for field in fields(cls) if field.name != "conditions"]
        for name in names:
            if name not in found:
                raise UsageError(f"the key {name!r} is missing")
        for name in found:
            if name not in names:
                raise UsageError(f"the key {name!r} is not known; there are {', '.join(names)}")
        return cls(**found, conditions=tuple(conditions))


def condition_weights(name: str, layer: int) -> tuple[str, str]:
    """The names of the linear map from a condition to the initial state of a layer: weight and bias.

    The weight is (parts · H, the condition's width): for an LSTM h first, then c.
    """
    return f"condition.{name}.layers.{layer}.weight", f"condition.{name}.layers.{layer}.bias"
