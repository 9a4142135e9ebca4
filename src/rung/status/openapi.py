"""The API's own description, OpenAPI 3.1: made from the table of routes and the types of their answers.

The examples beside it were captured from a running server (`python -m docs.generator`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

import msgspec

from rung.access.permissions import Permission, Scope
from rung.status.messages import JSON, NDJSON, ProblemDocument
from rung.status.problem import MEDIA_TYPE
from rung.status.routes import AUTHENTICATION_PROBLEMS, COMMON_PROBLEMS, EVENTS, PROBLEMS, ROUTES, ApiRoute
from rung.transaction.events import EVENT_BYTES_MAX, ID_BYTES_MAX
from rung.transaction.history import AMOUNT_MAX, STATUSES

OPENAPI_VERSION: Final = "3.1.0"
EXAMPLES_FILE: Final = "openapi_examples.json"
"""Beside this module: "METHOD path" -> the example of its answer, and of its body where it takes one."""

_REFERENCE: Final = "#/components/schemas/{name}"
_USER_TOKEN: Final = "user_token"  # noqa: S105 - a name
_SERVICE_KEY: Final = "service_key"
_SECURITY_SCHEMES: Final = {
    _USER_TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the operator's issuer ([api.tokens] in rung.toml), for one user.",
    },
    _SERVICE_KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of a service, made by `rung keys create`, with the scope that a route names.",
    },
}
_PATH_PARAMETERS: Final = {
    "user_id": ("The user.", "ann", {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX}),
    "campaign": ("The campaign's name.", "retail", {"type": "string", "minLength": 1, "maxLength": 64}),
}
_EVENT_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Event": {
        "description": f"A transaction with its full history so far, or a user's attributes; at most "
        f"{EVENT_BYTES_MAX // 1024} KiB. It is looked at when it is applied, and not before.",
        "anyOf": [
            *({"$ref": _REFERENCE.format(name=name)} for name in ("TransactionEvent", "UserEvent")),
            {"title": "Anything else", "description": "It is taken, and goes to quarantine."},
        ],
    },
    "TransactionEvent": {
        "type": "object",
        "required": ["transaction_id", "user_id", "history"],
        "properties": {
            "transaction_id": {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX},
            "user_id": {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX},
            "attributes": {"type": "object", "description": "What campaigns declare of transactions."},
            "history": {"type": "array", "minItems": 1, "items": {"$ref": _REFERENCE.format(name="Step")}},
        },
    },
    "Step": {
        "type": "object",
        "required": ["status", "at", "amount"],
        "properties": {
            "status": {"enum": list(STATUSES)},
            "at": {
                "type": "string",
                "format": "date-time",
                "description": "RFC 3339; the offset must be there.",
            },
            "amount": {
                "type": "integer",
                "minimum": 0,
                "maximum": AMOUNT_MAX,
                "description": "In minor units of the currency; of REFUNDED what this step gave back.",
            },
        },
    },
    "UserEvent": {
        "description": "What is known of a user; the highest sequence wins.",
        "type": "object",
        "required": ["user_id", "sequence", "user_attributes"],
        "properties": {
            "user_id": {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX},
            "sequence": {"type": "integer", "minimum": 0},
            "user_attributes": {"type": "object"},
        },
    },
}


@cache
def openapi() -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Return the document as values of JSON."""
    examples: dict[str, dict[str, Any]] = msgspec.json.decode(
        files("rung.status").joinpath(EXAMPLES_FILE).read_bytes()
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        # A user's own routes answer what those of any user do.
        path = route.path.replace("/v1/me/", "/v1/users/{user_id}/")
        example = examples.get(f"{route.method} {path}", {})
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, example)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Rung",
            "version": version("rung"),
            "summary": "The standing of every user in a payment campaign.",
            "description": "Every error is a problem document (RFC 9457) whose `code` is for programs. "
            "A GET route answers HEAD, too.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": _SECURITY_SCHEMES},
    }


