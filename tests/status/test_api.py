"""The HTTP API over a store in memory and a real log: every route, every refusal, every metric."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from cli.command import SPEC, purchase
from rung.status.after import read_token
from rung.status.api import Limits
from rung.status.parameters import read_query
from rung.status.problem import Problem
from rung.store.port import StoreError
from rung.transaction.routing import partition_of, partition_of_event
from status.api_rig import ANN, NDJSON, PARTITIONS, Rig, running

JSON = {"content-type": "application/json"}
POISON = b'{"user_id":"ann"}'
"""Read by no worker, but of the same partition as its user's other events."""


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    """Return an API with the small campaign."""
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def narrow(tmp_path: Path) -> Generator[Rig]:
    """Return an API that bears little."""
    limits = Limits(body_bytes_max=1_000, body_lines_max=3, lag_events_max=1, lag_seconds_max=60.0)
    with running(tmp_path, limits) as made:
        yield made


# --- statuses -----------------------------------------------------------------------------------------------


def test_a_status_follows_each_batch(rig: Rig) -> None:
    """A status read after a batch shows it at once, and says how far it has read."""
    assert rig.counting()["measures"] == {"payments": 0, "total": 0}
    position = rig.post(purchase("t1"), purchase("t2", amount=499))["position"]
    assert rig.counting()["measures"] == {"payments": 0, "total": 0}
    rig.work()
    answer = rig.client.get(ANN)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-cache"
    document = answer.json()
    assert document["user_id"] == "ann"
    assert document["as_of"] == {**position, "event_at": "2021-08-03T10:00:00Z", "pending": False}
    assert document["campaigns"][0]["counting"]["measures"] == {"payments": 1, "total": 1_499}
    rig.post(purchase("t1", then=[("REFUNDED", "2021-08-04T10:00:00Z", 600)]))
    rig.work()
    assert rig.counting()["measures"] == {"payments": 0, "total": 899}


def test_a_campaign_applied_between_two_reads(rig: Rig) -> None:
    """A campaign shows in the next read after it is applied, among statuses and descriptions."""
    both = [("/v1/users/ann/status", "campaign"), ("/v1/campaigns", "campaign")]
    for path, name in both:
        assert [one[name] for one in rig.client.get(path).json()["campaigns"]] == ["small"]
    rig.apply(SPEC.replace("small", "second"))
    for path, name in reversed(both):
        assert [one[name] for one in rig.client.get(path).json()["campaigns"]] == ["small", "second"]


@pytest.mark.parametrize("path", ["/v1/users/ann/campaigns/small", "/v1/users/ann/status?campaign=small"])
def test_one_campaign(rig: Rig, path: str) -> None:
    """A single campaign is answered in the same form as all of them."""
    whole = rig.client.get(ANN).json()
    rig.apply(SPEC.replace("small", "second"))
    assert rig.client.get(path).json() == whole


@pytest.mark.parametrize(
    ("at", "period"),
    [
        ("2021-06-30T23:59:59.999999Z", "2021-06"),
        ("2021-07-01T00:00:00Z", "2021-07"),
        ("2021-07-01T00:00:00+09:00", "2021-06"),
        ("2021-07-01T00:00:00%2B09:00", "2021-06"),
        ("2021-07-01", "2021-07"),
    ],
)
def test_at(rig: Rig, at: str, period: str) -> None:
    """`at` chooses the periods; the plus of an offset may be escaped or not."""
    assert rig.counting(f"{ANN}?at={at}")["period"] == period
    assert rig.counting()["period"] == "2021-08"


@pytest.mark.parametrize(
    ("segment", "user_id"),
    [
        ("a%2Fb", "a/b"),
        ("%E3%83%A6", "ユ"),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("a%2Fcampaigns%2Fb", "a/campaigns/b"),
        ("%25", "%"),
        ("x" * 128, "x" * 128),
    ],
)
def test_any_user_id(rig: Rig, segment: str, user_id: str) -> None:
    """An id may hold any character, and has its own figures."""
    rig.post(purchase("t1", user=user_id), purchase("t2", user="other"))
    rig.work()
    document = rig.client.get(f"/v1/users/{segment}/status").json()
    assert document["user_id"] == user_id
    assert document["as_of"]["partition"] == partition_of(user_id.encode(), PARTITIONS)
    assert document["campaigns"][0]["counting"]["measures"]["payments"] == 1


