from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charloom.insight.heat import BOUNDS, level, page, runs, spans
from charloom.insight.score import Scored

TEXTS = st.text("ab<&", max_size=20)


def test_levels_rise_with_surprise():
    assert [level(bits) for bits in (0, 1.9, 2, 5, 8, 12, 99)] == [0, 0, 1, 2, 3, 4, 5]
    assert [level(bound) for bound in BOUNDS] == [1, 2, 3, 4, 5]


@given(TEXTS, st.data())
def test_runs_hold_the_whole_text_in_order(text, data):
    surprise = data.draw(st.lists(st.floats(0, 20), min_size=len(text), max_size=len(text)))
    found = list(runs(text, surprise))
    assert "".join(run for _, run in found) == text
    assert [shared for shared, run in found for _ in run] == [level(bits) for bits in surprise]
    assert all(a[0] != b[0] for a, b in pairwise(found))


def test_what_a_text_holds_stays_text():
    assert spans("<b>&", [0, 0, 0, 0]) == "&lt;b&gt;&amp;"
    assert spans("a<", [0, 9]) == 'a<span class="h4">&lt;</span>'

    whole = "".join(page([("<f>:1", Scored("<script>", np.full(8, 3.0), 1.0, 12.0))]))
    assert "<script" not in whole
    assert "&lt;f&gt;:1" in whole
    assert "12.00" in whole