def _operation(route: ApiRoute, example: Mapping[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "security": _security(route.permission),
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {
            **{str(int(status)): answer for status, answer in _answers(route, example)},
            **dict(_problems(route)),
        },
    }
    if route.request_media:
        operation["requestBody"] = {"required": True, "content": dict(_bodies(route, example))}
    return operation


def _operation_id(route: ApiRoute) -> str:
    words = route.path.translate(str.maketrans("/.", "  ", "{}")).split()
    return "_".join((route.method.lower(), *words))


def _security(permission: Permission) -> list[dict[str, list[str]]]:
    """Return the credentials that a route takes, one of them: none at all for an open one."""
    if permission is Permission.OPEN:
        return []
    if permission is Permission.OWN:
        return [{_USER_TOKEN: []}]
    if permission is Permission.SIGNED_IN:
        return [{_USER_TOKEN: []}, {_SERVICE_KEY: []}]
    return [{_SERVICE_KEY: [Scope(permission.value).value]}]


def _path_parameters(route: ApiRoute) -> Iterator[dict[str, Any]]:
    for name, (description, example, schema) in _PATH_PARAMETERS.items():
        if f"{{{name}}}" in route.path:
            told = {"description": description, "example": example, "schema": schema}
            yield {"name": name, "in": "path", "required": True, **told}


def _query_parameters(route: ApiRoute) -> Iterator[dict[str, Any]]:
    for parameter in route.query:
        yield {
            "name": parameter.name,
            "in": "query",
            "required": parameter.is_required,
            "description": parameter.description,
            "example": msgspec.convert(parameter.example, int, strict=False)
            if parameter.schema["type"] == "integer"
            else parameter.example,
            "schema": parameter.schema,
        }


def _bodies(route: ApiRoute, example: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    given = {"example": example["request"]} if "request" in example else {}
    for media in route.request_media:
        if media == NDJSON:
            lines = {"type": "string", "description": "One event in JSON on each line.", "minLength": 1}
            yield media, {"schema": lines}
        else:
            name = "Event" if route is EVENTS else _name_of(route.request)
            yield media, {"schema": {"$ref": _REFERENCE.format(name=name)}, **given}


def _answers(route: ApiRoute, example: Mapping[str, Any]) -> Iterator[tuple[HTTPStatus, dict[str, Any]]]:
    """Yield what a route answers when all is well."""
    content: dict[str, Any] = {"schema": {"type": "string"}}
    if route.response is not None:
        content = {"schema": {"$ref": _REFERENCE.format(name=_name_of(route.response))}}
    elif route.response_media == JSON:
        content = {"schema": {"type": "object"}}
    if "response" in example:
        content["example"] = example["response"]
    answer: dict[str, Any] = {
        "description": route.status.phrase,
        "content": {route.response_media.partition(";")[0]: content},
    }
    if _is_one_status(route):
        tag = {"description": "Changes whenever what is shown does.", "schema": {"type": "string"}}
        answer["headers"] = {"ETag": tag}
        yield HTTPStatus.NOT_MODIFIED, {"description": "The status is as `If-None-Match` has it."}
    yield route.status, answer


def _is_one_status(route: ApiRoute) -> bool:
    return route.response is not None and _name_of(route.response) == "UserStatus"


def _problems(route: ApiRoute) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each status of a problem with the codes that come with it."""
    common = () if route.permission is Permission.OPEN else AUTHENTICATION_PROBLEMS
    by_status: dict[HTTPStatus, list[str]] = {}
    for code in dict.fromkeys((*route.problems, *common, *COMMON_PROBLEMS)):
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    for status, codes in sorted(by_status.items()):
        reference = {"$ref": _REFERENCE.format(name=ProblemDocument.__name__)}
        answer: dict[str, Any] = {
            "description": " ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes),
            "content": {MEDIA_TYPE: {"schema": reference}},
        }
        if headers := _PROBLEM_HEADERS.get(status):
            answer["headers"] = headers
        yield str(status.value), answer


_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds until it may be asked again.", "schema": {"type": "integer"}}
}
_PROBLEM_HEADERS: Final[Mapping[HTTPStatus, Mapping[str, Any]]] = {
    HTTPStatus.UNAUTHORIZED: {
        "WWW-Authenticate": {"description": "`Bearer`, and what is wrong.", "schema": {"type": "string"}}
    },
    HTTPStatus.TOO_MANY_REQUESTS: _RETRY_AFTER,
    HTTPStatus.SERVICE_UNAVAILABLE: _RETRY_AFTER,
}


def _schemas() -> dict[str, Any]:
    types = [kind for route in ROUTES for kind in (route.response, route.request) if kind is not None]
    _, schemas = msgspec.json.schema_components(
        [*dict.fromkeys(types), ProblemDocument], ref_template=_REFERENCE
    )
    described = {name: _described(schema) for name, schema in schemas.items()}
    return dict(sorted({**described, **_EVENT_SCHEMAS}.items()))


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose description, a docstring, has lost its indentation."""
    if "description" not in schema:
        return schema
    return schema | {"description": inspect.cleandoc(schema["description"])}


def _name_of(kind: type[msgspec.Struct] | None) -> str:
    assert kind is not None, "a body of JSON has a type"
    return kind.__name__
