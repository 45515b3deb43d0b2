"""How Sphinx builds the site: `make docs`. Nothing in it is fetched when it is read."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import latex2mathml.converter
from docutils import nodes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

project = "charloom"
author = "The charloom developers"
copyright = author
release = runpy.run_path(str(HERE.parent / "src" / "charloom" / "_version.py"))["__version__"]

extensions = ["myst_nb"]
exclude_patterns = ["_build", "README.md"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are built by docs/tutorial/build.py, and hold what they printed
nitpicky = True

html_theme = "furo"
html_title = "charloom"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
html_math_renderer = "mathml"


def _block(visitor: Any, node: nodes.math_block) -> None:
    """A formula of its own line as MathML, which browsers draw without a script."""
    visitor.body.append('<div style="margin: 1.2rem 0; overflow-x: auto; overflow-y: hidden">')
    visitor.body.append(_mathml(node, "block") + "</div>")
    raise nodes.SkipNode


def _inline(visitor: Any, node: nodes.math) -> None:
    visitor.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _mathml(node: nodes.Element, display: str) -> str:
    return str(latex2mathml.converter.convert(node.astext(), display=display))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
