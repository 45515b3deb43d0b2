"""Whole characters, nothing of a stop string, however the ids arrive."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charloom.runtime.writer import Writer
from charloom.text.vocabulary import Vocabulary

PIECES = st.lists(st.text("abc", max_size=6), max_size=8)
STOPS = st.lists(st.text("abc", min_size=1, max_size=4), max_size=3)


@given(PIECES, STOPS, st.integers(1, 30))
def test_the_text_ends_before_the_first_stop_string_or_at_the_length(pieces, stops, length) -> None:
    vocabulary = Vocabulary.of_characters("abc")
    writer = Writer(vocabulary, length, stops)
    shown = ""
    for piece in pieces:
        if writer.finish_reason is None:
            shown += writer.feed(vocabulary.encode(piece))
            assert writer.text == shown
    if writer.finish_reason is None:
        shown += writer.feed(np.zeros(0, np.int32), "eos")
    whole = "".join(pieces)[:length]
    ends = [at for at in map(whole.find, stops) if at >= 0]
    assert shown == (whole[: min(ends)] if ends else whole)
    reason = "stop" if ends else "length" if len("".join(pieces)) >= length else "eos"
    assert writer.finish_reason == reason


@given(st.text(max_size=20), st.lists(st.integers(1, 4), max_size=60))
def test_a_character_of_several_bytes_is_never_split(text, sizes) -> None:
    vocabulary = Vocabulary.of_bytes()
    ids, writer, pieces, at = vocabulary.encode(text), Writer(vocabulary, 1000, ()), [], 0
    for size in sizes:
        pieces.append(writer.feed(ids[at : at + size]))
        at += size
        assert text.startswith("".join(pieces))
    pieces.append(writer.feed(ids[at:], "eos"))
    assert "".join(pieces) == text


def test_ids_kept_spell_the_text() -> None:
    vocabulary = Vocabulary.of_bytes()
    writer, ids = Writer(vocabulary, 3, ()), vocabulary.encode("aéïo")
    assert writer.feed(ids) == "aéï"
    assert writer.ids_kept(ids) == 5
