"""The model folder: the contract between training and whatever generates.

    config.json         format version, sizes, vocabulary size, specials, conditions, provenance
    vocab.json          every id: its character or special
    model.safetensors   float32 weights; metrics in the metadata
    README.md           the model card
    generation.json     default sampling settings

All but model.safetensors are written once, before the first step. A better model is one atomic
replacement of that file, so a reader at any moment finds a whole model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save

from charloom.errors import CharloomError, ModelError, UsageError
from charloom.model.config import MOST_PARAMETERS, ModelConfig
from charloom.system.files import replace_file
from charloom.text.condition import Condition
from charloom.text.config import DataConfig
from charloom.text.vocabulary import Ids, Vocabulary

FORMAT = 1
WEIGHTS = "model.safetensors"
MOST_JSON_BYTES = 2**26  # a vocabulary of a million characters takes a fifth of this
ONE_HOT_MISMATCH = "embedding.weight is not the identity, though the embedding is one-hot"

Weights = Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]


@dataclass(frozen=True, kw_only=True)
class Model:
    """All that is needed to generate.

    `weights` are float32 arrays of the names and shapes that `config.weight_shapes` gives; `metrics`
    is what training measured (held-out nats a character among it); `sampling` are default settings;
    `provenance` tells which text it came from and how.
    """

    config: ModelConfig
    vocabulary: Vocabulary
    weights: Weights
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """How many numbers the weights hold."""
        return self.config.parameters(len(self.vocabulary))

    def encode(self, text: str | bytes) -> Ids:
        """Ids (n,) of a text, brought into the form that the training text was brought into.

        Raises UsageError for what is no text, DataError for a character that the model cannot read.
        """
        if isinstance(text, bytes) and self.vocabulary.unit == "byte":
            return self.vocabulary.encode(text)
        if not isinstance(text, str):
            raise UsageError(f"a text is a string, not {type(text).__name__}; found {text!r:.40}")
        return self.vocabulary.encode(self.formed(text))

    def unknown(self, text: str) -> list[str]:
        """The characters of a text that the model has never met and reads as bytes, each once."""
        if self.vocabulary.unit == "byte":
            return []
        return [each for each in dict.fromkeys(self.formed(text)) if each not in self.vocabulary.places]

    def formed(self, text: str) -> str:
        """A text in the form that the training text was brought into (NFC, one kind of line end), if any."""
        if self.provenance.get("normalize") != "nfc" or self.vocabulary.unit != "char":
            return text
        from charloom.text.decoding import normalised  # loads what only reading files needs

        return normalised(text, DataConfig())


def create(
    folder: Path,
    *,
    config: ModelConfig,
    vocabulary: Vocabulary,
    card: str,
    sampling: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Write everything but the weights into `folder`. Raises RunError where it cannot be written."""
    described = {
        "format": FORMAT,
        "unit": vocabulary.unit,
        "model": config.to_json(),
        "vocabulary_size": len(vocabulary),
        "specials": dict(vocabulary.specials),
        "conditions": {condition.name: condition.to_json() for condition in config.conditions},
        "provenance": dict(provenance),
    }
    replace_file(folder / "vocab.json", to_json(vocabulary.to_json()))
    replace_file(folder / "generation.json", to_json(dict(sampling)))
    replace_file(folder / "README.md", card.encode("utf-8", "backslashreplace"))
    replace_file(folder / "config.json", to_json(described))


def write_weights(folder: Path, weights: Weights, metrics: Mapping[str, Any]) -> None:
    """Replace the folder's weights, and the metrics they came with, in one step."""
    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}
    replace_file(folder / WEIGHTS, serialized(arrays, metrics))


def serialized(arrays: Mapping[str, np.ndarray[Any, Any]], metrics: Mapping[str, Any]) -> bytes:
    """Return the content of a safetensors file: the same bytes for the same arrays and metrics."""
    # one key only: the library writes several in random order
    return bytes(save(dict(arrays), metadata={"metrics": json.dumps(dict(metrics), sort_keys=True)}))


