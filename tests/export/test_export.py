"""`charloom export`: what it writes, says and refuses."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from charloom.cli import export, main
from charloom.export.bundle import bundle
from charloom.export.precision import PRECISIONS
from charloom.model.folder import Model

MakeModel = Callable[..., tuple[Path, Model]]


def run(*arguments: str | Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture
def source(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path, _ = make_model()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return path


def test_html_is_one_file_named_for_the_model(source: Path) -> None:
    sizes = {}
    for precision in ("float32", "float16", "int8"):
        code, out, err = run(source, "--to", "html", "--precision", precision)
        assert (code, err) == (0, "")
        content = Path("run of mine.html").read_bytes()
        assert out == f"run of mine.html: {len(content):,} bytes, {precision}\n"
        sizes[precision] = len(content)
    assert sizes["float32"] > sizes["float16"] > sizes["int8"]
    page = content.decode("utf-8")
    assert "<title>run of mine</title>" in page
    assert "{{" not in page.split("<style>")[0]
    about = json.loads(page.split('id="about">')[1].split("</script>")[0])
    assert about["vocabulary"]["ids"][:3] == ["a", "b", "c"]
    assert about["curve"] == []


def test_the_training_curve_comes_along(source: Path) -> None:
    records = [
        {"step": 0, "seconds": 1.0, "characters": 0, "loss": None, "nats": 3.0, "rate": 0.1, "best": True},
        {"step": 9, "seconds": 2.0, "characters": 5, "loss": 2.0, "nats": 2.5, "rate": 0.1, "best": True},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (source / "metrics.jsonl").write_text(lines + '{"step": 1', encoding="utf-8")
    assert run(source, "--to", "html", "--out", "page.html")[0] == 0
    about = json.loads(Path("page.html").read_text("utf-8").split('id="about">')[1].split("</script>")[0])
    assert about["curve"] == [
        {"step": 0, "seconds": 1.0, "loss": None, "nats": 3.0},
        {"step": 9, "seconds": 2.0, "loss": 2.0, "nats": 2.5},
    ]


def test_js_is_a_folder_with_the_engine_and_an_example(source: Path) -> None:
    code, out, _ = run(source, "--to", "js", "--precision", "int8")
    folder = Path("run of mine")
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "charloom.js", "config.json", "generation.json", "index.html", "model.safetensors",
        "vocab.json",
    ]  # fmt: skip
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert out == f"run of mine: {total:,} bytes, int8\n"
    engine = (folder / "charloom.js").read_text("utf-8")
    assert engine == bundle("engine/model.js") + "\nexport { Model, load };\n"
    assert (folder / "vocab.json").read_bytes() == (source / "vocab.json").read_bytes()
    example = (folder / "index.html").read_text("utf-8")
    assert len(example.split('<script type="module">')[1].splitlines()) <= 10


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--to", "onnx", "--precision", "int8"], 2, "--to onnx writes float32 only, not int8"),
        (["--to", "wasm"], 2, "is not one of 'html', 'js', 'onnx'"),
        ([], 2, "Missing option '--to'"),
        (["--to", "html", "--out", "no/such/page.html"], 1, "cannot be written"),
        (["--to", "onnx", "--out", "no/such/model.onnx"], 1, "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_told(source: Path, arguments: list[str], code: int, told: str) -> None:
    found, out, err = run(source, *arguments)
    assert (found, out) == (code, "")
    assert told in err
    assert err.count("\n") == 1


def test_the_model_s_own_folder_is_kept(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (source / "model.safetensors").read_bytes()
    monkeypatch.chdir(source.parent)
    code, _, err = run(source, "--to", "js", "--precision", "int8")
    assert code == 2
    assert "is the model's own folder" in err
    assert (source / "model.safetensors").read_bytes() == before


def test_the_command_offers_every_precision() -> None:
    assert export.PRECISIONS == PRECISIONS


def test_no_model_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run("missing", "--to", "html")
    assert code == 1
    assert "there is no such model folder" in err
