"""Who may use which route: a written matrix, walked whole."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from callers import ALGORITHMS, AUDIENCE, ISSUER, key_of, key_set, token
from rung.access.keys import Keys
from rung.access.permissions import Permission, Scope
from rung.access.subjects import AuthorisedUser
from rung.access.tokens import TokenRules
from rung.status.explanation import Explanation
from rung.status.gate import Gate
from rung.status.key_sets import KeySets
from rung.status.parameters import ExplainQuery
from rung.status.routes import EVENTS, HEALTH, PROBLEMS, ROUTES, UnlistedRoute, routes_of
from rung.status.user_tokens import UserTokens
from status.api_rig import Clock, Rig, running

KEYS = {scope: key_of(10 + number, scope) for number, scope in enumerate(Scope)}
CALLERS: dict[str, str | None] = {
    "nobody": None,
    "wrong key": f"Bearer {key_of(99, *Scope)[1]}",
    "wrong token": f"Bearer {token('ann', which='mallory', headers={'kid': 'ES256-one'})}",
    "other scheme": "Basic YW5uOmFubg==",
    "user": None,
    **{scope.value: f"Bearer {KEYS[scope][1]}" for scope in Scope},
}
NAMES = tuple(CALLERS)
MATRIX: dict[str, Sequence[int]] = {
    #                                            nobody, wrong key, wrong token, other scheme, user,
    #                                            then keys: status:read, explain:read, events:write, metrics:read
    "GET /v1/me/status":                         (401, 401, 401, 401, 200, 403, 403, 403, 403),
    "GET /v1/me/campaigns/{campaign}":           (401, 401, 401, 401, 200, 403, 403, 403, 403),
    "GET /v1/me/status/stream":                  (401, 401, 401, 401, 200, 403, 403, 403, 403),
    "GET /v1/me/explain":                        (401, 401, 401, 401, 200, 403, 403, 403, 403),
    "GET /v1/users/{user_id}/status":            (401, 401, 401, 401, 403, 200, 403, 403, 403),
    "GET /v1/users/{user_id}/campaigns/{campaign}": (401, 401, 401, 401, 403, 200, 403, 403, 403),
    "GET /v1/users/{user_id}/status/stream":     (401, 401, 401, 401, 403, 200, 403, 403, 403),
    "GET /v1/users/{user_id}/explain":           (401, 401, 401, 401, 403, 403, 200, 403, 403),
    "POST /v1/users/status":                     (401, 401, 401, 401, 403, 200, 403, 403, 403),
    "GET /v1/campaigns":                         (401, 401, 401, 401, 200, 200, 200, 200, 200),
    "POST /v1/events":                           (401, 401, 401, 401, 403, 403, 403, 202, 403),
    "GET /healthz":                              (200, 401, 401, 401, 200, 200, 200, 200, 200),
    "GET /readyz":                               (200, 401, 401, 401, 200, 200, 200, 200, 200),
    "GET /metrics":                              (401, 401, 401, 401, 403, 403, 403, 403, 200),
    "GET /v1/openapi.json":                      (401, 401, 401, 401, 200, 200, 200, 200, 200),
}  # fmt: skip
"""What each kind of caller is answered on each route."""
BODIES = {
    "/v1/users/status": b'{"user_ids":["ann"]}',
    "/v1/events": b'{"transaction_id":"t","user_id":"ann","history":[]}',
}


def gate_of(clock: Clock) -> Gate:
    """Return a gate that knows the callers of the matrix."""
    keys = Keys(tuple(stored for made, _ in KEYS.values() for stored in made.stored))
    algorithms = frozenset(ALGORITHMS)
    key_sets = KeySets(key_set, algorithms, 30.0)
    tokens = UserTokens(TokenRules(ISSUER, AUDIENCE, algorithms), key_sets)
    return Gate(lambda: keys, tokens, clock)


def explained(user: AuthorisedUser, query: ExplainQuery) -> Explanation:
    """Explain a period in which nothing happened."""
    return Explanation(
        user.decode(), query.campaign, query.period, 0, partial=False, exact=True, measures={}, stored={},
        transactions=(), rejected=(), closed=None,
    )  # fmt: skip


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    """Return an API that knows the callers of the matrix."""
    with running(tmp_path, gate_of=gate_of, explain=explained) as made:
        yield made


def asked(rig: Rig, method: str, path: str, authorization: str | None, user: str = "ann") -> Any:
    """Return the answer to a good request of a route; a stream is only asked for its head."""
    filled = path.format(user_id=user, campaign="small")
    query = "?campaign=small&period=2021-08" if path.endswith("/explain") else ""
    method = "HEAD" if path.endswith("/stream") else method
    headers = {"content-type": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization
    return rig.client.request(method, filled + query, content=BODIES.get(path), headers=headers)


@pytest.mark.parametrize("line", MATRIX)
def test_the_matrix(rig: Rig, line: str) -> None:
    """Every route answers every kind of caller as it is written, and tells those it refuses why."""
    method, path = line.split()
    del rig.client.headers["authorization"]
    user = f"Bearer {token('ann', exp=rig.clock.now // 1_000_000 + 60, iat=None)}"
    found: list[int] = []
    for name in NAMES:
        answer = asked(rig, method, path, user if name == "user" else CALLERS[name])
        found.append(answer.status_code)
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"].startswith('Bearer realm="rung"')
        if answer.status_code in {401, 403} and not path.endswith("/stream"):
            assert answer.json()["code"] in {"missing_credentials", "bad_credentials", "missing_permission"}
    assert tuple(found) == MATRIX[line]


def test_every_route_is_in_the_matrix() -> None:
    """The matrix and the table of routes name the same routes."""
    assert set(MATRIX) == {f"{route.method} {route.path}" for route in ROUTES}


def test_refusals_tell_nothing_of_a_user(rig: Rig) -> None:
    """Who may not read a user is answered alike for every id, before anything is read."""
    del rig.client.headers["authorization"]
    user = f"Bearer {token('ann', exp=rig.clock.now // 1_000_000 + 60, iat=None)}"
    rig.store.error = AssertionError("it was read")
    for path in ("/v1/users/{user_id}/status", "/v1/users/{user_id}/explain"):
        answers = {
            asked(rig, "GET", path, user, user=name).content for name in ("ann", "bob", "nobody", "x" * 200)
        }
        assert len(answers) == 1


def test_pages_are_open(rig: Rig) -> None:
    """The files of the page hold nothing of anybody, and are served to all."""
    del rig.client.headers["authorization"]
    answer = rig.client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_handler_without_a_line_fails_the_start() -> None:
    """A handler that the table does not have, or without a permission there, lets no server start."""
    assert routes_of([("GET", "/healthz")]) == {"/healthz": HEALTH}
    with pytest.raises(UnlistedRoute, match="POST /healthz has no permission in the table of routes"):
        routes_of([("GET", "/healthz"), ("POST", "/healthz")])
    without = replace(EVENTS, permission=None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnlistedRoute, match="POST /v1/events has no permission"):
        routes_of([("POST", "/v1/events")], [without])


def test_the_table_is_whole() -> None:
    """Each line has what a reader needs: known problems, a type or a medium, room for a body that it takes."""
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert set(route.problems) <= set(PROBLEMS), route.path
        assert route.response is None or route.response_media == "application/json", route.path
        assert bool(route.request_media) is (route.method == "POST") is (route.body_bytes_max > 0)
        assert route.summary.endswith("."), route.path
        for parameter in route.query:
            assert parameter.name in route.parameters
            assert parameter.description.endswith(".")
    open_routes = {route.path for route in ROUTES if route.permission is Permission.OPEN}
    assert open_routes == {"/healthz", "/readyz"}
