"""Chance: the published Philox vectors, the file for other languages, and the distribution of the draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from charloom.runtime import draw
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig

VECTORS = json.loads((Path(__file__).parent / "draw_vectors.json").read_text(encoding="utf-8"))
WORD = st.integers(0, 2**32 - 1)

# Random123's kat_vectors, philox 4x32 of 10 rounds: counter, key, result
PUBLISHED = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "expected"), PUBLISHED)
def test_philox_gives_the_published_words(counter: str, key: str, expected: str) -> None:
    words = [int(word, 16) for word in (*key.split(), *counter.split())]
    assert " ".join(f"{int(word):08x}" for word in draw.philox(*words)) == expected


@given(WORD, WORD, WORD, st.integers(0, 1000))
def test_philox_equals_one_written_in_whole_numbers(seed: int, stream: int, t: int, candidate: int) -> None:
    assert [int(word) for word in draw.philox(seed, stream, t, candidate, 0, 0)] == plain_philox(
        [seed, stream], [t, candidate, 0, 0]
    )


def plain_philox(key: list[int], x: list[int]) -> list[int]:
    for _ in range(10):
        a, b = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(b >> 32) ^ x[1] ^ key[0], b & 0xFFFFFFFF, (a >> 32) ^ x[3] ^ key[1], a & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return x


@pytest.mark.parametrize("case", VECTORS["uniform"])
def test_uniform_follows_the_vectors(case: dict[str, int]) -> None:
    u = draw.uniform(case["seed"], case["stream"], case["t"], case["candidate"])
    assert u * 2**24 == case["numerator"]


@pytest.mark.parametrize("case", VECTORS["pick"])
def test_pick_follows_the_vectors(case: dict[str, object]) -> None:
    weights = np.array(case["weights"], np.float32)
    assert draw.pick(weights, np.float32(case["numerator"] / 2**24)) == case["id"]  # type: ignore[operator]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20).filter(any), st.integers(0, 2**24 - 1))
def test_pick_is_the_inverse_of_the_cumulative_distribution(weights: list[int], numerator: int) -> None:
    chosen = draw.pick(np.array(weights, np.float32), np.float32(numerator / 2**24))
    below = sum(weights[:chosen])
    assert weights[chosen] > 0
    assert below * 2**24 <= numerator * sum(weights) < (below + weights[chosen]) * 2**24


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 3.0},
        {"top_k": 5},
        {"top_p": 0.6},
        {"min_p": 0.2},
        {"ban": "eta"},
    ],
    ids=str,
)
@pytest.mark.parametrize("varied", ["stream", "seed"])
def test_draws_have_the_exact_distribution(make_model, options, varied) -> None:
    generator = Generator(make_model("gru", seed=4))
    state = generator.prime("the ")
    settings = SamplerConfig(length=1, ignore_eos=True, **options)
    n = 4000
    if varied == "stream":
        texts = [sample.text for sample in generator.sample_many(["the "], settings=settings, n=n)]
    else:
        texts = [generator.sample(state=state, settings=settings, seed=seed).text for seed in range(n)]
    expected = exact(state.logits + settings.added(generator.model.vocabulary), options)
    ids = generator.model.vocabulary.encode("".join(texts))
    observed = np.bincount(ids, minlength=len(expected))
    assert not observed[expected == 0].any()
    rare = expected * n < 5
    grouped = np.append(observed[~rare], observed[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum()) * n
    if wanted[-1] == 0:
        grouped, wanted = grouped[:-1], wanted[:-1]
    assert stats.chisquare(grouped, wanted * n / wanted.sum()).pvalue > 1e-4


def exact(logits, options):
    """The distribution in float64, each option written from its definition."""
    logits = logits.astype(np.float64) / options.get("temperature", 1)
    p = np.exp(logits - logits.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    if "top_k" in options:
        p[order[options["top_k"] :]] = 0
    if "top_p" in options:
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= options["top_p"]]] = 0
    if "min_p" in options:
        p[p < options["min_p"] * p.max()] = 0
    return p / p.sum()
