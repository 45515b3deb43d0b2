"""What every test may ask for."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

KEPT = Path(tempfile.gettempdir(), "charloom-tests")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as charloom.training, for tests that load torch first
os.environ["CHARLOOM_CACHE"] = str(KEPT)  # compiled functions choose their cache when they are imported

settings.register_profile("charloom", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("charloom")  # no test fails because the machine is busy

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a test caches is left behind in, or read from, the cache of whoever runs it.

    Compiled code, which takes a while to make and names the sources it comes from, is kept for the next run.
    """
    cache = tmp_path_factory.getbasetemp() / "cache"
    if not cache.exists():
        compiled = KEPT / "compiled"
        compiled.mkdir(parents=True, exist_ok=True)
        cache.mkdir()
        with contextlib.suppress(OSError):  # Windows wants a right for it
            (cache / "compiled").symlink_to(compiled, target_is_directory=True)
    monkeypatch.setenv("CHARLOOM_CACHE", str(cache))


@pytest.fixture
def data_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real texts: `CHARLOOM_DATA`, or `shared/data` beside the checkout."""
    folder = Path(os.environ.get("CHARLOOM_DATA", SHARED))
    if not (folder / "tinyshakespeare.txt").is_file():
        pytest.skip(f"the real texts are not here: {folder} (set CHARLOOM_DATA)")
    monkeypatch.setenv("CHARLOOM_DATA", str(folder))
    return folder
