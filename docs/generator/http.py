"""The HTTP API, from its own description (OpenAPI)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docs.generator.markdown import block, code, page, table
from rung.access.permissions import Permission
from rung.status.openapi import document
from rung.status.routes import AUTHENTICATION_PROBLEMS, COMMON_PROBLEMS, PROBLEMS, ROUTES, ApiRoute


def openapi_file() -> str:
    """Return the description of the API as it is committed."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def http_page() -> str:
    """Return the page."""
    described = document()
    schemas: Mapping[str, Any] = described["components"]["schemas"]
    return page(
        "HTTP API",
        "For developers who show a status, or send events: every route with who may ask it, what it takes "
        "and what it answers. The same as OpenAPI 3.1: [openapi.json](../openapi.json), and `GET "
        "/v1/openapi.json`.",
        "Every request but those of open routes carries `Authorization: Bearer CREDENTIAL`: a user's "
        "token, or a service's key from `rung keys create`. A GET route answers HEAD, too.",
        table(("route", "permission", "answer"), map(_row, ROUTES)),
        *(part for route in ROUTES for part in _route(route, described["paths"])),
        "## Errors",
        "An error is a problem document (RFC 9457). Programs look at `code`, which never changes its "
        "meaning; `detail` is for people, and names the place and the fix.",
        block("json", json.dumps(_PROBLEM, indent=1)),
        "`Retry-After` comes with 429 and 503. What asked nothing of the server is safe to send again, and "
        "so are events: whatever comes twice counts once.",
        table(
            ("code", "status", "meaning"),
            ((code(name), str(status.value), sentence) for name, (status, sentence) in PROBLEMS.items()),
        ),
        f"Any route may answer {_codes(COMMON_PROBLEMS)}; any that is not open "
        f"{_codes(AUTHENTICATION_PROBLEMS)}.",
        "## Documents",
        *(part for name, schema in schemas.items() for part in _schema(name, schema)),
    )


_PROBLEM = {
    "type": "urn:rung:problem:unknown_campaign",
    "title": "Not Found",
    "status": 404,
    "detail": "campaign: none is named 'retial'; GET /v1/campaigns lists them.",
    "code": "unknown_campaign",
    "suggestion": "retail",
}


def _row(route: ApiRoute) -> tuple[str, ...]:
    return code(f"{route.method} {route.path}"), code(route.permission.value), route.summary


def _route(route: ApiRoute, paths: Mapping[str, Any]) -> Iterator[str]:
    operation: Mapping[str, Any] = paths[route.path][route.method.lower()]
    yield f"## {route.method} {route.path}"
    needed = _NEEDS.get(route.permission, f"a key with {code(route.permission.value)}")
    yield f"{route.summary} Needs {needed}."
    rows = [
        (
            code(parameter["name"]),
            parameter["in"],
            "yes" if parameter["required"] else "",
            parameter["description"],
            code(str(parameter["example"])),
        )
        for parameter in operation["parameters"]
    ]
    if rows:
        yield table(("parameter", "in", "needed", "meaning", "for example"), rows)
    bodies: Mapping[str, Any] = operation.get("requestBody", {}).get("content", {})
    if bodies:
        limit = f"at most {route.body_bytes_max:,} bytes"
        taken = [f"{code(media)} ({_type(body['schema'])})" for media, body in bodies.items()]
        yield f"Takes {' or '.join(taken)}, {limit}."
    for body in bodies.values():
        if "example" in body:
            yield block("json", json.dumps(body["example"], indent=1))
    answer = operation["responses"][str(route.status.value)]
    for media, content in answer["content"].items():
        yield f"Answers {route.status.value} with {code(media)}: {_type(content['schema'])}."
        if "example" in content and route.permission is not Permission.OWN:
            example = block("json", json.dumps(content["example"], indent=1))
            yield f'??? example "An answer"\n\n{_indented(example)}'
    if route.problems:
        yield f"Problems of its own: {_codes(route.problems)}."


_NEEDS = {
    Permission.OPEN: "nothing",
    Permission.SIGNED_IN: "any valid token or key",
    Permission.OWN: "a user's token, and tells of that user alone",
}


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    if "description" in schema:
        yield schema["description"]
    if "enum" in schema:
        yield " or ".join(code(str(word)) for word in schema["enum"]) + "."
    if "anyOf" in schema:
        yield f"{_type(schema)}."
    required = schema.get("required", ())
    rows = [
        (code(field), "always" if field in required else "", _type(kind), kind.get("description", ""))
        for field, kind in schema.get("properties", {}).items()
    ]
    if rows:
        yield table(("field", "there", "type", "meaning"), rows)


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a field in a few words, linked to the document that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(code(str(word)) for word in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "additionalProperties" in schema:
        return f"object of {_type(schema['additionalProperties'])}"
    return kind


def _codes(codes: tuple[str, ...]) -> str:
    return ", ".join(map(code, dict.fromkeys(codes)))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
