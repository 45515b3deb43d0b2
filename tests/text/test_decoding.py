"""Bytes to text: blocks of any size give what the whole gives; what is no text is named, with the mend."""

from __future__ import annotations

import gzip
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.errors import DataError
from charloom.text import sources
from charloom.text.config import DataConfig
from charloom.text.decoding import composed, encoding_of, likely_encoding, normalised, text_blocks
from charloom.text.sources import Source

COMBINING = st.text(
    st.one_of(
        st.characters(), st.sampled_from("aeoAEe\u0301\u0327\u0323\u1100\u1161\u11a8\uac00\u0dd9\u0dcf\u0f71")
    )
)
PROSE = (
    "Die Straße führt über grüne Höhen, und der Müller grüßt die Gäste vor der Tür. "
    "Später würden sie süße Äpfel, Brötchen und Käse für die Brüder und Schwestern kaufen müssen. "
)


def source(folder: Path, data: bytes, name: str = "book.txt") -> Source:
    path = folder / name
    path.write_bytes(data)
    return Source(path, name)


def text(source: Source, **settings: str) -> str:
    return "".join(text_blocks(source, DataConfig(**settings)))  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(COMBINING))
def test_blocks_compose_like_the_whole(blocks: list[str]) -> None:
    assert "".join(composed(iter(blocks))) == unicodedata.normalize("NFC", "".join(blocks))


def test_composition_lets_go_of_what_is_settled() -> None:
    """Memory does not grow: after each block but a character or so has been given."""

    def blocks() -> Iterator[str]:
        for _ in range(100):
            assert taken >= given - 10
            yield "é\u0301漢字" * 2

    given = taken = 0
    for piece in composed(blocks()):
        taken += len(piece)
        given += 8


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "shift_jis"])
def test_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, encoding: str
) -> None:
    monkeypatch.setattr(Source.blocks, "__defaults__", (size,))
    written = (
        "a\r\n\rb\n日本\r\n"
        if encoding == "shift_jis"
        else "e\u0301\r\n\rü\n\n"
        if "utf" in encoding
        else "é\r\rü\n"
    )
    opened = source(tmp_path, written.encode(encoding))
    expected = unicodedata.normalize("NFC", written.replace("\r\n", "\n").replace("\r", "\n"))
    marked = encoding.startswith("utf-") and size > 3  # a mark takes up to four bytes of the first block
    asked = "utf-8" if marked else encoding
    assert text(opened, encoding=asked) == expected == normalised(written, DataConfig())
    assert text(opened, encoding=asked, normalize="none") == written
    assert text(opened, unit="byte").encode("latin-1") == opened.path.read_bytes()


def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        opened = source(tmp_path, "Grüße".encode(encoding))
        assert text(opened) == "Grüße"
        assert encoding_of(opened, DataConfig()) == encoding
    big_endian = source(tmp_path, "\ufeffGrüße".encode("utf-16-be"))
    assert text(big_endian) == "Grüße"
    assert encoding_of(source(tmp_path, b"plain"), DataConfig()) == "utf-8"


def test_what_unicode_calls_line_ends_are_characters(tmp_path: Path) -> None:
    kept = "a\x0bb\x0c\x1cc\x85d\u2028e"
    assert text(source(tmp_path, kept.encode())) == kept


@pytest.mark.parametrize(("encoding", "likely"), [("cp1252", "cp1252"), ("utf-16-le", "utf-16")])
def test_a_wrong_encoding_is_located_and_a_likely_one_named(
    tmp_path: Path, encoding: str, likely: str
) -> None:
    opened = source(tmp_path, ("plain text, long before anything else. " * 8000 + PROSE * 4).encode(encoding))
    with pytest.raises(DataError) as caught:
        text(opened)
    message = str(caught.value)
    if encoding == "cp1252":
        at = opened.path.read_bytes().index("ß".encode(encoding))
        assert at > sources.BLOCK
        assert message.startswith(f"book.txt: byte {at} is not UTF-8; try --encoding ")
    assert message.endswith(f"try --encoding {likely}") or "NUL" in message
    suggested = message.rpartition(" ")[2]
    if "--encoding" in message:
        assert "Straße führt" in text(opened, encoding=suggested)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Le café est déjà fermé, où êtes-vous allés cet été ? " * 20, "cp1252"),
        (PROSE, "cp1252"),
        ("Все счастливые семьи похожи друг на друга. " * 10, "cp1251"),
        ("Zażółć gęślą jaźń, chrząszcz brzmi w trzcinie, wszyscy ludzie rodzą się wolni. " * 10, "cp1250"),
        ("Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια. " * 10, "cp1253"),
        ("吾輩は猫である。名前はまだ無い。" * 10, "cp932"),
        ("人人生而自由，在尊严和权利上一律平等。" * 10, "gb18030"),
    ],
)
def test_the_likely_encoding(text: str, encoding: str) -> None:
    assert likely_encoding(text.encode(encoding)) == encoding


def test_a_character_across_blocks_is_located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Source.blocks, "__defaults__", (4,))
    with pytest.raises(DataError, match="byte 7 is not UTF-8"):
        text(source(tmp_path, b"aaaaaaa\xc3bbbb"))
    with pytest.raises(DataError, match="the last character, at byte 7, is cut short"):
        text(source(tmp_path, b"aaaaaaa\xc3"))


def test_binary_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tool: byte 5 is NUL.*--unit byte"):
        text(source(tmp_path, b"\x7fELF\x02\x00\x01\x01" * 40, "tool"))
    assert text(source(tmp_path, b"a\0b"), unit="byte") == "a\0b"


def test_documents_in_other_formats_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "letter.docx", "w") as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(DataError, match=r"letter\.docx: this is a \.docx.*save it as plain text"):
        text(Source(tmp_path / "letter.docx", "letter.docx"))
    for head in (b"%PDF-1.7\n", b"{\\rtf1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        with pytest.raises(DataError, match="save it as plain text"):
            text(source(tmp_path, head + b" and so on"))


def test_a_compressed_pdf_is_still_a_pdf(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this is a PDF"):
        text(source(tmp_path, gzip.compress(b"%PDF-1.7\n"), "book.pdf.gz"))
