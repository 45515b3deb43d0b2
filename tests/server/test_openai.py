"""The official client against a real process."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest

from charloom.runtime.generator import Generator
from charloom.server.protocol import Completion, Score

from .conftest import FOR_EVER, LONG, Expected, Running


def test_a_completion_is_what_the_runtime_writes(server: Running, expected: Expected) -> None:
    found = server.openai().completions.create(
        model="verses", prompt="the ", max_tokens=80, seed=7, temperature=0.8
    )
    (choice,) = found.choices
    assert choice.text == expected("the ", length=80, seed=7, temperature=0.8)
    assert (choice.finish_reason, choice.index, choice.logprobs) == ("length", 0, None)
    assert found.object == "text_completion"
    assert found.model == "verses"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (4, 80, 84)


def test_a_stream_is_the_same_text_in_pieces(server: Running, expected: Expected) -> None:
    events = list(
        server.openai().completions.create(
            model="verses",
            prompt="the ",
            max_tokens=9000,  # more than is written before the first event is sent
            seed=3,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *pieces, last = events
    assert "".join(event.choices[0].text for event in pieces) == expected("the ", length=9000, seed=3)
    assert len(pieces) > 1
    assert [event.choices[0].finish_reason for event in pieces] == [None] * (len(pieces) - 1) + ["length"]
    assert all(event.usage is None for event in pieces)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 9004
    assert len({event.id for event in events}) == 1


def test_events_end_in_done(server: Running) -> None:
    text = server.complete("a", max_tokens=5, stream=True).text
    assert text.endswith("\n\ndata: [DONE]\n\n")
    assert '"usage"' not in text


def test_several_prompts_and_texts(server: Running, expected: Expected) -> None:
    found = server.openai().completions.create(
        model="verses", prompt=["the ", "a"], n=2, max_tokens=30, seed=5
    )
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in found.choices] == [
        expected(prompt, stream=k, length=30, seed=5) for k, prompt in enumerate(["the ", "the ", "a", "a"])
    ]
    assert found.usage is not None
    assert found.usage.prompt_tokens == 5
    assert found.usage.completion_tokens == 120


def test_a_seed_that_was_drawn_is_told_and_repeats(server: Running) -> None:
    first = server.complete("the ", max_tokens=50).json()
    again = server.complete("the ", max_tokens=50, seed=first["seed"]).json()
    assert first["choices"][0]["text"] == again["choices"][0]["text"]
    assert first["seed"] != server.complete("the ", max_tokens=50).json()["seed"]


def test_best_of_is_the_runtimes(server: Running, expected: Expected) -> None:
    client = server.openai()
    asked = {"model": "verses", "prompt": "the ", "max_tokens": 40, "seed": 2}
    best = client.completions.create(**asked, best_of=5)
    assert best.choices[0].text == expected("the ", length=40, seed=2, best_of=5)
    assert best.usage is not None
    assert best.usage.completion_tokens == 200
    two = client.completions.create(**asked, best_of=5, n=2, logprobs=0)
    assert two.choices[0].text == best.choices[0].text
    means = [np.mean(choice.logprobs.token_logprobs) for choice in two.choices]
    assert means[0] >= means[1]


SAMPLER = [
    {"temperature": 0.0},
    {"top_p": 0.5},
    {"top_k": 3},
    {"min_p": 0.3},
    {"frequency_penalty": 1.5},
    {"presence_penalty": 1.5},
    {"no_repeat": 3},
    {"only": "eta\n"},
    {"ban": "eta"},
    {"match": "[a-e]{10,20}"},
    {"stop": ["f", "en"]},
    {"ignore_eos": True},
]


@pytest.mark.parametrize("options", SAMPLER, ids=lambda options: next(iter(options)))
def test_options_are_the_samplers(server: Running, expected: Expected, options: dict) -> None:
    here = {**options, "stop": tuple(options.get("stop", ()))}
    found = server.openai().completions.create(
        model="verses", prompt="the ", max_tokens=60, seed=1, extra_body=options
    )
    assert found.choices[0].text == expected("the ", length=60, seed=1, **here)
    assert found.choices[0].text != expected("the ", length=60, seed=1) or "ignore_eos" in options


def test_logit_bias_is_by_id(server: Running, generator: Generator, expected: Expected) -> None:
    ids = {character: generator.model.vocabulary.places[character] for character in "et"}
    found = server.openai().completions.create(
        model="verses",
        prompt="the ",
        max_tokens=60,
        seed=1,
        logit_bias={str(ids["e"]): -100, str(ids["t"]): 3},
    )
    assert found.choices[0].text == expected("the ", length=60, seed=1, bias={"e": -100.0, "t": 3.0})


def test_logprobs_are_the_runtimes(server: Running, generator: Generator) -> None:
    sample = generator.sample("the ", seed=4, top=3)
    found = server.openai().completions.create(
        model="verses", prompt="the ", max_tokens=300, seed=4, logprobs=3
    )
    told = found.choices[0].logprobs
    assert "".join(told.tokens) == found.choices[0].text == sample.text
    assert told.text_offset == list(range(len(sample.text)))
    np.testing.assert_allclose(told.token_logprobs, sample.log_probabilities[: len(told.tokens)], rtol=1e-6)
    for top, alternatives in zip(told.top_logprobs, sample.top, strict=False):
        assert list(top)[:3] == [each.character for each in alternatives]


def test_the_alternatives_include_what_was_drawn(server: Running) -> None:
    """As OpenAI's: one more, where it is none of the likeliest; with the log-probability that it has."""
    found = server.complete("the €", max_tokens=300, seed=4, logprobs=2, echo=True, temperature=2.0)
    told = found.json()["choices"][0]["logprobs"]
    tops = told["top_logprobs"]
    for token, nats, top in zip(told["tokens"], told["token_logprobs"], tops, strict=True):
        assert top[token] == nats
        assert list(top.values()) == sorted(top.values(), reverse=True)
        assert len(top) == 2 + (token not in list(top)[:2])
    assert {len(top) for top in tops} == {2, 3}


