"""A folder for the web: the model, and beside it the engine as one JavaScript module with an example."""

from __future__ import annotations

import shutil
from pathlib import Path

from charloom.errors import RunError, UsageError, unwritable
from charloom.export.bundle import asset, bundle
from charloom.export.precision import Precision, weights
from charloom.model.folder import WEIGHTS, Model
from charloom.system.files import link_target, replace_file

ENGINE, EXAMPLE = "charloom.js", "index.html"
COPIED = ("config.json", "vocab.json", "generation.json", "README.md")


def script() -> str:
    """The engine as an ES module without imports; it exports `load` and `Model`."""
    return bundle("engine/model.js") + "\nexport { Model, load };\n"


def write(model: Model, source: Path, out: Path, precision: Precision) -> int:
    """Write the folder `out` for `model`, which was read from `source`; its size in bytes.

    Raises RunError where it cannot be written, UsageError where it holds other files, or the precision cannot
    hold the weights.
    """
    content = {
        ENGINE: script().encode("utf-8"),
        EXAMPLE: asset("example.html").encode("utf-8"),
        WEIGHTS: weights(model, precision),
    }
    out = link_target(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / ENGINE).is_file():
            raise UsageError(f"{out}: is not empty, and no earlier export; choose another --out")
        for name in COPIED:
            shutil.copyfile(source / name, out / name)
    except OSError as error:
        raise RunError(unwritable(out, error)) from error
    for name, data in content.items():
        replace_file(out / name, data)
    return sum(path.stat().st_size for path in map(out.joinpath, (*content, *COPIED)))
