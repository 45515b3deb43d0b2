"""The rules of the house: what imports what, what is loaded when, and what is nowhere to be found."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "charloom"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 400  # lines

ORDER = {  # a module imports only from rooms with a lower number, and from its own
    "_version": -2, "errors": -2, "compiled": 0, "system": -1, "job": 1, "text": 1, "model": 2, "training": 3,
    "runtime": 3, "insight": 4, "web": 5, "export": 6, "server": 7, "settings": 8, "run": 9, "finetuning": 9,
    "verdict": 10, "reporting": 11, "character_model": 11, "api": 12, "comparison": 13, "bulk": 13, "cli": 14,
    "__main__": 15,
}  # fmt: skip
UNSAFE = re.compile(r"\b(pickle|marshal|shelve|joblib)\b|(?<!safetensors\.)torch\.(save|load)\b|allow_pickle")
HEAVY = {"torch", "numba", "numpy", "rich", "llvmlite", "scipy", "matplotlib", "safetensors"}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@functools.cache  # several tests read every file
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return the nodes of a file's syntax tree, the module first."""
    return tuple(ast.walk(ast.parse(path.read_text("utf-8"))))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, anywhere in it, by its full name."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: imports are absolute"
            assert node.module is not None
            if node.module == "charloom":
                for alias in node.names:
                    yield f"charloom.{alias.name}", node.lineno
            else:
                yield node.module, node.lineno


PACKAGE = SOURCE / "__init__.py"


@pytest.mark.parametrize("path", [path for path in FILES if path != PACKAGE], ids=name_of)
def test_imports_point_down_the_list(path: Path) -> None:
    room = room_of(path)
    for module, line in imports(path):
        if not module.startswith("charloom."):
            continue
        other = module.split(".")[1]
        where = f"{name_of(path)}:{line} imports {module}"
        if other != room:
            assert {room, other} <= ORDER.keys(), f"{where}: where in the order do these rooms stand?"
            assert ORDER[other] < ORDER[room], where


def test_the_order_can_be_broken(tmp_path: Path) -> None:
    """The test above sees imports inside functions, and both ways of writing them."""
    file = tmp_path / "bad.py"
    file.write_text(
        "from charloom import api\ndef f():\n    import charloom.cli.train as x\n", encoding="utf-8"
    )
    assert [module for module, _ in imports(file)] == ["charloom.api", "charloom.cli.train"]


def test_the_package_resolves_its_names_lazily() -> None:
    """What it imports at once needs nothing; the rest is imported inside a function, or for types."""
    tree = ast.parse(PACKAGE.read_text("utf-8"))
    at_once = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {module for module in at_once if module and module.startswith("charloom")} == {
        "charloom._version", "charloom.errors"
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_torch_lives_in_training_alone(path: Path) -> None:
    if room_of(path) != "training":
        assert not [line for module, line in imports(path) if module.split(".")[0] == "torch"]


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=name_of)
def test_packages_hold_a_docstring_only(path: Path) -> None:
    body = ast.parse(path.read_text("utf-8")).body
    assert ast.get_docstring(ast.Module(body, []))
    told = [ast.unparse(statement) for statement in body[1:]]
    if path == SOURCE / "training" / "__init__.py":  # what only counts before torch is loaded
        assert told == ["import os", "os.environ.setdefault('GOMP_SPINCOUNT', '3000')"]
    elif path not in (PACKAGE, SOURCE / "cli" / "__init__.py"):
        assert told == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short_inert_and_told(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert path.stem not in ("utils", "common", "helpers", "misc")
    assert not UNSAFE.search(text)
    assert not re.search(r"(?<![\w.])(eval|exec)\(", text)
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    tree = nodes(path)[0]
    assert isinstance(tree, ast.Module)
    assert ast.get_docstring(tree), "no docstring"
    public = [
        node
        for scope in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef)))
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    ]
    for node in public:
        hidden = next((c.name for c in tree.body if isinstance(c, ast.ClassDef) and node in c.body), "")
        property_setter = any(isinstance(d, ast.Attribute) for d in node.decorator_list)
        if not hidden.startswith("_") and not property_setter:
            assert ast.get_docstring(node), f"line {node.lineno}: {node.name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_text_is_opened_as_utf8(path: Path) -> None:
    """Windows would take another encoding, and other line ends."""
    for node in nodes(path):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        constants = [
            a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)
        ]
        named = {keyword.arg for keyword in node.keywords}
        where = f"{name_of(path)}:{node.lineno}"
        if name in ("read_text", "write_text"):
            assert "encoding" in named or any("utf-8" in str(value) for value in constants), where
        modes = [
            value for value in constants if isinstance(value, str) and re.fullmatch(r"[rwax]b?\+?", value)
        ]
        if name == "open" and modes and "b" not in modes[0]:
            assert "encoding" in named, where


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) != "cli"], ids=name_of)
def test_the_core_does_not_print(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Call):
            assert getattr(node.func, "id", "") not in ("print", "input"), f"{name_of(path)}:{node.lineno}"


def loaded(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `code`."""
    told = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    found = subprocess.run(
        [sys.executable, "-c", f"import atexit\natexit.register(lambda: exec({told!r}))\n{code}"],
        capture_output=True, encoding="utf-8", check=False, timeout=300,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return set(found.stderr.split())


def test_packages_help_and_version_load_nothing_heavy() -> None:
    rooms = [path.parent.name for path in FILES if path.name == "__init__.py" and path != PACKAGE]
    code = ["import contextlib, charloom", "charloom.errors.CharloomError"]
    code += [f"import charloom.{room}" for room in rooms]
    for arguments in (["--help"], ["--version"], ["train", "--help"]):
        code += ["with contextlib.suppress(SystemExit):", f"    charloom.cli.main({arguments})"]
    found = loaded("\n".join(code))
    assert {"charloom", "click"} <= found
    assert not found & HEAVY


def test_a_model_is_loaded_without_torch() -> None:
    folder = Path(__file__).parent / "model" / "golden" / "format-1"
    found = loaded(f"import charloom\ncharloom.load({str(folder)!r})")
    assert "numpy" in found
    assert "torch" not in found