def read(folder: Path) -> Model:
    """The model in `folder`. Raises ModelError, naming file and mend, before it allocates anything large.

    No code runs: the files are JSON and safetensors, and names, shapes, types, sizes and finiteness
    are checked against what config.json announces.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such model folder; charloom train makes one")
    described = read_json(folder / "config.json")
    version = described.get("format")
    if type(version) is not int or version < 1:
        raise ModelError(f"{folder / 'config.json'}: no format version; this is not a charloom model")
    if version > FORMAT:
        raise ModelError(
            f"{folder}: model format {version} is newer than this charloom reads ({FORMAT}); upgrade charloom"
        )
    try:
        conditions = [Condition.from_json(*item) for item in _mapping(described, "conditions").items()]
        config = ModelConfig.from_json(_mapping(described, "model"), conditions)
        vocabulary = Vocabulary.from_json(read_json(folder / "vocab.json"))
    except (UsageError, TypeError) as error:
        raise ModelError(f"{folder / 'config.json'}: {error}; the file is damaged") from error
    if described.get("vocabulary_size") != len(vocabulary):
        raise ModelError(
            f"{folder}: config.json announces {described.get('vocabulary_size')} ids, vocab.json has "
            f"{len(vocabulary)}; the files come from different models"
        )
    weights, metrics = _read_weights(folder / WEIGHTS, config, len(vocabulary))
    return Model(
        config=config,
        vocabulary=vocabulary,
        weights=weights,
        metrics=metrics,
        sampling=read_json(folder / "generation.json"),
        provenance=_mapping(described, "provenance"),
    )


def _read_weights(path: Path, config: ModelConfig, vocabulary: int) -> tuple[Weights, Mapping[str, Any]]:
    expected = config.weight_shapes(vocabulary)
    total = config.parameters(vocabulary)
    if total > MOST_PARAMETERS:
        raise ModelError(f"{path.parent}: config.json announces {total:,} parameters; the file is damaged")
    size = _size(path)
    if size < 4 * total:
        raise ModelError(f"{path}: {size:,} bytes cannot hold {total:,} parameters; the file is truncated")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            if missing := [name for name in expected if name not in names]:
                raise ModelError(f"{path}: the weight {missing[0]} is missing; the file is damaged")
            if extra := sorted(names - set(expected)):
                raise ModelError(
                    f"{path}: the weight {extra[0]} is not one of this model's; the file is damaged"
                )
            for name, shape in expected.items():
                found = file.get_slice(name)
                if found.get_dtype() != "F32" or tuple(found.get_shape()) != shape:
                    raise ModelError(
                        f"{path}: {name} is {found.get_dtype()} {tuple(found.get_shape())}, "
                        f"not F32 {shape}; the file is damaged"
                    )
            weights = {name: file.get_tensor(name) for name in expected}
            metrics = json.loads((file.metadata() or {}).get("metrics", "{}"))
    except CharloomError:
        raise
    except Exception as error:  # the library raises its own type, and others for what it did not expect
        raise ModelError(
            f"{path}: not a readable safetensors file ({error}); train or copy it again"
        ) from error
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise ModelError(f"{path}: {name} holds NaN or infinity; train or copy the model again")
    if not config.embedding and not np.array_equal(weights["embedding.weight"], np.eye(vocabulary)):
        raise ModelError(f"{path}: {ONE_HOT_MISMATCH}; the file is damaged")
    return weights, metrics if isinstance(metrics, dict) else {}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from an untrusted file; raises ModelError."""
    if _size(path) > MOST_JSON_BYTES:
        raise ModelError(f"{path}: larger than any such file charloom writes; the file is damaged")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid JSON ({error}); train or copy the model again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: not a JSON object; train or copy the model again")
    return found


def to_json(value: Mapping[str, Any]) -> bytes:
    """Readable JSON; characters outside ASCII are escaped, so that lone surrogates survive."""
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _size(path: Path) -> int:
    try:
        if path.is_file():
            return path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    raise ModelError(f"{path}: the file is missing; this is not a whole charloom model")


def _mapping(described: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = described.get(key)
    if not isinstance(found, dict):
        raise ModelError(f"config.json: {key!r} is not an object; the file is damaged")
    return found
