"""Reading one's own payment: tokens of positions, and statuses that wait for them."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.command import purchase
from rung.log.port import LogIdentity, Position
from rung.status.after import PARTITIONS_MAX, fingerprint, last_offsets, read_token, token_of
from rung.status.gate import URL_BYTES_MAX
from rung.status.messages import WAIT_MS_MAX
from rung.status.problem import Problem
from status.api_rig import ANN, Rig, running

LOG = LogIdentity("log", 4)


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    """Return an API with the small campaign."""
    with running(tmp_path) as made:
        yield made


@given(
    st.lists(st.tuples(st.integers(0, 1_023), st.integers(0, 2**62)), min_size=1, max_size=300),
    st.text(max_size=20),
)
def test_tokens(positions: list[tuple[int, int]], name: str) -> None:
    """A token tells the last offset of each partition and which log it is, or there is none for so many."""
    log = LogIdentity(name, 1_024)
    last = last_offsets(Position(*position) for position in sorted(positions))
    assert last == {partition: max(o for p, o in positions if p == partition) for partition, _ in positions}
    token = token_of(log, last)
    if len(last) > PARTITIONS_MAX:
        assert token is None
    else:
        assert token is not None
        found = read_token(token)
        assert (found.offsets, found.log) == (last, fingerprint(log))
        assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(("partitions", "is_told"), [(127, True), (128, True), (129, False)])
def test_a_token_has_room_in_a_url(partitions: int, is_told: bool) -> None:
    """A token is told for up to 128 partitions, and then a URL has room for it, at a million million events."""
    token = token_of(LOG, dict.fromkeys(range(partitions), 10**12))
    assert (token is not None) is is_told
    assert len(token or "") < URL_BYTES_MAX - 200


@pytest.mark.parametrize(
    "text",
    [
        "", "AQ", "AQAAAA", "x" * 1_900, "!!!!", "AQAAAAE", "AgAAAAAAAQ", "é",
        base64.urlsafe_b64encode(b"\x01\0\0\0\0\x80").decode(),
        base64.urlsafe_b64encode(b"\x01\0\0\0\0" + b"\xff" * 20).decode(),
        base64.urlsafe_b64encode(b"\x01\0\0\0\0\1\1\1").decode(),
    ],
)  # fmt: skip
def test_bad_tokens(rig: Rig, text: str) -> None:
    """What is no token is refused with 400, wherever it is used."""
    with pytest.raises(Problem, match="not what POST /v1/events answered"):
        read_token(text)
    problem = rig.problem("GET", ANN, params={"after": text})
    assert (problem["status"], problem["code"]) == (400, "bad_after")


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", str(WAIT_MS_MAX + 1), "9" * 50, "١"])
def test_bad_waits(rig: Rig, text: str) -> None:
    """A wait is a whole number of milliseconds within the limit."""
    assert rig.problem("GET", ANN, params={"wait_ms": text})["code"] == "bad_wait_ms"


@pytest.mark.parametrize("wait_ms", [0, WAIT_MS_MAX - 1, WAIT_MS_MAX])
def test_waits_within_the_limit(rig: Rig, wait_ms: int) -> None:
    """A wait for what is applied costs none of it."""
    assert rig.client.get(ANN, params={"wait_ms": wait_ms}).status_code == 200


def test_a_status_that_holds_the_events(rig: Rig) -> None:
    """With the token a status is told once the events are applied; before, it is asked for again."""
    after = rig.post(purchase("t1"), purchase("t2", user="bob"))["after"]
    answer = rig.client.get(ANN, params={"after": after, "wait_ms": 30})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["code"] == "not_applied_yet"
    assert rig.counting()["measures"]["payments"] == 0
    working = threading.Timer(0.1, rig.work)
    working.start()
    answer = rig.client.get(ANN, params={"after": after, "wait_ms": WAIT_MS_MAX})
    working.join()
    assert answer.json()["campaigns"][0]["counting"]["measures"]["payments"] == 1


def test_only_the_users_own_partition_counts(rig: Rig) -> None:
    """A user of whom no event came in the batch is told at once, though it is not applied."""
    after = rig.post(purchase("t1"))["after"]
    other = next(
        name
        for name in (f"u{number}" for number in range(100))
        if rig.client.get(f"/v1/users/{name}/status").json()["as_of"]["partition"]
        != rig.client.get(ANN).json()["as_of"]["partition"]
    )
    started = time.monotonic()
    answer = rig.client.get(f"/v1/users/{other}/status", params={"after": after, "wait_ms": WAIT_MS_MAX})
    assert answer.status_code == 200
    assert time.monotonic() - started < WAIT_MS_MAX / 1_000


def test_positions_of_another_log(rig: Rig) -> None:
    """Positions mean nothing in another log, so their token is refused once the store is bound to one."""
    rig.post(purchase("t1"))
    rig.work()
    other = token_of(LogIdentity("another", 4), {0: 1}) or ""
    problem = rig.problem("GET", ANN, params={"after": other})
    assert (problem["code"], "of another log" in problem["detail"]) == ("bad_after", True)


def test_pending(rig: Rig) -> None:
    """A status tells whether later events of its partition wait, from the moment they were accepted."""

    def pending() -> object:
        return rig.client.get(ANN).json()["as_of"]["pending"]

    assert pending() is False
    rig.post(purchase("t1"))
    assert pending() is True
    rig.work()
    assert pending() is False
