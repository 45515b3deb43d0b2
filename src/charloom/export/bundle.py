"""Modules of `charloom/web/` joined into one script, since a page opened from a disk cannot import any.

Every import there is one line, `import { a, b } from "./c.js";`, and every name is unique across modules,
so joining is: imported modules first, import lines left out, the word `export` left out.
"""

from __future__ import annotations

import re
from importlib.resources import files

WEB = files("charloom") / "web"

_IMPORT = re.compile(r'^import \{[^}]*\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async |function|class|const))", re.MULTILINE)


def bundle(entry: str) -> str:
    """The module `entry` (a path under web/) and all that it imports, as one script without imports."""
    parts: dict[str, str] = {}
    _gather(entry, parts)
    return "\n".join(parts.values())


def asset(path: str) -> str:
    """The text of another file under web/."""
    return WEB.joinpath(path).read_text("utf-8")


def _gather(path: str, parts: dict[str, str]) -> None:
    if path in parts:
        return
    source = asset(path)
    for imported in _IMPORT.findall(source):
        _gather(_joined(path, imported), parts)
    parts[path] = _EXPORT.sub("", _IMPORT.sub("", source)).strip() + "\n"


def _joined(path: str, imported: str) -> str:
    """What `imported`, relative to `path`, is relative to web/."""
    names = path.split("/")[:-1]
    for name in imported.split("/"):
        if name == "..":
            names.pop()
        elif name != ".":
            names.append(name)
    return "/".join(names)