def test_campaigns(rig: Rig) -> None:
    """The campaigns are described with the unit of each measure."""
    assert rig.client.get("/v1/campaigns").json() == {
        "campaigns": [
            {
                "campaign": "small",
                "timezone": "UTC",
                "currency": "EUR",
                "period": "month",
                "effective": "next",
                "counts_until": None,
                "schedule": [{"version": 0, "first": "2021-01", "last": None}],
                "versions": [
                    {
                        "version": 0,
                        "measures": {"payments": "count", "total": "money"},
                        "least": {"payments": 500},
                    }
                ],
            }
        ]
    }


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "words"),
    [
        ("GET", f"{ANN}?at=yesterday", 400, "bad_at", "got 'yesterday'"),
        ("GET", f"{ANN}?at=", 400, "bad_at", "got ''"),
        ("GET", f"{ANN}?at=2021-08-01T00:00:00", 400, "bad_at", "with an offset"),
        ("GET", f"{ANN}?at=2021-02-29", 400, "bad_at", "got '2021-02-29'"),
        ("GET", f"{ANN}?at=1970-01-02", 400, "bad_at", "from 1970-01-03"),
        ("GET", f"{ANN}?at=2099-12-31", 400, "bad_at", "to 2099-12-30"),
        ("GET", f"{ANN}?at=%FF", 400, "bad_at", "at: it is not UTF-8."),
        ("GET", f"{ANN}?day=2021-08-01", 400, "unknown_parameter", "'day': no such parameter"),
        ("GET", f"{ANN}?at=2021-08-01&at=2021-08-01", 400, "repeated_parameter", "at: it is given more"),
        ("GET", f"{ANN}?x={'y' * 2_048}", 414, "url_too_long", "2,048 are taken"),
        ("GET", f"{ANN}?%FF=1", 400, "bad_query", "query: it is not UTF-8."),
        ("GET", f"{ANN}?campaign={'y' * 257}", 400, "bad_campaign", "more than 256 bytes"),
        ("GET", "/v1/users/ann/campaigns/%FF", 400, "bad_campaign", "campaign: it is not UTF-8."),
        (
            "GET",
            "/v1/users/ann/campaigns/small?campaign=small",
            400,
            "unknown_parameter",
            "there are at, after",
        ),
        ("GET", f"/v1/users/{'x' * 129}/status", 400, "bad_user_id", "129 bytes; an id has at most 128"),
        ("GET", f"/v1/users/{'%C3%A9' * 65}/status", 400, "bad_user_id", "130 bytes"),
        ("GET", "/v1/users/%FF/status", 400, "bad_user_id", "user_id: it is not UTF-8."),
        ("GET", "/v1/users//status", 400, "bad_user_id", "user_id: it is empty"),
        ("GET", "/v1/users/ann", 404, "not_found", "Nothing"),
        ("GET", "/v1/users/ann/status/", 404, "not_found", "Nothing"),
        ("GET", "/v2/events", 404, "not_found", "Nothing"),
        ("GET", "/healthz/", 404, "not_found", "Nothing"),
        ("POST", ANN, 405, "method_not_allowed", "This path takes GET and HEAD."),
        ("DELETE", "/v1/users/ann/campaigns/small", 405, "method_not_allowed", "GET and HEAD"),
        ("GET", "/v1/events", 405, "method_not_allowed", "This path takes POST."),
    ],
)
def test_refusals(rig: Rig, method: str, path: str, status: int, code: str, words: str) -> None:
    """Every wrong request is answered with a problem that has a stable code and names the place."""
    problem = rig.problem(method, path)
    assert (problem["status"], problem["code"]) == (status, code)
    assert words in problem["detail"]
    assert "suggestion" not in problem


@pytest.mark.parametrize(
    ("path", "status", "code", "suggestion"),
    [
        (f"{ANN}?att=2021-08-01", 400, "unknown_parameter", "at"),
        (f"{ANN}?campaigns=small", 400, "unknown_parameter", "campaign"),
        (f"{ANN}?campaign=smal", 404, "unknown_campaign", "small"),
        ("/v1/users/ann/campaigns/smalll", 404, "unknown_campaign", "small"),
    ],
)
def test_suggestions(rig: Rig, path: str, status: int, code: str, suggestion: str) -> None:
    """A slip of the pen is answered with what was probably meant."""
    problem = rig.problem("GET", path)
    assert (problem["status"], problem["code"], problem["suggestion"]) == (status, code, suggestion)


def test_allowed_methods_are_told(rig: Rig) -> None:
    """405 names the methods in its header, too; HEAD is allowed where GET is."""
    assert rig.client.post(ANN).headers["allow"] == "GET, HEAD"
    assert rig.client.put("/v1/events").headers["allow"] == "POST"
    assert rig.client.head(ANN).status_code == 200


