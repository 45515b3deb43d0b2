"""The commands that README and the guides show, run."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCES = runpy.run_path(str(DOCS / "fences.py"))
QUICK = ("README.md", "own-text.md")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material") / "made"
    folder.mkdir()
    FENCES["material"](folder)
    return folder


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[] if page.name in QUICK else [pytest.mark.slow])
        for page in FENCES["PAGES"]
    ],
)
def test_every_command_of_a_page_runs_or_is_named(
    page: Path, made: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "ag_news" in page.read_text("utf-8"):
        request.getfixturevalue("data_folder")
    folder = tmp_path / "page"
    shutil.copytree(made, folder)
    for line in FENCES["follow"](page, folder):
        print("not run:", line)


def test_a_command_that_fails_or_is_unknown_is_noticed(made: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\ncharloom sample nothing\n```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="charloom sample nothing"):
        FENCES["follow"](page, made)
    page.write_text("1. so:\n\n   ```sh\n   rm -rf book\n   ```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="name it in CANNOT_RUN"):
        FENCES["follow"](page, made)


def test_blocks_are_found_in_lists_too() -> None:
    page = "text\n\n```sh\none  # why\n```\n\n- a\n\n  ```python\n  x = 1\n    y\n  ```\n"
    assert [tuple(fence) for fence in FENCES["fences"](page)] == [
        ("sh", "one  # why", 3), ("python", "x = 1\n  y", 9)
    ]  # fmt: skip
