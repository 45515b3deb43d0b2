"""Bytes to text: blocks of any size give what the whole gives; what is no text is named, with the mend."""

from __future__ import annotations

import gzip
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import DataError, UsageError
from charloom.text import sources
from charloom.text.config import DataConfig
from charloom.text.decoding import composed, encoding_of, normalised, text_blocks, text_lines
from charloom.text.encodings import likely_encoding
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
        assert text(opened) == text(opened, encoding="cp1252") == "Grüße"
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


RUSSIAN = "Все счастливые семьи похожи друг на друга. "
CHINESE = "人人生而自由，在尊严和权利上一律平等。"
TAIWANESE = "人人生而自由，在尊嚴和權利上一律平等。"
JAPANESE = "吾輩は猫である。名前はまだ無い。"
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. "
POLISH = "Zażółć gęślą jaźń, chrząszcz brzmi w trzcinie, wszyscy ludzie rodzą się wolni. "


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Le café est déjà fermé, où êtes-vous allés cet été ? ", "cp1252"),
        (PROSE, "cp1252"),
        ("It was the cat\u2019s whiskers. ", "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (POLISH, "cp1250"),
        ("Árvíztűrő tükörfúrógép, minden emberi lény szabadon születik. ", "cp1250"),
        ("Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια. ", "cp1253"),
        ("Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. ", "cp1254"),
        ("כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. ", "cp1255"),
        ("يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. ", "cp1256"),
        ("Visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis. ", "cp1257"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc-jp"),
        (CHINESE, "gb18030"),
        (TAIWANESE, "big5"),
        (KOREAN, "euc-kr"),
        (CHINESE, "utf-16-le"),
        (KOREAN, "utf-16-be"),
        (POLISH, "utf-16-le"),
        (RUSSIAN, "utf-32-be"),
    ],
)
def test_the_likely_encoding(text: str, encoding: str) -> None:
    """Wherever the sample breaks off."""
    data = (text * 10).encode(encoding)
    assert {likely_encoding(data[: len(data) - cut]) for cut in range(5)} == {encoding}


@pytest.mark.parametrize(
    ("written", "encoding", "hint"),
    [
        (CHINESE * 9000, "gbk", "gb18030"),
        (TAIWANESE * 9000, "big5", "big5"),
        (JAPANESE * 9000, "shift_jis", "cp932"),
        (KOREAN.replace(" ", "") * 9000, "euc-kr", "euc-kr"),
        (CHINESE * 9000, "utf-16-be", "utf-16-be"),
        ("plain text, longer than a block\n" * 9000 + PROSE, "cp1252", "cp1252"),
        ("Le café", "cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("before", ["", "x"])
def test_the_hint_reads_what_was_written(
    tmp_path: Path, written: str, encoding: str, hint: str, before: str
) -> None:
    opened = source(tmp_path, (before + written).encode(encoding))
    with pytest.raises(DataError, match=f"try --encoding {hint}$"):
        text(opened)
    assert text(opened, encoding=hint) == before + written
    assert text(opened, encoding=f"utf-8,{hint}") == before + written


@pytest.mark.parametrize(
    ("stray", "told"),
    [
        (
            b"\x92",
            "byte 0x92 at line 5002; fix the line, or read such bytes as cp1252 (\u2019) with --encoding",
        ),
        (b"\xe2\x80", "bytes 0xE2 0x80 at line 5002; fix the line"),
        (b"\x92\x93", "byte 0x92 at line 5002 and 1 more; fix the line"),
    ],
)
def test_stray_bytes_in_utf8_are_named(tmp_path: Path, stray: bytes, told: str) -> None:
    """Another encoding for the whole file would break every other apostrophe."""
    before, after = ("the cat\u2019s whiskers, line by line, more than a block\n" * n for n in (5001, 100))
    opened = source(tmp_path, before.encode() + b"and the dog" + stray + b"s\n" + after.encode())
    with pytest.raises(DataError) as caught:
        text(opened)
    assert str(caught.value).startswith(f"book.txt: UTF-8 except for {told}")
    found = text(opened, encoding="utf-8,cp1252")
    assert found == before + f"and the dog{stray.decode('cp1252')}s\n" + after


def test_utf8_and_another_encoding(tmp_path: Path) -> None:
    """One file of each, stretches of both in one file; what neither can read is still an error."""
    data = DataConfig(encoding="utf-8,cp1252")
    for written in (PROSE.encode(), PROSE.encode("cp1252"), (PROSE + "\n").encode("utf-16")):
        assert "".join(text_blocks(source(tmp_path, written), data)).rstrip("\n") == PROSE
    long = "漢字" * 400_000 + "."
    assert text(source(tmp_path, long.encode()), encoding="utf-8,cp1252") == long
    odd = "x" + "漢字" * 400_000
    assert text(source(tmp_path, odd.encode("gb18030")), encoding="utf-8,gb18030") == odd
    kanji = b"\x1b$B4A;z\x1b(B\n"
    assert text(source(tmp_path, kanji), encoding="utf-8,iso2022_jp") == "漢字\n"
    assert text(source(tmp_path, PROSE.encode("utf-16-le")), encoding="utf-8,utf-16-le") == PROSE
    assert text(source(tmp_path, PROSE.encode()), encoding="utf-8,utf-16-le") == PROSE
    with pytest.raises(DataError, match=r"byte 5 is not UTF-8,CP1252"):
        text(source(tmp_path, b"abc, \x81"), encoding="utf-8,cp1252")
    for wrong in ("utf-8,nix", "cp1252,utf-8"):
        with pytest.raises(UsageError, match="encoding: "):
            DataConfig(encoding=wrong)


def test_with_a_warning_reading_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    log = source(tmp_path, b"one\r\ntw\xc3\xb6\rthr\x92e\n" + b"four\n" * 200 + b"\0\n")
    found = list(text_lines(log, DataConfig(), told.append))
    assert found == ["one", "twö", "thr\ufffde", *["four"] * 200, "\0"]
    (message,) = told
    assert message.startswith("book.txt: UTF-8 except for byte 0x92 at line 3; fix the line, or")
    assert message.endswith("; U+FFFD stands for such bytes")
    told.clear()
    assert list(text_lines(source(tmp_path, "\ufffd漢字".encode() * 99999), DataConfig(), told.append)) == [
        "\ufffd漢字" * 99999
    ]
    assert told == []  # the text has them itself
    with pytest.raises(DataError, match="a PNG image"):
        list(text_lines(source(tmp_path, b"\x89PNG\r\n\x1a\n\0"), DataConfig(), told.append))


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
    for head, what in (
        (b"\x89PNG\r\n\x1a\n\0", "a PNG image"),
        (b"PK\x03\x04" + bytes(26) + b"a.txt", "a zip archive"),
        (bytes(257) + b"ustar", "a tar archive"),
        (b"PAR1\x15\0", "a Parquet table"),
    ):
        with pytest.raises(DataError, match=f"this is {what}"):
            text(source(tmp_path, head))
    for prose in ("RIFF RAFF", "PAR1 is where a Parquet file begins", "ID3 tags"):
        assert text(source(tmp_path, prose.encode())) == prose


def test_a_compressed_pdf_is_still_a_pdf(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this is a PDF"):
        text(source(tmp_path, gzip.compress(b"%PDF-1.7\n"), "book.pdf.gz"))
