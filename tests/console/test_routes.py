"""Who may do what: every route, with every kind of caller; and what every answer carries."""

from __future__ import annotations

import re

import pytest

from console.console_rig import Rig
from rung.batch.lease import only_job
from rung.console.application import HEADERS, ConsoleRoute, RouteUnguarded, application
from rung.console.roles import Permission
from rung.console.routes import ROUTES
from rung.console.views import overview

# Who gets past the permission: n nobody, v viewer, o operator, a approver.
MATRIX = {
    "GET /sign-in": "nvoa",
    "POST /sign-in": "nvoa",
    "POST /sign-out": "-voa",
    "GET /static/{name}": "nvoa",
    "GET /": "-voa",
    "GET /live": "-voa",
    "GET /series": "-voa",
    "GET /lag": "-voa",
    "GET /campaigns": "-voa",
    "GET /campaigns/{campaign}": "-voa",
    "POST /campaigns/{campaign}/count": "--oa",
    "GET /campaigns/{campaign}/roll-back": "---a",
    "POST /campaigns/{campaign}/roll-back": "---a",
    "GET /changes": "-voa",
    "GET /changes/new": "--oa",
    "POST /changes": "--oa",
    "GET /changes/{change}": "-voa",
    "GET /changes/{change}/edit": "--oa",
    "POST /changes/{change}/edit": "--oa",
    "POST /changes/{change}/apply": "--oa",
    "POST /changes/{change}/run/{stage}": "--oa",
    "POST /changes/{change}/approve": "---a",
    "POST /changes/{change}/activate": "---a",
    "POST /changes/{change}/withdraw": "--oa",
    "GET /simulate": "--oa",
    "POST /simulate": "--oa",
    "GET /users": "-voa",
    "POST /users/replay/plan": "--oa",
    "POST /users/replay": "--oa",
    "GET /quarantine": "-voa",
    "POST /quarantine/retry": "--oa",
    "GET /quarantine/{position}": "-voa",
    "POST /quarantine/{position}/correct": "--oa",
    "GET /batch": "-voa",
    "POST /batch/verify": "--oa",
    "GET /batch/reports/{report}": "-voa",
    "POST /batch/reports/{report}/plan": "--oa",
    "POST /batch/reports/{report}/repair": "--oa",
    "GET /jobs/{job}": "-voa",
    "GET /jobs/{job}/progress": "-voa",
    "POST /jobs/{job}/stop": "--oa",
    "POST /requests": "--oa",
    "GET /requests/{request}": "-voa",
    "POST /requests/{request}/settle": "---a",
    "POST /requests/{request}/withdraw": "--oa",
    "GET /audit": "-voa",
    "GET /audit.csv": "-voa",
    "GET /audit.json": "-voa",
}
CALLERS = {"n": None, "v": "vera", "o": "bob", "a": "cat"}
_INLINE = re.compile(
    r"<[^>]+\sstyle=|<style|<script(?![^>]*\ssrc=)|<[^>]+\son[a-z]+=|javascript:", re.IGNORECASE
)


def test_the_matrix_has_every_route() -> None:
    """Whoever adds a route has to say in the matrix who may use it."""
    assert MATRIX.keys() == {f"{route.method} {route.path}" for route in ROUTES}


@pytest.mark.parametrize("caller", CALLERS)
def test_every_route(rig: Rig, caller: str) -> None:
    """A caller gets past the permissions of just the routes that the matrix says; nobody is led to sign in."""
    name = CALLERS[caller]
    # While another job runs, none is started by the routes that start one.
    with only_job(rig.console.services.batch_folder, "a job of a test"):
        for route in ROUTES:
            person = rig.somebody() if name is None else rig.person(name)
            path = re.sub(r"{campaign}", "small", re.sub(r"{name}", "console.css", route.path))
            path = re.sub(r"{[a-z]+}", "0", path)
            answer = person.get(path) if route.method == "GET" else person.post(path)
            passes = caller in MATRIX[f"{route.method} {route.path}"]
            if passes:
                assert answer.status_code not in {401, 500}, (route.path, answer.text)
                assert answer.status_code != 403 or route.path == "/sign-in", (route.path, answer.text)
                assert not answer.headers.get("location", "").startswith("/sign-in?"), route.path
            elif name is not None:
                assert answer.status_code == 403, (route.path, answer.status_code)
            elif route.method == "GET":
                assert (answer.status_code, answer.headers["location"][:8]) == (303, "/sign-in"), route.path
            else:
                assert answer.status_code == 401, route.path
            assert "Traceback" not in answer.text
            if route.path == "/sign-out" and name is not None:
                del rig.people[name]


def test_a_route_without_permission() -> None:
    """A console with a route that has no permission, or with two for one path, does not start."""
    unguarded = ConsoleRoute("GET", "/", None, overview.show)
    guarded = ConsoleRoute("GET", "/", Permission.VIEW, overview.show)
    for routes, what in (((unguarded,), "no permission"), ((guarded, guarded), "twice")):
        with pytest.raises(RouteUnguarded, match=what):
            application(None, routes)  # type: ignore[arg-type]


def test_every_answer_is_guarded(rig: Rig) -> None:
    """Every page, refusal and file carries the security headers; no page has an inline script or style."""
    ann = rig.person("ann")
    paths = [
        *("/", "/live", "/series", "/lag", "/campaigns", "/campaigns/small", "/campaigns/small/roll-back"),
        *("/campaigns/none", "/changes", "/changes/new?campaign=small", "/simulate?campaign=small", "/users"),
        *("/users?id=ann&period=2021-08", "/quarantine", "/batch", "/audit", "/audit.csv", "/audit.json"),
        *("/nowhere", "/static/console.css", "/static/nothing.js", "/sign-in"),
    ]
    for answer in [*map(ann.get, paths), rig.somebody().get("/"), ann.post("/campaigns")]:
        for header, value in HEADERS.items():
            if header == "cache-control" and answer.url.path.endswith("console.css"):
                assert answer.headers[header] == "public, max-age=31536000, immutable"
            else:
                assert answer.headers[header] == value, answer.url
        assert answer.headers["x-request-id"]
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert _INLINE.findall(answer.text) == [], answer.url


def test_only_declared_ways(rig: Rig) -> None:
    """A path takes the methods of its routes, and no other; what is not there is told in a page."""
    answer = rig.person("ann").client.delete("/campaigns")
    assert answer.status_code == 405
    assert "This path takes GET, HEAD." in answer.text or "This path takes HEAD, GET." in answer.text
    answer = rig.person("ann").get("/campaigns/")
    assert answer.status_code == 404
    assert "Nothing is at this address." in answer.text


def test_other_hosts(rig: Rig) -> None:
    """A name that is not the console's own is not answered to, signed in or not."""
    for person in (rig.person("ann"), rig.somebody()):
        for path in ("/", "/sign-in", "/static/console.css"):
            answer = person.get(path, host="rung.example.com")
            assert answer.status_code == 421
            assert "console.origin" in answer.text