@pytest.mark.parametrize("raw", [b"%", b"a%2", b"%zz", b"%%41"])
def test_a_broken_escape(raw: bytes) -> None:
    """A percent sign without two digits is refused everywhere in a query, never read as itself."""
    for text in (raw, b"at=" + raw, b"campaign=" + raw):
        with pytest.raises(Problem, match="write a percent sign as %25"):
            read_query(text)


@pytest.mark.parametrize(
    "path", [ANN, "/v1/users/ann/campaigns/small", "/v1/campaigns", "/metrics", "/readyz"]
)
def test_nothing_of_an_internal_error(rig: Rig, path: str) -> None:
    """An unknown error is answered without a word of it; the server goes on."""
    rig.store.error = RuntimeError("secret of the store")
    answer = rig.client.get(path)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["code"] == "internal_error"
    assert answer.json()["detail"] == "The server failed; its log has the details."
    assert "secret" not in answer.text
    rig.store.error = None
    assert rig.client.get(ANN).status_code == 200


# --- events -------------------------------------------------------------------------------------------------


def test_one_event(rig: Rig) -> None:
    """One JSON event may span lines; the answer tells where it stands."""
    event = json.dumps(json.loads(purchase("t1")), indent=1).encode()
    answer = rig.client.post(
        "/v1/events", content=event, headers={"content-type": "application/json; charset=utf-8"}
    )
    assert (answer.status_code, answer.headers["cache-control"]) == (202, "no-store")
    partition = partition_of(b"ann", PARTITIONS)
    document = answer.json()
    assert set(read_token(document.pop("after")).offsets.items()) == {(partition, 0)}
    assert document == {"accepted": 1, "position": {"partition": partition, "offset": 0}}
    rig.work()
    assert rig.counting()["measures"]["payments"] == 1


def test_a_batch(rig: Rig) -> None:
    """A batch is taken whole, blank lines aside; the position is that of its last event."""
    answer = rig.post("", purchase("t1"), "  \r", purchase("t2", user="bob"), purchase("t3"), "")
    del answer["after"]
    assert answer == {"accepted": 3, "position": {"partition": partition_of(b"ann", PARTITIONS), "offset": 1}}
    rig.work()
    assert rig.counting()["measures"]["payments"] == 2


