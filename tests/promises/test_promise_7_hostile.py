"""Promise 7: a hostile or damaged model folder gives an error: no code runs, nothing huge is allocated."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom import settings as settings_room
from charloom.errors import CharloomError
from charloom.model import folder
from charloom.text.config import DataConfig
from charloom.text.corpus import prepare
from charloom.training import checkpoint

GOLDEN = Path(__file__).parents[1] / "model" / "golden" / "format-1"
FILES = sorted(path.name for path in GOLDEN.iterdir() if path.suffix in (".json", ".safetensors"))
LIMIT = 2**30  # bytes that no reader of a folder of 100 kB may ask for


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """What wants more memory than this fails at once, instead of being given it lazily."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory by /proc")


def survives(model: Path) -> None:
    """It loads, or is refused in one line; nothing else."""
    with limited():
        try:
            folder.read(model)
        except CharloomError as error:
            if "\n" in str(error):
                raise AssertionError("more than a line") from error


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path_factory.mktemp("hostile") / "model"))


@contextlib.contextmanager
def changed(model: Path, name: str, content: bytes) -> Iterator[None]:
    before = (model / name).read_bytes()
    (model / name).write_bytes(content)
    try:
        yield
    finally:
        (model / name).write_bytes(before)


@pytest.mark.parametrize("name", FILES)
def test_every_truncation(name: str, copy: Path) -> None:
    """Of the first bytes and the last each one, in between some."""
    whole = (copy / name).read_bytes()
    cuts = {*range(min(64, len(whole))), *range(0, len(whole), max(1, len(whole) // 64))}
    for cut in sorted(cuts | {len(whole) - back for back in range(1, min(17, len(whole)))}):
        with changed(copy, name, whole[:cut]):
            survives(copy)


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bits(data: st.DataObject, copy: Path) -> None:
    name = data.draw(st.sampled_from(FILES))
    content = bytearray((copy / name).read_bytes())
    for place in data.draw(st.lists(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=8)):
        content[place // 8] ^= 1 << place % 8
    with changed(copy, name, bytes(content)):
        survives(copy)


def header(found: dict[str, Any]) -> bytes:
    text = json.dumps(found).encode("utf-8")
    return struct.pack("<Q", len(text)) + text


HEADERS = {
    "a header of 2^60 bytes": struct.pack("<Q", 2**60) + b"{}",
    "a header of -1 bytes": struct.pack("<q", -1) + b"{}",
    "a shape of 2^60": header({"x": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 2**62]}}),
    "a shape whose product overflows": header(
        {"output.bias": {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 4]}}
    ),
    "ranges that overlap": header(
        {n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("output.bias", "output.weight")}
    ) + bytes(4),
    "ranges backwards": header({"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}) + bytes(8),
    "deep JSON": struct.pack("<Q", 10**5) + b"[" * 10**5,
    "a path for a name": header({"../../x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}) + b"x",
    "a pickle": b"\x80\x04cposix\nsystem\n\x94.",
}  # fmt: skip


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_hostile_headers(content: bytes, copy: Path) -> None:
    with changed(copy, folder.WEIGHTS, content), limited(), pytest.raises(CharloomError):
        folder.read(copy)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)


@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_anywhere_in_the_json(data: st.DataObject, copy: Path) -> None:
    """One value of a file, at any depth, becomes another; large and negative sizes among them."""
    name = data.draw(st.sampled_from([name for name in FILES if name.endswith(".json")]))
    found = json.loads((copy / name).read_bytes())
    at: Any = found
    while True:
        keys = list(range(len(at))) if isinstance(at, list) else list(at)
        key = data.draw(st.sampled_from(keys)) if keys else None
        if key is None or not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    if key is not None:
        at[key] = data.draw(JSON | st.sampled_from([2**60, -1, 10**9, "../../etc/passwd", [[[[]]]]]))
    with changed(copy, name, json.dumps(found).encode("utf-8")):
        survives(copy)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".json")])
@pytest.mark.parametrize(
    "content", [b"[" * 10**6, b'{"a":' * 10**5, b"\xff\xfe\0", b"1e999", b'{"format": 1}']
)
def test_json_that_is_deep_or_none(name: str, content: bytes, copy: Path) -> None:
    with changed(copy, name, content):
        survives(copy)


@given(content=st.binary(max_size=400))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_configuration_of_any_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with contextlib.suppress(CharloomError):
        chosen = settings_room.resolve(file=path)
        for section in settings_room.SECTIONS:
            chosen.build(section)


SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".gz", ".bz2", ".xz", ".csv.gz", ".parquet", ".zst")


@given(
    content=st.binary(max_size=300), suffix=st.sampled_from(SUFFIXES), unit=st.sampled_from(["char", "byte"])
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_corpus_of_any_bytes(content: bytes, suffix: str, unit: Any, tmp_path: Path) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(CharloomError), limited():
        prepare([path], DataConfig(unit=unit))


def test_a_checkpoint_of_any_bytes(tmp_path: Path) -> None:
    """It is passed over, and said to be."""
    for content in HEADERS.values():
        left = tmp_path / "checkpoints" / "step-3"
        left.mkdir(parents=True, exist_ok=True)
        for name in ("sums.json", "state.json", *(f"{group}.safetensors" for group in checkpoint.GROUPS)):
            (left / name).write_bytes(content)
        with limited():
            found, passed = checkpoint.latest(tmp_path)
        assert found is None
        assert len(passed) == 1
