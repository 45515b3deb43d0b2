"""What requests and answers look like: OpenAI's completions, and what is ours beside them.

A field that is not here is refused by its name, unless it is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from charloom.runtime.draw import MOST_SEED
from charloom.runtime.options import MOST_BEST_OF, MOST_STRENGTH, MOST_TEMPERATURE

MOST = 2**31 - 1
ANYTHING = "<|endoftext|>"  # the default prompt of OpenAI's API: a new text
FINISH = {"length": "length", "time": "length", "shutdown": "length"}
"""What ended a text, as OpenAI's clients know it; all else is "stop"."""


def _as_int(value: object) -> object:
    """JSON has one kind of number: 8.0 is 8."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


AS_INT = BeforeValidator(_as_int)
Whole = Annotated[int, Field(ge=1, le=MOST), AS_INT]
Count = Annotated[int, Field(ge=0, le=MOST), AS_INT]
Unset = Annotated[int, Field(ge=-1, le=MOST), AS_INT]  # -1: what other servers take for "not given"
Penalty = Annotated[float, Field(ge=-100, le=100)]
Value = str | int | float | list[float]
Condition = Value | dict[str, Value | None]
Share = Annotated[float, Field(ge=0, le=1)]
IGNORED = "Accepted and ignored."


class _Request(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={"additionalProperties": {"type": "null"}},
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, asked: Any) -> Any:
        """A null says nothing, whatever the field."""
        if not isinstance(asked, dict):
            return asked
        return {name: value for name, value in asked.items() if value is not None}


class StreamOptions(_Request):
    """What else a stream tells."""

    include_usage: bool | None = Field(None, description="A last event with the numbers of characters.")
    include_obfuscation: bool | None = Field(None, description=IGNORED)


class Completion(_Request):
    """Text to write after a prompt. Tokens are characters."""

    model: str | None = Field("", description="The served model's name; empty is the same.")
    prompt: str | list[str] | list[Count] | list[list[Count]] | None = Field(
        "", description="One text, or several, as text or ids of vocab.json; empty begins a new text."
    )
    max_tokens: Unset | None = Field(
        None, description="Characters to write at most. The model's own default, if not given or -1."
    )
    temperature: Annotated[float, Field(ge=0, le=MOST_TEMPERATURE)] | None = Field(
        None, description="0 is greedy. The model's own default, if not given."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="The likeliest characters that together have this probability."
    )
    n: Whole | None = Field(1, description="Texts a prompt.")
    best_of: Annotated[int, Field(ge=1, le=MOST_BEST_OF), AS_INT] | None = Field(
        None, description="Write so many and give back the n likeliest a character."
    )
    stream: bool | None = Field(False, description="Server-sent events, ending in [DONE].")
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = Field(None, description="The text ends before the first of these.")
    seed: Annotated[int, Field(ge=-1, le=MOST_SEED), AS_INT] | None = Field(
        None, description="The same request with the same seed gives the same text; drawn if not given or -1."
    )
    logprobs: Count | Literal[False] | None = Field(
        None, description="Log-probabilities, with so many alternatives each."
    )
    echo: bool | None = Field(
        False, description="The prompt before the text; with max_tokens 0 and logprobs it is scored."
    )
    frequency_penalty: Penalty | None = Field(0.0, description="Nats off a character, each time it came.")
    presence_penalty: Penalty | None = Field(0.0, description="Nats off a character that came.")
    logit_bias: dict[str, float] | None = Field(
        None, description="Nats to add, by id (vocab.json tells the ids)."
    )
    suffix: Literal[""] | None = Field(None, description="Not supported: a model reads from left to right.")
    user: Any = Field(None, description=IGNORED)
    metadata: Any = Field(None, description=IGNORED)
    store: Any = Field(None, description=IGNORED)
    service_tier: Any = Field(None, description=IGNORED)
    safety_identifier: Any = Field(None, description=IGNORED)
    prompt_cache_key: Any = Field(None, description=IGNORED)
    repetition_penalty: Annotated[float, Field(ge=1, le=1)] | None = Field(
        None, description="Not supported; 1 is accepted."
    )
    min_tokens: Annotated[int, Field(ge=0, le=0), AS_INT] | None = Field(
        None, description="Not supported; 0 is accepted."
    )
    top_k: Annotated[Unset, AfterValidator(lambda k: max(k, 0))] | None = Field(
        None, description="Draw from the k likeliest; 0 or -1 from all."
    )
    min_p: Share | None = Field(None, description="Only characters so likely, relative to the likeliest.")
    no_repeat: Count | None = Field(None, description="Never the same so many characters twice; 0: no rule.")
    only: str | None = Field(None, description="No other characters than these.")
    ban: str | None = Field(None, description="None of these characters.")
    match: str | None = Field(None, description="The whole text matches this regular expression.")
    ignore_eos: bool | None = Field(None, description="Go on where the model would end the text.")

    condition: Condition | None = Field(None, description="A label, or by name labels and lists of numbers.")
    strength: Annotated[float, Field(ge=0, le=MOST_STRENGTH)] | None = Field(
        None, description="What the condition is multiplied by: 1 as learned, 3 keeps to it more."
    )
    source: str | None = Field(None, description="The text to translate, for a model that does.")

    @property
    def texts(self) -> Sequence[str | list[int]]:
        """The prompts, each as text or ids."""
        prompt = self.prompt
        if not isinstance(prompt, list):
            return [prompt if prompt and prompt != ANYTHING else ""]
        if prompt and isinstance(prompt[0], int):
            return [prompt]
        return cast(list[str | list[int]], prompt)

    @property
    def alternatives(self) -> int:
        """How many each log-probability comes with; -1: no log-probabilities."""
        return -1 if self.logprobs is None or self.logprobs is False else self.logprobs

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the numbers of characters."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class Score(_Request):
    """Texts to read, not to write."""

    model: str | None = Field("", description="The served model's name; empty is the same.")
    input: str | list[str] = Field(description="One text, or several; each is read from the beginning.")
    characters: bool | None = Field(False, description="Tell the surprise of each character, too.")
    condition: Condition | None = Field(None, description="As for a completion.")
    source: str | None = Field(None, description="As for a completion.")


class Logprobs(BaseModel):
    """Of each token (a character, or a byte of one), in nats; None where nothing came before it."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class Choice(BaseModel):
    """One text. `ended_by` is ours: what exactly ended it."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None
    ended_by: Literal["length", "stop", "eos", "match", "time", "shutdown"] | None


class Usage(BaseModel):
    """Numbers of characters."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Written(BaseModel):
    """The answer to a completion; `seed` repeats it."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    seed: int
    choices: list[Choice]
    usage: Usage | None = None


class Surprise(BaseModel):
    """How well one text was predicted.

    `surprise` (bits) and `expected` (the entropy there, bits) are told of each character if asked for;
    None where nothing came before.
    """

    index: int
    characters: int
    nats: float
    bits_per_character: float
    surprise: list[float | None] | None = None
    expected: list[float | None] | None = None


class Scored(BaseModel):
    """The answer to a score."""

    object: Literal["list"]
    model: str
    data: list[Surprise]
    usage: Usage


class Served(BaseModel):
    """The model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["charloom"]


class Models(BaseModel):
    """All that are served: one."""

    object: Literal["list"]
    data: list[Served]


class Fault(BaseModel):
    """What is wrong, and where."""

    message: str
    type: str
    param: str | None
    code: str | None


class Failure(BaseModel):
    """Every answer with an error status."""

    error: Fault


class Status(BaseModel):
    """How the server is."""

    status: str


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the description: these statuses are answered with a Failure."""
    return {status: {"model": Failure} for status in statuses}
