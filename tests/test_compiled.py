"""Without numba, and where nothing can be written, text is still generated."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import untrained
from charloom.compiled import COMPILES, cache_folder

SUPPORT = Path(__file__).parent / "support"
SCRIPT = """
import sys
{before}
sys.path.insert(0, {support!r})
import untrained
from charloom import compiled
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
compiled.on_compile.append(lambda: print("compiling"))
generator = Generator(untrained.model("gru", layers=2))
print(type(generator.engine).__name__)
for options in ({{}}, {{"temperature": 0}}, {{"top_p": 0.5, "stop": ("t",)}}, {{"match": "[a-d]{{4}}"}}):
    print(repr(generator.sample("the ", settings=SamplerConfig(length=20, **options)).text))
print("torch" in sys.modules)
"""


EQUALITY = """
import sys
sys.path.insert(0, {support!r})
import untrained
from charloom import compiled
from charloom.runtime.vectors import DOTS, LANES
from engines import difference
compiled.on_compile.append(lambda: print("compiling"))
for cell in ("lstm", "gru"):
    model = untrained.model(cell, layers=2, hidden=130)
    assert difference(model, "float32", 9, 11) < 1e-5
    assert difference(model, "int8", 9, 1) < 1e-5
print(LANES, DOTS)
"""
HASWELL = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe,+popcnt"


def run(script: str, under: tuple[str, ...] = (), **environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "CHARLOOM_CACHE")}
    result = subprocess.run(
        [*under, sys.executable, "-c", script],
        env={**kept, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def texts(before: str = "", **environment: str) -> list[str]:
    return run(SCRIPT.format(before=before, support=str(SUPPORT)), **environment)


def test_without_numba_the_twins_write(tmp_path) -> None:
    lines = texts("sys.modules['numba'] = None", CHARLOOM_CACHE=str(tmp_path))
    assert lines[0] == "Twins"
    assert lines[-1] == "False"
    assert len(lines) == 6
    # where numba is, but must not compile, likewise
    assert texts(NUMBA_DISABLE_JIT="1", CHARLOOM_CACHE=str(tmp_path)) == lines
    folder = untrained.write(tmp_path / "model", untrained.model(ends=-9))
    command = f"from charloom.cli import main; main(['sample', {str(folder)!r}, '--length', '9'])"
    assert len("\n".join(run(command, NUMBA_DISABLE_JIT="1", CHARLOOM_CACHE=str(tmp_path)))) >= 9


X86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="not an x86 processor")


@X86
@pytest.mark.skipif(not COMPILES, reason="numba is not installed")
def test_targets_of_numba_share_a_cache_and_never_code(tmp_path) -> None:
    """Code for older processors, compiled on this one into a cache that all share, then run on an old one."""
    script = EQUALITY.format(support=str(SUPPORT))
    shared = {"CHARLOOM_CACHE": str(tmp_path)}
    haswell = {**shared, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": HASWELL}
    generic = {**shared, "NUMBA_CPU_NAME": "generic"}
    assert run(script, **haswell) == ["compiling", "8 pairs"]
    assert run(script, **generic) == ["compiling", "4 pairs"]
    assert len(list((tmp_path / "compiled").iterdir())) == 2
    emulator = shutil.which("qemu-x86_64")
    old = (emulator, "-cpu", "Haswell-v4") if emulator else ()
    assert run(script, old, **haswell) == ["8 pairs"]
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed, which has an older processor: apt-get install qemu-user")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc stands for a disk that cannot be written")
@pytest.mark.parametrize("name", ["CHARLOOM_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_a_folder_that_cannot_be_written_is_not_used(tmp_path, monkeypatch, name) -> None:
    for other in ("CHARLOOM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, str(tmp_path))
    assert tmp_path in cache_folder().parents
    for nowhere in ("/proc/nowhere", str(Path(__file__) / "below a file")):
        monkeypatch.setenv(name, nowhere)
        assert cache_folder() is None


@pytest.mark.slow
@pytest.mark.skipif(not COMPILES, reason="numba is not installed")
def test_the_cache_is_used_and_can_be_done_without(tmp_path) -> None:
    first = texts(CHARLOOM_CACHE=str(tmp_path / "cache"))
    again = texts(CHARLOOM_CACHE=str(tmp_path / "cache"))
    assert sorted(first[:2]) == ["Kernels", "compiling"]  # the engine already compiles what it starts with
    assert first.count("compiling") == 1
    assert again == [line for line in first if line != "compiling"]
    (tmp_path / "file").write_text("no folder can be made below a file", encoding="utf-8")
    assert texts(CHARLOOM_CACHE=str(tmp_path / "file")) == first
