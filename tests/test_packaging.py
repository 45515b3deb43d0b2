"""The wheel and the source distribution: built, installed where nothing else is, and driven."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import charloom

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "model" / "golden" / "format-1"
CORE = ("numpy", "safetensors", "click", "rich", "platformdirs", "filelock", "numba")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    out = tmp_path_factory.mktemp("dist")
    made = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return out


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the wheel is installed, with what it needs and nothing else.

    What it needs is linked from this environment, so that nothing is fetched.
    """
    place = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(place, with_pip=False, symlinks=sys.platform != "win32")
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    packages = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True, encoding="utf-8", check=True,
        ).stdout.strip()
    )  # fmt: skip
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:  # what pip does with a wheel of Python alone
        archive.extractall(packages)
    for path in _needed():
        (packages / path.name).symlink_to(path, target_is_directory=path.is_dir())
    return python


def _needed() -> list[Path]:
    """Where the core dependencies, and what they need, lie in this environment."""
    from importlib.metadata import PackageNotFoundError, distribution

    from packaging.requirements import Requirement

    found: dict[str, list[Path]] = {}
    waiting = list(CORE)
    while waiting:
        name = waiting.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            assert name == "numba"  # of a Python that it has not reached
            continue
        if name in found:
            continue
        tops = {Path(str(file)).parts[0] for file in package.files or () if not str(file).startswith("..")}
        found[name] = [Path(str(package.locate_file(top))) for top in tops if top != "__pycache__"]
        for line in package.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return sorted({path for paths in found.values() for path in paths if path.exists()})


def run(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [python, "-m", "charloom", *words],
        cwd=folder, capture_output=True, encoding="utf-8", timeout=300, env=environment,
    )  # fmt: skip


def test_the_wheel_holds_the_page_the_types_and_the_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"charloom/py.typed", "charloom/insight/report.css", "charloom/web/page/index.html"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]
    source = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src").rglob("*") if p.is_file()}
    assert {name for name in source if "__pycache__" not in name} <= names


def test_the_source_distribution_can_test_itself(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as found:
        names = {Path(*Path(name).parts[1:]).as_posix() for name in found.getnames()}
    assert {"Makefile", "constraints.txt", "pyproject.toml", "docs/conf.py", "README.md"} <= names
    assert {"tests/test_house.py", "benchmarks/all.py", "examples/odd_line.py", "CITATION.cff"} <= names


def test_every_page_tells_the_same_version() -> None:
    assert f"\nversion: {charloom.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    first = re.search(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert first is not None
    assert first[1] == charloom.__version__


def test_a_model_writes_where_there_is_no_torch(bare: Path, tmp_path: Path) -> None:
    assert run(bare, tmp_path, "--version").stdout.startswith("charloom, version ")
    shutil.copytree(GOLDEN, tmp_path / "model")
    told = run(bare, tmp_path, "sample", "model", "--prompt", "The ", "--greedy", "--length", "40")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("The ")
    page = run(bare, tmp_path, "export", "model", "--to", "html", "--out", "page.html")
    assert page.returncode == 0, page.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000
    (tmp_path / "some.txt").write_text("The cat sat.\n", encoding="utf-8")
    scored = run(bare, tmp_path, "score", "model", "some.txt")
    assert scored.stdout.startswith("1\t"), scored.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("train some.txt --steps 1", "train"),
        ("serve model", "serve"),
        ("export model --to onnx", "onnx"),
        ("data inspect some.parquet", "data"),
        ("sample model --prompt The --novel 20", "novelty"),
    ],
)
def test_an_extra_that_is_missing_is_named(bare: Path, tmp_path: Path, words: str, extra: str) -> None:
    (tmp_path / "some.txt").write_text("The cat sat.\n" * 50, encoding="utf-8")
    (tmp_path / "some.parquet").write_bytes(b"PAR1")
    if extra == "novelty":  # copies are looked for in a model's own text
        charloom.train(tmp_path / "some.txt", out=tmp_path / "model", steps=1, hidden=8, documents="whole")
    else:
        shutil.copytree(GOLDEN, tmp_path / "model")
    told = run(bare, tmp_path, *words.split())
    assert told.returncode in (1, 2)
    assert f"pip install 'charloom[{extra}]'" in told.stderr
    assert told.stderr.count("\n") <= 3
    assert "Traceback" not in told.stderr
