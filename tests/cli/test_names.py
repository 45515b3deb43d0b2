"""Names of files and folders: not UTF-8, with spaces, with a dash first, mistyped."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
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
    text = (trained.parent / "verse.txt").read_text("utf-8")[:4_000]
    (tmp_path / f"{run}.txt").write_text(text, encoding="utf-8")
    options = ["--steps", "2", "--hidden", "4", "--validation", f"{run}.txt"]
    assert quick("train", f"{run}.txt", *options).code == 0
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["b\N{REPLACEMENT CHARACTER}r"]
    for typed in (
        ["train", f"{run}.txt", *options, "--out", run],
        ["train", "--resume", run, "--steps", "1"],
        ["train", "--config", f"{run}/config.toml", "--from", run, "--overwrite", "--out", run],
        ["eval", run, "--json"],
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


def test_printed_commands_can_be_pasted(quick, tmp_path: Path, trained: Path) -> None:
    """Names with spaces, quotes, a dash first, or bytes that are not UTF-8."""
    shutil.copy(trained.parent / "verse.txt", tmp_path)
    (tmp_path / "-my folder's text.txt").write_text("the cat sat on the mat\n" * 300, encoding="utf-8")
    run = f"--my run's {not_unicode(tmp_path)}"
    found = quick("train", "--steps", "1", "--hidden", "4", f"--out={run}", "--", "-my folder's text.txt")
    assert found.code == 0, found.err
    shown = re.findall(r"charloom (?:sample|report) .*", found.out)
    for typed in shown:
        words = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {typed}"], capture_output=True, check=True, timeout=300
        ).stdout.split(b"\0")[1:-1]
        found = quick(*map(os.fsdecode, words), *(["--length", "3"] if words[0] == b"sample" else []))
        assert found.code == 0, (typed, found.err)
    assert len(shown) == 2


def test_a_text_alone_is_read_by_the_newest_run(quick, tmp_path: Path, trained: Path) -> None:
    shutil.copytree(trained, tmp_path / "runs" / "verse")
    (tmp_path / "new.txt").write_text("The fog comes on little cat feet\n" * 3, encoding="utf-8")
    for command in ("score", "eval"):
        alone, named = quick(command, "new.txt"), quick(command, "runs/verse", "new.txt")
        assert (alone.code, alone.out) == (0, named.out)
        assert alone.err == f"charloom: using {Path('runs', 'verse')}, the newest run\n"
    assert quick("score", "-", input=b"fog\n").out == quick("score", "runs/verse", input=b"fog\n").out


@pytest.mark.parametrize(
    "typed",
    [
        ["sample", ""],
        ["sample", " "],
        ["train", ""],
        ["train", "text.txt", "--out", ""],
        ["train", "--resume", ""],
        ["score", "run", ""],
        ["sample", "run", "--prompt-file", ""],
        ["data", "inspect", ""],
    ],
)
def test_an_empty_name_is_not_the_current_folder(quick, tmp_path: Path, typed: list[str]) -> None:
    found = quick(*typed)
    assert found.code == 2
    assert "it is empty; give a name" in found.err
    assert len(found.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_and_a_link_are_used_as_out(quick, tmp_path: Path, trained: Path) -> None:
    shutil.copy(trained.parent / "verse.txt", tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    for out in ("empty", "link"):
        found = quick("train", "verse.txt", "--steps", "1", "--hidden", "4", "--out", out)
        assert found.code == 0, found.err
        assert quick("train", "--resume", out, "--steps", "1").code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "model.safetensors").is_file()
    (tmp_path / "texts.txt").symlink_to("real.txt")
    assert quick("sample", "empty", "--length", "3", "--out", "texts.txt").code == 0
    (tmp_path / "page.html").symlink_to("real.html")
    assert quick("export", "empty", "--to", "html", "--out", "page.html").code == 0
    for name in ("texts.txt", "page.html"):
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).stat().st_size


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
