"""The API against its own description: no answer of another kind, no server error, whatever is sent."""

from __future__ import annotations

import contextlib
import json
import re

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from .conftest import Running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def hold(server: Running, examples: int, *, derandomize: bool) -> None:
    """Ask every operation whatever its schema allows, and whatever it does not."""
    described = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) == 7
    for operation in operations:
        for mode in MODES:

            @settings(
                max_examples=examples,
                derandomize=derandomize,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def answers_are_as_described(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=CHECKS)

            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong about it
                answers_are_as_described()


def test_answers_are_as_described(server: Running) -> None:
    hold(server, 10, derandomize=True)


@pytest.mark.slow
def test_answers_are_as_described_at_length(server: Running) -> None:
    hold(server, 1000, derandomize=False)


def test_answers_of_every_kind_are_as_described(server: Running) -> None:
    """What chance seldom sends: whole answers, each field in use."""
    described = server.get("/openapi.json").json()
    components = described["components"]["schemas"]

    def fits(name: str, found: object) -> None:
        jsonschema_rs.validate(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": components}}, found
        )

    asked = {"prompt": ["the ", "a"], "n": 2, "logprobs": 2, "echo": True, "max_tokens": 5}
    fits("Written", server.complete(**asked).json())
    fits("Written", server.complete("a", max_tokens=0).json())
    for line in server.complete(**asked, stream=True).text.split("\n\n"):
        if line.startswith("data: {"):
            fits("Written", json.loads(line.removeprefix("data: ")))
    fits("Scored", server.post("/v1/score", {"input": ["a", "b"], "characters": True}).json())
    fits("Failure", server.complete("a", n=1000).json())
    fits("Models", server.get("/v1/models").json())


def test_the_page_of_the_description(server: Running) -> None:
    """It tells every field, and fetches nothing but its own style."""
    page = server.get("/docs").text
    described = server.get("/openapi.json").json()
    for name in ("Completion", "Score"):
        for field in described["components"]["schemas"][name]["properties"]:
            assert f"<td>{field}</td>" in page or f"<td>{field}<td>" in page
    for path in described["paths"]:
        assert f" {path}</code>" in page
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"docs/style.css", "data:,", "openapi.json"}
    assert "<script" not in page
    assert server.get("/docs/style.css").headers["content-type"].startswith("text/css")


def test_metrics_are_prometheus(server: Running) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    server.complete("a", max_tokens=5)
    found = server.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(found.text)}
    counted = "texts rejected cancelled characters requests"
    timed = "first_character_seconds between_pieces_seconds step_seconds"
    assert {f"charloom_{name}" for name in f"{counted} {timed}".split()} <= names
    assert server.metric("charloom_first_character_seconds_count") >= 1
    assert server.metric("charloom_characters_total") >= 5
