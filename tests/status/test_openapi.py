"""The API's description of itself: complete, true, and what a running server keeps to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from callers import AUDIENCE, AUTHORIZED, ISSUER, KEY, key_set, token
from cli.command import SPEC, purchase, write_lines
from end_to_end.test_kill import serving
from rung.cli.main import run
from rung.status.openapi import document, openapi
from rung.status.routes import PROBLEMS, ROUTES

DOCUMENT: Mapping[str, Any] = document()
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with a small campaign and a purchase."""
    spec = tmp_path / "small.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    events = write_lines(tmp_path / "events.ndjson", purchase("t1"))
    for arguments in (["init"], ["campaign", "apply", str(spec)], ["ingest", "--wait", str(events)]):
        assert run(["--home", str(tmp_path / "home"), *arguments]) == 0
    return tmp_path / "home"


def test_every_route_is_described() -> None:
    """The description has the routes of the table and no others, each under an id of its own."""
    assert [name for name, _ in OPERATIONS] == [f"{route.method} {route.path}" for route in ROUTES]
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_every_reference_leads_somewhere() -> None:
    """Each schema that is named is there."""
    text = json.dumps(DOCUMENT)
    named = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= DOCUMENT["components"]["schemas"].keys()


def test_every_problem_is_described() -> None:
    """Each code of a problem stands at some route, under its own status."""
    found = {
        (status, code)
        for _, operation in OPERATIONS
        for status, answer in operation["responses"].items()
        for code in PROBLEMS
        if f"`{code}`:" in answer["description"]
    }
    assert {code for _, code in found} >= PROBLEMS.keys() - {"not_found"}
    assert all(PROBLEMS[code][0].value == int(status) for status, code in found)


def _examples() -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    for name, operation in OPERATIONS:
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (content for body in bodies for content in body.get("content", {}).values()):
            if "example" in content:
                yield name, content["schema"], content["example"]


def test_examples_keep_to_their_schemas() -> None:
    """Each example is of the schema beside it; there is one for every answer in JSON but the description itself."""
    examples = list(_examples())
    for _, schema, example in examples:
        jsonschema_rs.validate({**schema, "components": DOCUMENT["components"]}, example)
    answers = {f"{route.method} {route.path}" for route in ROUTES if route.response is not None}
    assert {name for name, _, _ in examples} == answers


def test_it_is_served(home: Path) -> None:
    """A server tells its description to whoever may sign in, and to nobody else."""
    with serving(home) as (_, port), closing(HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", "/v1/openapi.json")
        refused = connection.getresponse()
        assert (refused.status, json.load(refused)["code"]) == (401, "missing_credentials")
        connection.request("GET", "/v1/openapi.json", headers=dict(AUTHORIZED))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, openapi())


@pytest.mark.parametrize("caller", ["service", "user"])
def test_a_server_keeps_to_it(home: Path, tmp_path: Path, caller: str) -> None:
    """Whatever is asked, right or wrong, is answered as the description says it is."""
    (home / "users.jwks").write_bytes(key_set())
    settings = (home / "rung.toml").read_text(encoding="utf-8")
    (home / "rung.toml").write_text(settings.replace("[api.tokens]", _LET_IN, 1), encoding="utf-8")
    credential = KEY if caller == "service" else token("ann")
    with serving(home) as (_, port):
        ended = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("--config-file", str(Path(__file__).with_name("schemathesis.toml")), "run"),
                f"http://127.0.0.1:{port}/v1/openapi.json",
                *("--header", f"Authorization: Bearer {credential}"),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1"),
                *("--workers", "1", "--request-timeout", "30", "--generation-database", ":memory:"),
            ],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=220,
        )
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
    # What this caller may ask was let through: Schemathesis warns of what never was.
    refused = ended.stdout.partition("Authentication failed:")[2].partition("Ensure valid")[0]
    let_through, turned_away = ("users/status", "me/status")[:: 1 if caller == "service" else -1]
    assert f"/v1/{turned_away}\n" in refused
    assert f"/v1/{let_through}\n" not in refused


_LET_IN = f"""\
user_requests_per_second = 1000000.0
user_burst = 1000000
failures_per_minute = 1000000.0
[api.tokens]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "users.jwks"
"""
