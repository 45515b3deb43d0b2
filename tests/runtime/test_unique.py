"""Texts that were never written before."""

from __future__ import annotations

from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.sample import Sample
from charloom.runtime.unique import Unique


def sample(text: str) -> Sample:
    return Sample(text=text, prompt="", temperature=1.0, seed=0, stream=0, finish_reason="eos")


def test_known_and_repeated_texts_are_refused_in_order() -> None:
    unique = Unique(["b"])
    texts = map(sample, ["a", "b", "a", "\ud800", "c", "\ud800", "c"])
    assert [each.text for each in unique(texts)] == ["a", "\ud800", "c"]
    assert (unique.refused, unique.exhausted) == (4, False)
    assert [each.text for each in unique(map(sample, "cde"))] == ["d", "e"]


def test_it_ends_when_nothing_new_comes(make_model) -> None:
    endless = Generator(make_model()).sample_many(
        settings=SamplerConfig(only="ab", length=2, ignore_eos=True)
    )
    unique = Unique(patience=200)
    assert {each.text for each in unique(endless)} == {"aa", "ab", "ba", "bb"}
    assert unique.exhausted
    assert unique.refused >= 200
