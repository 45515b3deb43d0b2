import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from charloom.errors import MissingExtraError
from charloom.insight import figures
from charloom.insight.calibration import reliability
from charloom.insight.diversity import Diversity
from charloom.insight.novelty import LEVELS, Copied

FALLING = [(float(k), 5 - k / 10) for k in range(30)]
WARM = [
    Diversity(
        temperature=t, characters=9, distinct_1=0.5, distinct_2=0.7, distinct_3=0.9, loops=0,
        distance=abs(t - 1), example="",
    )
    for t in (0.5, 1.0, 1.5)
]  # fmt: skip
COPIED = Copied(lengths=np.array([3, 12, 60]), longest="x" * 60)


def drawn(name: str) -> str:
    return {
        "curves": lambda: figures.curves(
            {"a <run>": {"held out": FALLING}}, {"xz": 2.5, "uniform": 6.0}, "steps"
        ),
        "copies": lambda: figures.copies(COPIED, None, LEVELS),
        "reliability": lambda: figures.reliability(reliability(np.linspace(0, 1, 50), np.arange(50) > 20)),
        "temperatures": lambda: figures.temperatures(WARM, 0.1, 1.0),
    }[name]()


@pytest.mark.parametrize("name", ["curves", "copies", "reliability", "temperatures"])
def test_a_picture_fits_into_any_page(name):
    svg = drawn(name)
    ET.fromstring(svg)
    assert svg.startswith("<svg")
    opening = svg[: svg.index(">")]
    assert "viewBox" in opening
    assert "width=" not in opening
    assert "<style" not in svg
    assert "var(--ink)" in svg
    assert not any(stand_in in svg for stand_in in figures.PAGE)
    assert "<text" in svg  # letters, not shapes of letters
    assert not re.search(r"font: ", svg)
    assert svg == drawn(name)  # the same each time


def test_names_are_escaped_and_what_is_far_off_does_not_flatten_the_curve():
    svg = figures.curves(
        {"a <run>": {"held out": FALLING}, "b": {"held out": FALLING}}, {"uniform": 60.0}, "steps"
    )
    assert "a &lt;run&gt;" in svg
    labels = [float(text) for text in re.findall(r">(\d+\.\d)<", svg)]
    assert max(labels) < 8


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"charloom\[train\]"):
        drawn("copies")