def spelled(tokens: list[str]) -> str:
    """The text of tokens: a byte of a character is told as an escape."""
    parts = (
        bytes([int(each[8:], 16)]) if each.startswith("bytes:") else each.encode("utf-8", "surrogatepass")
        for each in tokens
    )
    return b"".join(parts).decode("utf-8", "surrogatepass")


@pytest.mark.parametrize("more", [{}, {"stop": ["e", "\n"]}, {"n": 3}, {"max_tokens": 0}, {"best_of": 1}])
@pytest.mark.parametrize("prompt", ["é", "the fog € comes " * 40, ""], ids=["one", "long", "none"])
def test_logprobs_stream_with_their_characters(server: Running, prompt: str, more: dict) -> None:
    """Of each event the tokens spell the text, the prompt's as well, and all together are the whole."""
    asked = {"model": "verses", "prompt": prompt, "max_tokens": 200, "seed": 4, "logprobs": 1, "echo": True}
    client = server.openai()
    whole = client.completions.create(**asked | more).choices[0]
    events = [event.choices[0] for event in client.completions.create(**asked | more, stream=True)]
    for event in events:
        assert spelled(event.logprobs.tokens) == event.text
    pieces = [event for event in events if event.index == 0]
    assert "".join(piece.text for piece in pieces) == whole.text
    assert whole.text.startswith(prompt)
    for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
        joined = [each for piece in pieces for each in getattr(piece.logprobs, name)]
        assert joined == getattr(whole.logprobs, name)
    assert spelled(whole.logprobs.tokens) == whole.text


def test_echo_without_writing_scores(server: Running, generator: Generator) -> None:
    text = "the fog € comes"  # the sign is none of the model's characters: three bytes
    ids = generator.model.encode(text)
    (scores,) = generator.score([ids])
    found = server.openai().completions.create(
        model="verses", prompt=text, max_tokens=0, echo=True, logprobs=0
    )
    choice = found.choices[0]
    assert choice.text == text
    assert choice.finish_reason == "length"
    np.testing.assert_allclose(choice.logprobs.token_logprobs, scores.log_probabilities, rtol=2e-4, atol=2e-5)
    assert choice.logprobs.tokens[8:11] == ["bytes:\\xe2", "bytes:\\x82", "bytes:\\xac"]
    assert choice.logprobs.text_offset[7:12] == [7, 8, 8, 8, 9]
    assert choice.logprobs.top_logprobs is None


