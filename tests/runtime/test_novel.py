from dataclasses import replace

import pytest

from charloom.errors import UsageError
from charloom.runtime.generator import Generator
from charloom.runtime.novel import Novel
from charloom.runtime.options import SamplerConfig
from charloom.runtime.passages import Passages

SETTINGS = SamplerConfig(length=120, seed=3)


@pytest.fixture
def generator(make_model):
    return Generator(make_model())


@pytest.fixture
def known(generator):
    """A training text of which the model's own samples are full: its samples under another seed and more."""
    return [sample.text for sample in generator.sample_many(settings=replace(SETTINGS, seed=1), n=40)]


@pytest.mark.parametrize("least", [3, 5, 12])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_no_passage_of_that_length_is_left(generator, known, least, temperature):
    settings = replace(SETTINGS, temperature=temperature)
    passages = Passages(
        [*(text.encode() for text in known), generator.sample(settings=settings).text.encode()]
    )
    novel = Novel(generator, passages, least, settings)
    for sample in generator.sample_many(settings=settings, n=6):
        found = novel(sample)
        assert passages.lengths(found.text).max(initial=0) < least
        assert len(found.text) == settings.length or found.finish_reason == "eos"
        assert (found.stream, found.prompt, found.seed) == (sample.stream, sample.prompt, sample.seed)
        assert novel(sample) == found  # the same sample, the same text
    assert novel.rewritten


def test_a_text_without_copies_is_left_alone_and_a_copy_is_kept_as_long_as_it_may(generator):
    settings = replace(SETTINGS, ignore_eos=True)
    sample = generator.sample(settings=settings, top=0)
    other = Passages([b"0123456789" * 3])
    novel = Novel(generator, other, 2, settings)
    assert novel(sample) is sample
    assert novel.rewritten == 0
    copied = Passages([sample.text[20:60].encode()])
    found = Novel(generator, copied, 30, settings)(sample)
    assert found.text[:49] == sample.text[:49]
    assert found.text[49] != sample.text[49]
    assert found.log_probabilities == ()


def test_stop_strings_hold_over_the_seam(generator):
    sample = generator.sample(settings=SETTINGS)
    stop = replace(SETTINGS, stop=("e", "t", "a"))
    start = replace(sample, text="xyzzy")
    found = Novel(generator, Passages([b"xyzzy"]), 4, stop)(start)
    assert not set(found.text) & set("eta")


def test_what_cannot_be_is_said(generator):
    passages = Passages([b"text"])
    with pytest.raises(UsageError, match="novel is 0"):
        Novel(generator, passages, 0, SETTINGS)
    with pytest.raises(UsageError, match="exclude each other"):
        Novel(generator, passages, 5, replace(SETTINGS, match="a+"))
    every = "".join(str(c) for c in generator.model.vocabulary.characters)
    with pytest.raises(UsageError, match="every way to go on"):
        Novel(generator, Passages([every.encode()]), 1, replace(SETTINGS, ignore_eos=True))(
            generator.sample(settings=replace(SETTINGS, ignore_eos=True))
        )
