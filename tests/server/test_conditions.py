"""A model that takes conditions and a source, asked over HTTP."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openai
import pytest

import conditioned
import untrained
from charloom.model import folder
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from conditioned import IMAGE, KIND, TRANSLATES

from .conftest import Running, serving

LONG_SOURCE = "a much longer source " * 20
GIVEN: list[dict[str, Any]] = [
    {"condition": condition, "source": source}
    for condition in (
        None,
        {"kind": "odd"},
        {"kind": "Sci/Tech, new", "image": [1, 2, 3, 9]},
        {"image": [0.5, 2, -3, 9], "kind": None},
    )
    for source in ("a", "b", LONG_SOURCE)
]
HERE = {"condition": {"kind": "even"}, "source": "a tale"}


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("models") / "translator"
    untrained.write(path, conditioned.model((KIND, IMAGE), TRANSLATES, seed=1))
    with serving(path) as running:
        yield running


@pytest.fixture(scope="module")
def runtime(translator: Running) -> Generator:
    return Generator(folder.read(translator.model))


def test_texts_of_many_conditions_are_the_same_alone_and_together(
    translator: Running, runtime: Generator
) -> None:
    """The same prompt and seed with each condition and source, by the official client, all at once."""

    def ask(given: dict[str, Any]) -> str:
        stream = client.completions.create(
            model="translator",
            prompt="t",
            max_tokens=60,
            seed=3,
            stream=True,
            extra_body={**given, "ignore_eos": True},
        )
        return "".join(event.choices[0].text for event in stream if event.choices)

    asked = GIVEN * 3
    with translator.openai() as client:
        with ThreadPoolExecutor(len(asked)) as threads:
            together = list(threads.map(ask, asked))
        again = ask(GIVEN[0])
    settings = SamplerConfig(length=60, seed=3, ignore_eos=True)
    alone = [runtime.sample("t", settings=settings, **given).text for given in GIVEN]
    assert together == alone * 3
    short = [text for text, given in zip(alone, GIVEN, strict=True) if given["source"] != LONG_SOURCE]
    assert len(set(short)) == len(short)  # after a long source, little is left of a condition
    assert again == alone[0]


def test_a_condition_of_several_prompts_and_texts(translator: Running, runtime: Generator) -> None:
    found = translator.complete(["the ", "a"], n=2, max_tokens=30, seed=5, **HERE).json()
    settings = SamplerConfig(length=30, seed=5)
    assert [choice["text"] for choice in found["choices"]] == [
        runtime.sample(prompt, settings=settings, stream=k, **HERE).text
        for k, prompt in enumerate(["the ", "the ", "a", "a"])
    ]
    assert found["usage"]["prompt_tokens"] == 5  # the source is not part of the prompt


def test_a_condition_is_as_strong_as_asked(translator: Running, runtime: Generator) -> None:
    texts = []
    for strength in (1.0, 3.0):
        options = {"seed": 5, "strength": strength, "ignore_eos": True}
        found = translator.complete("the ", max_tokens=60, **options, **HERE).json()
        texts.append(found["choices"][0]["text"])
        settings = SamplerConfig(length=60, **options)  # type: ignore[arg-type]
        assert texts[-1] == runtime.sample("the ", settings=settings, **HERE).text
    assert texts[0] != texts[1]


def test_a_score_depends_on_its_condition(translator: Running, runtime: Generator) -> None:
    text = "the fog comes"
    ids = runtime.model.encode(text)
    found = set()
    for given in GIVEN:
        told = translator.post("/v1/score", {"input": [text], "characters": True, **given}).json()["data"][0]
        start = runtime.prime("", **given)
        (expected,) = runtime.score([ids], starts=[start])
        surprise = expected.log_probabilities / -math.log(2)
        np.testing.assert_allclose(told["surprise"], surprise, rtol=2e-4, atol=2e-5)
        echoed = translator.complete(text, max_tokens=0, echo=True, logprobs=0, **given).json()
        nats = echoed["choices"][0]["logprobs"]["token_logprobs"]
        assert told["nats"] == pytest.approx(-sum(nats), rel=1e-5)
        if given["source"] != LONG_SOURCE:
            found.add(round(told["nats"], 6))
    assert len(found) == 8


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({"condition": {"kind": "evne"}}, "condition", "kind: the model knows no 'evne'; did you mean even?"),
        ({"condition": {"kind": "EVEN"}}, "condition", "did you mean even?"),
        ({"condition": {"kind": "x" * 20_000}}, "condition", "choose one of odd, even, Sci/Tech, new"),
        ({"condition": {"knid": "odd"}}, "condition", "the model has none of this name; did you mean kind?"),
        ({"condition": "odd"}, "condition", "there are kind, image; say which"),
        ({"condition": {"image": [1, 2, 3]}}, "condition", "3 numbers were given; it takes 4"),
        ({"condition": {"image": "one"}}, "condition", "it takes 4 numbers, not 'one'"),
        ({"condition": {"kind": ["odd"]}}, "condition", "condition"),
        ({"source": ""}, "source", "give one"),
        ({"source": "a" * 100_001}, "source", "source: 100,001 characters are too many"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
@pytest.mark.parametrize("path", ["completions", "score"])
def test_what_the_model_cannot_take_is_named(
    translator: Running, path: str, given: dict[str, Any], field: str, told: str
) -> None:
    asked = {"prompt" if path == "completions" else "input": "the ", **HERE, **given}
    found = translator.post(f"/v1/{path}", asked)
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert error["param"] == field
    assert told in error["message"]
    assert len(error["message"]) < 300


def test_a_model_without_any_says_so(server: Running) -> None:
    for given, told in (
        ({"condition": "World"}, "condition: the model was trained without any"),
        ({"source": "uno"}, "source: the model was not trained to translate"),
    ):
        with pytest.raises(openai.BadRequestError, match=told) as refused:
            server.openai().completions.create(model="verses", prompt="a", extra_body=given)
        assert refused.value.param == next(iter(given))
        assert server.post("/v1/score", {"input": "a", **given}).status_code == 400
