"""Promise 8: every text that Python can hold encodes and decodes to itself, normalised or exactly."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charloom.text.config import DataConfig
from charloom.text.decoding import normalised
from charloom.text.vocabulary import Vocabulary

EVERY = st.text(st.characters(codec=None, max_codepoint=sys.maxunicode, exclude_categories=[]))
NAMES = ("<bos>", "<byte>")


@given(known=EVERY.filter(bool), text=EVERY)
@example(known="a", text="\ud800\udc00\0\r\n\u2028e\u0301\U0010ffff<bos><eos>")
@settings(max_examples=300)
def test_encoded_and_decoded(known: str, text: str) -> None:
    characters = tuple(dict.fromkeys(known))
    vocabulary = Vocabulary.of_characters(characters, NAMES)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    exact, composed = DataConfig(normalize="none"), DataConfig()
    assert normalised(text, exact) == text
    once = normalised(text, composed)
    assert vocabulary.decode(vocabulary.encode(once)) == once
    assert normalised(once, composed) == once
    assert once == unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    assert np.array_equal(Vocabulary.from_json(vocabulary.to_json()).encode(text), vocabulary.encode(text))