def test_score(server: Running, generator: Generator) -> None:
    texts = ["the fog € comes", "on little cat feet"]
    found = server.post("/v1/score", {"input": texts, "characters": True}).json()
    for told, text in zip(found["data"], texts, strict=True):
        (scores,) = generator.score([generator.model.encode(text)])
        nats = -float(scores.log_probabilities.sum())
        assert told["nats"] == pytest.approx(nats, rel=1e-4)
        assert told["bits_per_character"] == pytest.approx(nats / math.log(2) / len(text), rel=1e-4)
        assert len(told["surprise"]) == len(told["expected"]) == told["characters"] == len(text)
        assert sum(told["surprise"]) * math.log(2) == pytest.approx(nats, rel=1e-4)
    assert found["usage"]["prompt_tokens"] == sum(map(len, texts))


def test_models(server: Running) -> None:
    client = server.openai()
    assert [model.id for model in client.models.list()] == ["verses"]
    assert client.models.retrieve("verses").owned_by == "charloom"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_errors_are_the_clients(server: Running) -> None:
    client = server.openai()
    with pytest.raises(openai.NotFoundError) as missing:
        client.completions.create(model="gpt-4", prompt="a")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.completions.create(model="verses", prompt="a", temperature=-1)
    assert wrong.value.param == "temperature"
    assert wrong.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError, match=r"tools: there is no such field"):
        client.completions.create(model="verses", prompt="a", extra_body={"tools": []})
    with pytest.raises(openai.BadRequestError, match="match: the shortest match has 30 characters"):
        client.completions.create(
            model="verses", prompt="a", max_tokens=20, extra_body={"match": "[a-e]{30}"}
        )


def test_nulls_are_defaults(server: Running, expected: Expected) -> None:
    """In every field, also in one that does not exist, and within an object."""
    names = [*Completion.model_fields, "tools", "max_completion_tokens"]
    asked = {**dict.fromkeys(names), "prompt": "the ", "seed": 1, "stream_options": {"include_usage": None}}
    found = server.post("/v1/completions", asked)
    assert found.json()["choices"][0]["text"] == expected("the ", seed=1)
    nulls = {**dict.fromkeys([*Score.model_fields, "new"]), "input": "a"}
    assert server.post("/v1/score", nulls).json() == server.post("/v1/score", {"input": "a"}).json()


NOTHING = [
    {"suffix": ""}, {"logprobs": False}, {"max_tokens": 60.0}, {"n": 1.0}, {"best_of": 1}, {"seed": 1.0},
    {"logit_bias": {}}, {"stop": []}, {"stream": False}, {"echo": False}, {"user": ""}, {"top_p": 1},
    {"temperature": 1}, {"frequency_penalty": 0}, {"presence_penalty": 0}, {"top_k": -1}, {"top_k": 0.0},
    {"stream_options": {"include_usage": False}}, {"stream_options": {}}, {"repetition_penalty": 1},
    {"min_tokens": 0}, {"metadata": {"a": "b"}}, {"store": False}, {"service_tier": "auto"}, {"model": ""},
    {"safety_identifier": "x"}, {"prompt_cache_key": "x"}, {"min_p": 0}, {"no_repeat": 0}, {"only": None},
]  # fmt: skip


@pytest.mark.parametrize("asked", NOTHING, ids=str)
def test_what_asks_for_nothing_changes_nothing(server: Running, expected: Expected, asked: dict) -> None:
    """Defaults of OpenAI's API and of other servers, spelled out by their clients."""
    found = server.complete("the ", **{"max_tokens": 60, "seed": 1} | asked)
    assert found.status_code == 200, found.text
    (choice,) = found.json()["choices"]
    assert (choice["text"], choice["logprobs"]) == (expected("the ", length=60, seed=1), None)


def test_minus_one_is_not_given(server: Running, expected: Expected) -> None:
    found = server.complete("the ", max_tokens=-1, seed=-1).json()
    seed = found["seed"]
    assert found["choices"][0]["text"] == expected("the ", seed=seed)
    assert server.complete("the ", seed=-1, max_tokens=1).json()["seed"] != seed


