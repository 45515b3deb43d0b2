"""Print constraints that pin every direct dependency to the lowest version that pyproject.toml admits."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *(each for extra in extras for each in extra)]:
        if found := re.match(r"([\w-]+)>=([\d.]+)", requirement):
            print(f"{found[1]}=={found[2]}")
