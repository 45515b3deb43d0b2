"""Files that the engine in Chromium reads: coarser weights, any alignment, damage, a later format."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Error, Page

from charloom.export.precision import SCALE
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from in_browser import ask

TEXT = 'the rain\n"is heavy" (and cold) é 😀 to.'

MakeFolder = Callable[..., tuple[Path, Model]]
Lab = Callable[..., Page]


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_coarser_weights_are_what_the_file_says(lab: Lab, make_folder: MakeFolder, precision: str) -> None:
    source, model = make_folder("gru", layers=2)
    rounded = dict(model.weights)
    for name, matrix in model.weights.items():
        if matrix.ndim == 2 and precision == "float16":
            rounded[name] = matrix.astype(np.float16).astype(np.float32)
        elif matrix.ndim == 2:
            scale = np.abs(matrix).max(axis=1, keepdims=True) / np.float32(127)
            rounded[name] = (np.rint(matrix / scale) * scale).astype(np.float32)
    generator = Generator(replace(model, weights=rounded))
    page = lab(source, precision)
    found = ask(page, "Array.from(model.prime(x).logits)", TEXT)
    np.testing.assert_allclose(found, generator.prime(TEXT).logits, atol=1e-4)
    assert not np.allclose(found, Generator(model).prime(TEXT).logits, atol=1e-4)


def test_tensors_may_lie_at_any_byte(lab: Lab, make_folder: MakeFolder) -> None:
    source, model = make_folder()
    page = lab(source)
    path = source / "js" / "model.safetensors"
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + size] + b" "
    path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + size :])
    found = ask(page, "Array.from(model.prime(x).logits)", TEXT)
    np.testing.assert_allclose(found, Generator(model).prime(TEXT).logits, atol=1e-4)


def damaged(content: bytes, how: str) -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    if how == "cut in the header":
        return content[:20]
    if how == "cut in the numbers":
        return content[:-9]
    if how == "a tensor left out":
        del header["output.bias"]
    if how == "another type":
        header["output.bias"]["dtype"] = "F64"
    if how == "another shape":
        header["output.bias"]["shape"] = [1, header["output.bias"]["shape"][0]]
    if how == "no scale":
        del header["output.weight" + SCALE]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def test_a_damaged_file_is_told(lab: Lab, make_folder: MakeFolder) -> None:
    source, _ = make_folder()
    page = lab(source, "int8")
    path = source / "js" / "model.safetensors"
    whole = path.read_bytes()
    for how, told in (
        ("cut in the header", "cut short"),
        ("cut in the numbers", "does not fit its place"),
        ("a tensor left out", "output.bias is not of shape"),
        ("another type", "has the type F64"),
        ("another shape", "output.bias is not of shape"),
        ("no scale", "has no scale a row"),
    ):
        path.write_bytes(damaged(whole, how))
        with pytest.raises(Error, match=told):
            ask(page, "1")


def test_a_later_format_is_told(lab: Lab, make_folder: MakeFolder) -> None:
    source, _ = make_folder()
    page = lab(source)
    path = source / "js" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "format": 2}), "utf-8")
    with pytest.raises(Error, match="format 2"):
        ask(page, "1")