SOMETHING = [
    ({"suffix": "b"}, "suffix: not supported"), ({"repetition_penalty": 1.1}, "repetition_penalty: not supp"),
    ({"min_tokens": 5}, "min_tokens: not supported"), ({"logprobs": True}, "logprobs: "),
    ({"max_tokens": 8.5}, "max_tokens: "), ({"n": True}, "n: "), ({"max_tokens": -2}, "max_tokens: "),
    ({"max_completion_tokens": 5}, "did you mean max_tokens?"), ({"tools": [1]}, "leave it out"),
    ({"stream_options": {"include_usage": True}}, "they are for a stream"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "told"), SOMETHING, ids=str)
def test_what_asks_for_something_is_not_ignored(server: Running, asked: dict, told: str) -> None:
    found = server.complete("the ", **asked)
    error = found.json()["error"]
    assert (found.status_code, error["param"]) == (400, next(iter(asked)))
    assert told in error["message"]


def test_token_ids(server: Running, generator: Generator, expected: Expected) -> None:
    """Ids of vocab.json as text, as lm-evaluation-harness sends them, one prompt or several."""
    texts = ["the fog €", "a"]
    coded = [generator.model.encode(text).tolist() for text in texts]
    asked = {"max_tokens": 20, "seed": 5, "echo": True, "logprobs": 1, "temperature": 0}
    by_text = server.complete(texts, **asked).json()
    for prompt in (coded, [[float(k) for k in ids] for ids in coded]):
        assert server.complete(prompt, **asked).json()["choices"] == by_text["choices"]
    assert server.complete(coded[0], **asked).json()["choices"][0] == by_text["choices"][0]
    client = server.openai()
    found = client.completions.create(model="verses", prompt=coded[0], max_tokens=20, seed=5)
    assert found.choices[0].text == expected(texts[0], length=20, seed=5)
    assert server.text([[]], max_tokens=9, seed=1) == expected("", length=9, seed=1)
    assert server.text("<|endoftext|>", max_tokens=9, seed=1) == expected("", length=9, seed=1)
    vocabulary = generator.model.vocabulary
    told = rf"vocab\.json, 0 to {len(vocabulary) - 1}; send text"
    for wrong in ([50256], [[1], [99999]], [vocabulary.bos], coded[0][-2:], [2**31 - 1]):
        with pytest.raises(openai.BadRequestError, match=told) as refused:
            client.completions.create(model="verses", prompt=wrong)
        assert refused.value.param == "prompt"
    for wrong in ([-1], [1.5], [True], ["a", 1], [[1], "a"], 5, {}):
        refused = server.complete(wrong)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt")


def test_the_client_tries_again_while_there_is_no_room(serve: Callable[..., Running]) -> None:
    server = serve("--streams", "1", "--queue", "0", *LONG)
    with server.writers(1) as (socket,):
        server.writing(1)
        with pytest.raises(openai.RateLimitError) as refused:
            server.openai().completions.create(model="verses", prompt="a")
        assert refused.value.response.headers["retry-after"]
        assert refused.value.code == "queue_limit"
        threading.Timer(0.2, socket.shutdown, [2]).start()
        found = server.openai(max_retries=5).completions.create(model="verses", prompt="a", max_tokens=5)
        assert len(found.choices[0].text) == 5


ALONE_AND_AMONG = [
    {},
    {"temperature": 0.0},
    {"top_p": 0.9, "frequency_penalty": 0.3},
    {"no_repeat": 5},
    {"match": "([a-e]+ )+"},
    {"stop": ["ee", "\n\n"], "min_p": 0.05},
    {"logprobs": 2},
]


def test_a_text_is_the_same_alone_and_among_64(server: Running) -> None:
    asked = [
        {
            "prompt": "the fog " * (1 + 37 * (k % 5)),
            "max_tokens": 50 + 29 * (k % 7),
            "seed": k % 11,
            **options,
        }
        for k, options in enumerate((ALONE_AND_AMONG * 10)[:64])
    ]
    alone = [server.complete(**each).json()["choices"] for each in asked[:16]]
    for _ in range(2):
        with ThreadPoolExecutor(64) as threads:
            together = list(threads.map(lambda each: server.complete(**each).json()["choices"], asked))
        assert together[:16] == alone


def test_for_ever_is_too_long_by_default(server: Running) -> None:
    assert server.complete("a", max_tokens=FOR_EVER).status_code == 400
