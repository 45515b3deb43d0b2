import numpy as np
import pytest

from charloom.insight.extremes import LENGTH, STEP, extremes, in_pieces
from charloom.insight.heldout import PIECES
from charloom.insight.score import Scored, score


def scored(bits: list[float]) -> Scored:
    return Scored("".join(chr(0x100 + i % 5000) for i in range(len(bits))), np.array(bits, float), 0.0, 0.0)


def test_the_hardest_and_the_easiest_stand_where_they_were_put():
    bits = np.full(2000, 2.0)
    bits[400:560], bits[1200:1360], bits[1600:1760] = 9, 8, 0.5
    text = scored(bits.tolist())
    hard, easy = extremes([text], 2)
    assert [passage.bits_per_character for passage in hard] == [9, 8]
    assert hard[0].text == text.text[400:560]
    assert easy[0].text == text.text[1600:1760]
    assert easy[0].bits_per_character == 0.5
    assert easy[1].bits_per_character == pytest.approx(2, abs=0.6)


def test_none_overlaps_another():
    random = np.random.default_rng(0)
    text = scored(random.random(1000).tolist())
    for found in extremes([text], 50):
        starts = sorted(text.text.index(passage.text) for passage in found)
        assert len(found) >= 3
        assert (np.diff(starts) >= LENGTH).all()


def test_short_documents_are_taken_whole_and_very_short_ones_left_out():
    hard, easy = extremes([scored([3.0] * STEP), scored([99.0] * (STEP - 1)), scored([1.0] * 60)], 5)
    assert [len(passage.text) for passage in hard] == [STEP, 60]
    assert [passage.bits_per_character for passage in easy] == [1, 3]
    assert extremes([], 3) == ([], [])


def test_a_text_in_pieces_has_the_surprise_of_the_whole(successor):
    generator = successor("abcdef")
    random = np.random.default_rng(2)
    text = "".join(random.choice(list("abcdef"), 5000))
    (whole,) = score(generator, [text], lines=False)
    pieces = list(in_pieces(generator, text))
    assert "".join(piece.text for piece in pieces) == text
    assert len(pieces) == -(-len(text) // PIECES) > 1
    assert np.concatenate([piece.surprise for piece in pieces]) == pytest.approx(whole.surprise, abs=1e-3)
