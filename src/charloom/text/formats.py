"""Files that hold no plain text, by how they begin, and what to do with them."""

from __future__ import annotations

import re

SAVE, GIVE, UNPACK = "save it as plain text (.txt) first", "give a text", "unpack it first"
PACKED = {".gz": b"\x1f\x8b\x08", ".bz2": b"BZh91AY", ".xz": b"\xfd7zXZ\0", ".zst": b"\x28\xb5\x2f\xfd"}
HEAD = 512  # bytes to look at: those of a tar archive's first entry
BINARY = re.compile(rb"[\0-\x08\x0e-\x1f\x80-\xff]")  # else a text may happen to begin so
ZIPPED = (b"[Content_Types]", b"mimetype", b"_rels/", b"word/", b"xl/", b"ppt/", b"META-INF/")
FORMATS = (  # how they begin, what they are, what to do
    (b"%PDF-", "a PDF", SAVE),
    (b"\xd0\xcf\x11\xe0", "an old Word document", SAVE),
    (b"{\\rtf", "an RTF document", SAVE),
    (b"\x89PNG", "a PNG image", GIVE),
    (b"\xff\xd8\xff", "a JPEG image", GIVE),
    (b"GIF8", "a GIF image", GIVE),
    (b"II*\0", "a TIFF image", GIVE),
    (b"MM\0*", "a TIFF image", GIVE),
    (b"RIFF", "a sound, film or WebP image", GIVE),
    (b"ID3", "a sound", GIVE),
    (b"OggS", "a sound or film", GIVE),
    (b"fLaC", "a sound", GIVE),
    (b"\x1aE\xdf\xa3", "a film", GIVE),
    (b"7z\xbc\xaf", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"SQLite format 3", "an SQLite database", "export a table as CSV first"),
    (b"PAR1", "a Parquet table", "give it a name that ends in .parquet"),
    (b"\x93NUMPY", "a NumPy array", GIVE),
    (b"\x89HDF", "an HDF5 file", GIVE),
    *((magic, "compressed a second time", UNPACK) for magic in PACKED.values()),
)


def packing(head: bytes) -> str:
    """Return the suffix of the compression that a file which begins so has, or ""."""
    return next((suffix for suffix, magic in PACKED.items() if head.startswith(magic)), "")


def format_of(head: bytes) -> tuple[str, str] | None:
    """Return what a file that begins so is, and what to do with it, where it is known to be no plain text."""
    if head.startswith(b"PK\x03\x04"):
        if any(name in head for name in ZIPPED):
            return "a .docx, .odt, .epub or another zipped document", SAVE
        return "a zip archive", UNPACK
    if head[257:262] == b"ustar":
        return "a tar archive", UNPACK
    if head[4:8] == b"ftyp":
        return "a film or HEIC image", GIVE
    found = next(((what, hint) for magic, what, hint in FORMATS if head.startswith(magic)), None)
    return found if found and (found[1] == SAVE or BINARY.search(head)) else None
