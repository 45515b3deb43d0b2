import math

from hypothesis import given
from hypothesis import strategies as st

from charloom.cli.sparkline import BLOCKS, sparkline


def test_a_falling_loss_falls():
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == BLOCKS[::-1]
    assert sparkline([3, 3, 2, 2, 1, 1], 3) == "█▅▁"
    assert sparkline([1, math.nan, 2], 9) == "▁█"
    assert sparkline([5, 5], 4) == "▁▁"
    assert sparkline([math.nan], 4) == sparkline([], 4) == ""


@given(st.lists(st.floats(-100, 100)), st.integers(1, 20))
def test_it_is_as_wide_as_it_may_be(values, width):
    found = sparkline(values, width)
    assert len(found) == min(width, len(values))
    assert set(found) <= set(BLOCKS)
    if len(values) == len(found) > 1 and max(values) - min(values) > 1e-6:
        assert found[values.index(max(values))] == BLOCKS[-1]
        assert found[values.index(min(values))] == BLOCKS[0]
