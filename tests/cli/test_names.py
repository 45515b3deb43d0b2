"""Names of files and folders: not UTF-8, with spaces, with a dash first, mistyped."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

LATIN = os.fsdecode(b"b\xe4r")  # as an archive from an old Windows leaves it


def not_unicode(folder: Path) -> str:
    try:
        (folder / LATIN).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (folder / LATIN).rmdir()
    return LATIN


def test_names_that_are_not_unicode_work_everywhere(quick, tmp_path: Path, trained: Path) -> None:
    run = not_unicode(tmp_path)
    text = (trained.parent / "verse.txt").read_text("utf-8")[:20_000]
    (tmp_path / f"{run}.txt").write_text(text, encoding="utf-8")
    options = ["--steps", "2", "--hidden", "4", "--validation", f"{run}.txt"]
    for typed in (
        ["train", f"{run}.txt", *options],
        ["train", f"{run}.txt", *options, "--out", run],
        ["train", "--resume", run, "--steps", "1"],
        ["train", "--config", f"{run}/config.toml", "--from", run, "--out", f"{run}2"],
        ["train", "--resume", f"{run}2", "--steps", "1"],
        ["eval", run, "--json"],
        ["report", run],
        ["score", run, f"{run}.txt", "--html", f"{run}.html"],
        ["sample", run, "-n", "2", "--length", "5", "--out", f"{run}.csv"],
        ["export", run, "--to", "html"],
        ["info", run, "--json"],
        ["data", "inspect", f"{run}.txt", "--json"],
    ):
        found = quick(*typed)
        assert (found.code, found.err.count("internal error")) == (0, 0), (typed, found.err)
        if "--json" in typed:
            json.loads(found.out)
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["b\N{REPLACEMENT CHARACTER}r"]
    for name in ("config.toml", "config.json", "README.md", "report.html", "generation.json"):
        content = (tmp_path / run / name).read_text("utf-8")
        if name.endswith(".toml"):
            assert tomllib.loads(content)["corpus"][0].startswith("quoted:b%")


def test_tensorboard_refuses_a_folder_that_it_cannot_write(quick, tmp_path: Path, trained: Path) -> None:
    run = not_unicode(tmp_path)
    shutil.copy(trained.parent / "verse.txt", tmp_path)
    found = quick("train", "verse.txt", "--steps", "1", "--hidden", "4", "--tensorboard", "--out", run)
    assert found.code == 2
    assert found.err.splitlines()[-1].endswith(
        "--tensorboard needs a folder whose name is UTF-8; choose another --out"
    )
    assert not (tmp_path / run).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no passwd")
def test_a_user_without_an_entry_and_a_home(quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("CHARLOOM_CACHE", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for typed in (["data", "inspect", "-"], ["data", "list"], ["info"]):
        found = quick(*typed, input=b"The fog comes on little cat feet\n" * 100)
        assert (found.code, found.err) == (0, "")
    assert list(tmp_path.iterdir()) == []
