"""Escapes in what is typed, and endings of files in capitals."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import untrained
from charloom.cli.given import escaped, unescaped
from charloom.text.vocabulary import Vocabulary

NOTE = "is an escape; double a backslash that is meant"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows line ends and no backslash."""
    made = untrained.model()
    made.weights["output.bias"][made.vocabulary.places["\n"]] += 3  # so that lines end now and then
    return untrained.write(tmp_path_factory.mktemp("escapes") / "model", made)


@pytest.fixture(scope="module")
def tex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows both."""
    vocabulary = Vocabulary.of_characters(untrained.LETTERS + "\\", untrained.SPECIALS)
    return untrained.write(tmp_path_factory.mktemp("escapes") / "tex", untrained.model(vocabulary=vocabulary))


@pytest.mark.parametrize("option", ["--stop", "--ban"])
def test_an_escaped_line_end_is_a_line_end(quick, model: Path, option: str) -> None:
    typed = ["sample", model, "--length", "300", "--ignore-eos"]
    plain, found, literal = quick(*typed), quick(*typed, option, "\\n"), quick(*typed, option, "\n")
    assert "\n" in plain.out[:-1]
    assert "\n" not in found.out[:-1]
    assert (found.code, found.out, found.err) == (0, literal.out, "")


def test_escapes_in_a_prompt_and_what_may_be_written(quick, model: Path) -> None:
    found = quick(
        "sample", model, "--prompt", "one\\ntwo ", "--only", "a\\n", "--length", "20", "--ignore-eos"
    )
    assert found.out.startswith("one\ntwo ")
    assert set(found.out.removeprefix("one\ntwo ")) <= set("a\n")
    assert found.err == ""


def test_a_backslash_that_is_meant_is_doubled(quick, tex: Path) -> None:
    for typed, prompt, note in (
        ("\\\\nabla ", "\\nabla ", True),
        ("\\section ", "\\section ", False),
        ("\\nabla ", "\nabla ", True),
    ):
        found = quick("sample", tex, "--prompt", typed, "--length", "1")
        assert found.out.startswith(prompt)
        assert (NOTE in found.err) == note


def test_a_file_and_a_pattern_are_taken_as_they_are(quick, model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("one\\ntwo", encoding="utf-8")
    assert quick("sample", model, "--prompt-file", "prompt.txt", "--length", "1").out.startswith("one\\ntwo")
    assert quick("sample", model, "--match", r"a\nb").out == "a\nb\n"


def test_what_is_escaped_is_what_was_meant() -> None:
    made = untrained.model()
    for text in ("\n", "a\tb\\n", "\\\\", "\r\n", "x\\"):
        assert unescaped(made, "--prompt", escaped(text)) == text


@pytest.mark.parametrize("option", ["--prompt", "--stop", "--ban", "--only", "--source"])
def test_an_option_that_is_not_unicode_is_refused(quick, model: Path, option: str) -> None:
    found = quick("sample", model, option, "a\udce4")
    assert (found.code, found.err) == (
        2,
        f"charloom: {option}: character 1 is not UTF-8; use a terminal that is\n",
    )


def test_endings_in_capitals(quick, model: Path, tmp_path: Path) -> None:
    for name in ("a.txt", "b.TXT", "c.Txt.GZ"):
        found = quick("sample", model, "-n", "2", "--length", "9", "--out", name)
        assert found.code == 0, found.err
    plain = (tmp_path / "a.txt").read_bytes()
    assert (tmp_path / "b.TXT").read_bytes() == plain == gzip.decompress((tmp_path / "c.Txt.GZ").read_bytes())
