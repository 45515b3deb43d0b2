"""Model folders that nobody should trust: one clear line, no code run, nothing large allocated."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from charloom.errors import ModelError
from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.model.folder import Model
from charloom.text.vocabulary import BOS, BYTE, EOS, Vocabulary
from untrained import of, write

VOCABULARY = Vocabulary.from_text("abc é\ud800😀\n", (BOS, EOS, BYTE))
CONFIG = ModelConfig(cell="lstm", layers=2, hidden=5, embedding=3)


def made(config: ModelConfig = CONFIG) -> Model:
    return of(config, VOCABULARY)


def edit(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        found = json.loads((path / name).read_bytes())
        change(found)
        (path / name).write_text(json.dumps(found), encoding="utf-8")

    return damage


def set_in(name: str, *keys: str | int, value: Any) -> Callable[[Path], None]:
    def change(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return edit(name, change)


def content(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda path: (path / name).write_bytes(data)  # type: ignore[return-value]


def missing(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        weights: dict[str, Any] = dict(made().weights)
        change(weights)
        (path / folder.WEIGHTS).write_bytes(save(weights))

    return damage


def one(name: str, value: float) -> Callable[[Path], None]:
    def change(weights: dict[str, Any]) -> None:
        weights[name] = weights[name].copy()
        weights[name].flat[-1] = value

    return tensors(change)


def header(text: bytes, length: int | None = None, tail: bytes = b"") -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        size = len(text) if length is None else length
        padding = tail or bytes(4 * made().parameters)
        (path / folder.WEIGHTS).write_bytes(struct.pack("<Q", size) + text + padding)

    return damage


def cut(path: Path) -> None:
    file = path / folder.WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    **{
        f"no {name}": (missing(name), f"{name}: the file is missing; this is not a whole charloom model")
        for name in ("config.json", "vocab.json", "generation.json", "model.safetensors")
    },
    "config not JSON": (content("config.json", b"{'format': 1}"), "config.json: not valid JSON"),
    "config empty": (content("config.json", b""), "config.json: not valid JSON"),
    "config binary": (content("config.json", b"\xff\xfe\x00"), "config.json: not valid JSON"),
    "config a list": (content("config.json", b"[1]"), "config.json: not a JSON object"),
    "config nested deeply": (content("config.json", b'{"a":' + b"[" * 200_000), "not valid JSON"),
    "vocabulary nested deeply": (content("vocab.json", b"[" * 200_000), "vocab.json: not valid JSON"),
    "huge number": (content("config.json", b'{"format": ' + b"9" * 10_000 + b"}"), "not valid JSON"),
    "no format": (edit("config.json", lambda found: found.pop("format")), "no format version"),
    "format a text": (set_in("config.json", "format", value="1"), "no format version"),
    "format true": (set_in("config.json", "format", value=True), "no format version"),
    "format zero": (set_in("config.json", "format", value=0), "no format version"),
    "future format": (
        set_in("config.json", "format", value=2),
        "model format 2 is newer than this charloom reads (1); upgrade charloom",
    ),
    "future vocabulary": (set_in("vocab.json", "format", value=9), "format 9 is newer"),
    "unknown key": (set_in("config.json", "model", "heads", value=8), "the key 'heads' is not known"),
    "missing key": (edit("config.json", lambda found: found["model"].pop("cell")), "'cell' is missing"),
    "model a list": (set_in("config.json", "model", value=[]), "'model' is not an object"),
    "provenance a text": (set_in("config.json", "provenance", value="me"), "'provenance' is not an object"),
    "unknown cell": (set_in("config.json", "model", "cell", value="xlstm"), "cell 'xlstm' is not known"),
    "cell an object": (set_in("config.json", "model", "cell", value={}), "is not known"),
    "hidden a text": (set_in("config.json", "model", "hidden", value="5"), "hidden is '5'"),
    "hidden negative": (set_in("config.json", "model", "hidden", value=-5), "hidden is -5"),
    "hidden huge": (set_in("config.json", "model", "hidden", value=10**15), "hidden is 1000000000000000"),
    "hidden large": (set_in("config.json", "model", "hidden", value=32_768), "announces"),
    "layers many": (set_in("config.json", "model", "layers", value=64), "cannot hold"),
    "hidden another": (set_in("config.json", "model", "hidden", value=4), "not F32"),
    "hidden larger": (set_in("config.json", "model", "hidden", value=50), "cannot hold"),
    "layers fewer": (set_in("config.json", "model", "layers", value=1), "layers.1."),
    "cell another": (set_in("config.json", "model", "cell", value="gru"), "not F32"),
    "size another": (
        set_in("config.json", "vocabulary_size", value=3),
        "config.json announces 3 ids, vocab.json has 11; the files come from different models",
    ),
    "vocabulary another": (
        content("vocab.json", json.dumps(Vocabulary.from_text("ab").to_json()).encode()),
        "config.json announces 11 ids, vocab.json has 2",
    ),
    "vocabulary wrong": (set_in("vocab.json", "ids", 0, value="ab"), "vocab.json"),
    "vocabulary twice": (set_in("vocab.json", "ids", 0, value="b"), "two ids"),
    "generation a list": (content("generation.json", b"[]"), "generation.json: not a JSON object"),
    "one-hot not the identity": (
        lambda path: _spoil_identity(write(path, made(ModelConfig(hidden=2, embedding=0)))),
        "embedding.weight is not the identity",
    ),
    "weight missing": (
        tensors(lambda w: w.pop("output.bias")),
        "weight output.bias is missing",
    ),
    "weight misnamed": (
        tensors(lambda w: w.update(bias=w.pop("output.bias"))),
        "the weight output.bias is missing; the file is damaged",
    ),
    "weight more": (tensors(lambda w: w.update(extra=np.zeros(1, np.float32))), "weight extra is not one"),
    "shape wrong": (
        tensors(lambda w: w.update({"output.weight": w["output.weight"].T.copy()})),
        "output.weight is F32 (5, 11), not F32 (11, 5)",
    ),
    "dtype half": (
        tensors(lambda w: w.update({"output.bias": np.zeros(22, np.float16)})),
        "output.bias is F16 (22,), not F32 (11,)",
    ),
    "dtype whole": (tensors(lambda w: w.update({"output.bias": np.zeros(11, np.int32)})), "bias is I32"),
    "NaN": (one("layers.1.weight_hidden", np.nan), "layers.1.weight_hidden holds NaN or infinity"),
    "infinity": (one("output.bias", np.inf), "output.bias holds NaN or infinity"),
    "minus infinity": (one("embedding.weight", -np.inf), "embedding.weight holds NaN or infinity"),
    "cut": (cut, "not a readable safetensors file"),
    "empty": (content("model.safetensors", b""), "0 bytes cannot hold"),
    "noise": (header(b"\x80\x04garbage"), "not a readable safetensors file"),
    "header too long": (header(b"{}", length=2**62), "not a readable safetensors file"),
    "header beyond the file": (header(b"{}", length=10**6), "not a readable safetensors file"),
    "header nested deeply": (header(b"[" * 100_000), "not a readable safetensors file"),
    "huge tensor": (
        header(b'{"output.bias":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'),
        "not a readable safetensors file",
    ),
    "metrics nested deeply": (
        lambda path: (path / folder.WEIGHTS).write_bytes(
            save(dict(made().weights), metadata={"metrics": "[" * 100_000})
        ),
        "not a readable safetensors file",
    ),
    "a folder": (
        lambda path: ((path / folder.WEIGHTS).unlink(), (path / folder.WEIGHTS).mkdir()),
        "the file is missing",
    ),
}  # fmt: skip


def _spoil_identity(path: Path) -> None:
    model = made(ModelConfig(hidden=2, embedding=0))
    weights = {**model.weights, "embedding.weight": np.roll(model.weights["embedding.weight"], 1, 0)}
    (path / folder.WEIGHTS).write_bytes(save(weights))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_one_line(name: str, tmp_path: Path) -> None:
    damage, told = BAD[name]
    path = write(tmp_path / "model", made())
    damage(path)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError) as caught:
            folder.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert told in message
    assert "\n" not in message
    assert len(message) < 500
    assert not message.endswith(".")
    assert peak < 50e6


def test_no_folder_and_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such model folder; charloom train makes one"):
        folder.read(tmp_path / "nothing")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ModelError, match="no such model folder"):
        folder.read(tmp_path / "file")
    with pytest.raises(ModelError, match=r"config\.json: the file is missing"):
        folder.read(tmp_path)


def test_an_oversized_vocabulary_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "model", made())
    with (path / "vocab.json").open("r+b") as file:
        file.truncate(folder.MOST_JSON_BYTES + 1)  # sparse: the disk holds next to nothing
    with pytest.raises(ModelError, match=r"vocab\.json: larger than any such file"):
        folder.read(path)


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_is_an_error_or_a_model(data: st.DataObject, tmp_path: Path) -> None:
    """Bytes overwritten anywhere in any file: nothing but ModelError ever comes out."""
    path = write(tmp_path / "model", made())
    name = data.draw(st.sampled_from(["config.json", "vocab.json", "generation.json", "model.safetensors"]))
    original = (path / name).read_bytes()
    start = data.draw(st.integers(0, len(original) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=9))
    (path / name).write_bytes(original[:start] + patch + original[start + len(patch) :])
    try:
        model = folder.read(path)
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert all(np.isfinite(array).all() for array in model.weights.values())
        assert {n: a.shape for n, a in model.weights.items()} == model.config.weight_shapes(
            len(model.vocabulary)
        )
