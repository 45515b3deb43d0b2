"""A coverage-guided fuzzer on all that reads what somebody else has written; see test_promise_7_guided.

The first byte of an input says which reader takes the rest.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["charloom"]):
    from charloom import settings
    from charloom.errors import CharloomError
    from charloom.model import folder
    from charloom.text.config import DataConfig
    from charloom.text.sources import Source
    from charloom.text.tables import Columns, rows

GOLDEN = Path(__file__).parents[1] / "model" / "golden" / "format-1"
FILES = ("config.json", "vocab.json", "model.safetensors", "generation.json")
TABLES = (".csv", ".tsv", ".json", ".csv.gz", ".jsonl.xz")
PLACE = Path(tempfile.mkdtemp(prefix="fuzzed-"))
shutil.copytree(GOLDEN, PLACE / "model")


def read(data: bytes) -> None:
    """Whatever it is, it is read or refused; anything else that is raised is a finding."""
    kind, content = data[0] % 10 if data else 0, data[1:]
    with contextlib.suppress(CharloomError):
        if kind < len(FILES):
            path = PLACE / "model" / FILES[kind]
            path.write_bytes(content)
            try:
                folder.read(PLACE / "model")
            finally:
                shutil.copyfile(GOLDEN / FILES[kind], path)
        elif kind < len(FILES) + len(TABLES):
            path = PLACE / f"table{TABLES[kind - len(FILES)]}"
            path.write_bytes(content)
            for _ in rows(Source(path, path.name), Columns((), (), ""), DataConfig()):
                pass
        else:
            path = PLACE / "config.toml"
            path.write_bytes(content)
            settings.resolve(file=path)


if __name__ == "__main__":
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