def test_poison_is_taken_and_quarantined(rig: Rig) -> None:
    """What cannot be read is accepted like any event, and found in quarantine with its bytes."""
    broken = b'{"user_id":"ann",'
    position = rig.post(purchase("t1"), broken)["position"]
    rig.work()
    (found,) = rig.store.quarantine(None, 10)
    assert (found.partition, found.offset) == (position["partition"], position["offset"])
    assert (found.reason, found.payload) == ("not_json", broken)
    assert position["partition"] == partition_of_event(broken, PARTITIONS)
    assert rig.counting()["measures"]["payments"] == 1


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{}", {}, 415, "unsupported_media_type"),
        (b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (b"x" * 1_001, JSON, 413, "body_too_large"),
        (b"\n" * 4, NDJSON, 413, "body_too_large"),
        (b"", JSON, 400, "no_events"),
        (b" \n ", JSON, 400, "no_events"),
        (b"", NDJSON, 400, "no_events"),
        (b"\r\n\r\n", NDJSON, 400, "no_events"),
    ],
)
def test_bodies_refused(narrow: Rig, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    """A body of another type, above a limit or without events is refused, and nothing of it is taken."""
    problem = narrow.problem("POST", "/v1/events", content=body, headers=headers)
    assert (problem["status"], problem["code"]) == (status, code)
    assert set(narrow.log.ends().values()) == {0}


def test_a_body_that_announces_no_length(narrow: Rig) -> None:
    """A streamed body is refused: nobody could tell whether its end is the end."""
    problem = narrow.problem("POST", "/v1/events", content=iter([purchase("t1").encode()]), headers=JSON)
    assert (problem["status"], problem["code"]) == (411, "length_required")
    assert problem["detail"] == "Content-Length: it is missing; send the length of the body."
    assert set(narrow.log.ends().values()) == {0}


def test_a_body_shorter_than_announced(narrow: Rig) -> None:
    """A body that ends before its announced length is refused whole."""
    headers = {**JSON, "content-length": "900"}
    problem = narrow.problem("POST", "/v1/events", content=purchase("t1").encode(), headers=headers)
    assert (problem["status"], problem["code"]) == (400, "incomplete_body")
    assert set(narrow.log.ends().values()) == {0}


def test_too_far_behind(narrow: Rig) -> None:
    """With more events waiting than the limit none are taken, until the worker has caught up."""
    narrow.post(purchase("t1"), purchase("t2"))
    answer = narrow.client.post("/v1/events", content=purchase("t3"), headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["code"] == "overloaded"
    assert answer.json()["detail"] == (
        "More than 1 events wait to be applied. Nothing of this request was taken; "
        "send it again after 2 seconds."
    )
    assert sum(narrow.log.ends().values()) == 2
    narrow.work()
    narrow.post(purchase("t3"))


# --- operation ----------------------------------------------------------------------------------------------


def test_alive_and_ready(rig: Rig) -> None:
    """A server is ready while no event has waited too long; alive it is anyway."""
    rig.post(purchase("t1"))
    rig.clock.now += 60_000_000
    answer = rig.client.get("/readyz")
    assert (answer.status_code, answer.json(), answer.headers["cache-control"]) == (
        200, {"status": "ready"}, "no-store",
    )  # fmt: skip
    rig.clock.now += 1_000_000
    problem = rig.problem("GET", "/readyz")
    assert (problem["status"], problem["code"]) == (503, "not_ready")
    assert problem["detail"] == "An event has waited 61 seconds to be applied: is the worker running?"
    assert rig.client.get("/healthz").json() == {"status": "alive"}
    rig.work()
    assert rig.client.get("/readyz").status_code == 200


def test_not_ready_without_a_store(rig: Rig) -> None:
    """A store that cannot be read makes the server not ready, and its error is not told."""
    rig.store.error = StoreError("secret of the store")
    problem = rig.problem("GET", "/readyz")
    assert (problem["status"], problem["code"]) == (503, "not_ready")
    assert problem["detail"] == "The store or the log cannot be read; the server's log has the details."
    assert rig.client.get("/healthz").status_code == 200


def test_metrics(rig: Rig) -> None:
    """Events, duplicates, poison, lag and requests are counted exactly."""
    rig.post(purchase("t1"), purchase("t1"), purchase("t2"), POISON, purchase("t1"))
    rig.client.get(ANN)
    rig.client.get(f"{ANN}?at=never")
    rig.client.get("/v1/users/ann/none")
    rig.clock.now += 1_500_000
    partition, process = str(partition_of(b"ann", PARTITIONS)), str(os.getpid())
    before = rig.samples()
    assert before["rung_events_applied_total",] == 0
    assert before["rung_lag_events", partition] == 5
    assert before["rung_lag_seconds",] == 1.5
    assert before["rung_log_end_offset", partition] == 5
    assert before["rung_applied_offset", partition] == -1
    rig.work()
    after = rig.samples()
    assert after["rung_events_applied_total",] == 4
    assert after["rung_events_duplicate_total",] == 2
    assert {key: value for key, value in after.items() if key[0] == "rung_events_quarantined_total"} == {
        ("rung_events_quarantined_total", "missing_field"): 1
    }
    assert after["rung_batches_total",] == 1
    assert after["rung_last_batch_events",] == 5
    assert after["rung_last_batch_timestamp_seconds",] == rig.clock.now / 1_000_000
    assert [after["rung_lag_events", str(number)] for number in range(PARTITIONS)] == [0] * PARTITIONS
    assert after["rung_lag_seconds",] == 0
    assert after["rung_applied_offset", partition] == 4
    requests = {key[1:]: value for key, value in after.items() if key[0] == "rung_http_requests_total"}
    assert requests == {
        (process, "/metrics", "200"): 1,
        (process, "/v1/events", "202"): 1,
        (process, "/v1/users/{user_id}/status", "200"): 1,
        (process, "/v1/users/{user_id}/status", "400"): 1,
        (process, "other", "404"): 1,
    }
    route = "/v1/users/{user_id}/status"
    assert after["rung_http_request_duration_seconds_count", process, route] == 2
    assert after["rung_http_request_duration_seconds_bucket", "+Inf", process, route] == 2
    assert 0 < after["rung_http_request_duration_seconds_sum", process, route] < 20


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/page/page.css", "text/css"),
        ("/page/page.js", "text/javascript"),
        ("/page/ladder.js", "text/javascript"),
        ("/page/words.js", "text/javascript"),
        ("/page/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page(rig: Rig, path: str, media_type: str) -> None:
    """The page's files are served with a policy that lets in nothing from elsewhere."""
    answer = rig.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
