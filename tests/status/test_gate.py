"""The gate: names, credentials, and limits, each just below, at and just above what is allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from callers import ALGORITHMS, AUDIENCE, AUTHORIZED, ISSUER, KEY, KEYS, key_set, public_jwk, token
from rung.access.permissions import Permission
from rung.access.subjects import NOBODY, Caller, service_caller, user_caller
from rung.access.tokens import KeySetUnusable, TokenRules
from rung.status.gate import CREDENTIAL_BYTES_MAX, URL_BYTES_MAX, Gate, GateLimits
from rung.status.hosts import Hosts, is_loopback_host
from rung.status.key_sets import MAX_AGE_SECONDS, KeySets
from rung.status.problem import Problem
from rung.status.user_tokens import UserTokens
from status.api_rig import ANN, Clock, Rig, running

RULES = TokenRules(ISSUER, AUDIENCE, frozenset(ALGORITHMS))


class Monotonic:
    """A clock in seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """An issuer whose key set a test changes; it counts how often it is read."""

    def __init__(self) -> None:
        self.content: bytes | None = key_set()
        self.reads = 0

    def read(self) -> bytes:
        self.reads += 1
        if self.content is None:
            raise KeySetUnusable("it is away")
        return self.content


def wall() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1_000


def key_sets_of(issuer: Issuer, monotonic: Monotonic) -> KeySets:
    """Return an issuer's key sets."""
    return KeySets(issuer.read, RULES.algorithms, 30.0, monotonic)


def tokens_of(issuer: Issuer, monotonic: Monotonic) -> UserTokens:
    """Return what verifies an issuer's tokens."""
    return UserTokens(RULES, key_sets_of(issuer, monotonic))


def refused(work: Callable[[], object]) -> Problem:
    """Return the problem that something raises."""
    with pytest.raises(Problem) as caught:
        work()
    return caught.value


def run(work: Coroutine[Any, Any, Caller]) -> Caller:
    """Run in an event loop of its own."""
    return asyncio.run(work)


# --- names and room -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ANN, "/v1/campaigns", "/v1/events", "/healthz", "/metrics", "/", "/none"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "testserver"])
def test_another_host(rig: Rig, path: str, host: str) -> None:
    """A request that names another host is refused on every path: DNS rebinding gets nothing."""
    problem = rig.problem("GET", path, headers={"host": host})
    assert (problem["status"], problem["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True), ("LOCALHOST:8080", True), ("127.0.0.1:80", True), ("127.1.2.3", True),
        ("[::1]", True), ("[::1]:8080", True), ("", False), ("::1", False), ("[::1", False),
        ("localhost:x", False), ("localhost.", False), ("0.0.0.0", False), ("10.0.0.1", False),
        ("[::1]x", False), ("localhost@evil", False), ("\xff", False),
    ],
)  # fmt: skip
def test_hosts(host: str, is_loopback: bool) -> None:
    """Without other names only loopback names and addresses are taken, with any port."""
    assert is_loopback_host(host) is is_loopback
    assert Hosts().has(host) is is_loopback


@pytest.mark.parametrize(
    ("host", "is_taken"),
    [
        ("status.example.com", True), ("STATUS.example.com:443", True), ("10.0.0.1:80", True),
        ("[2001:db8::1]:443", True), ("localhost", True), ("example.com", False),
        ("a.status.example.com", False), ("status.example.com.evil", False), ("status.example.com:x", False),
    ],
)  # fmt: skip
def test_names_that_are_allowed(host: str, is_taken: bool) -> None:
    """The names that are set are taken to the letter, with any port, besides those of loopback."""
    assert Hosts(["Status.Example.com", "10.0.0.1", "[2001:db8::1]"]).has(host) is is_taken


@pytest.mark.parametrize(
    ("length", "status"), [(URL_BYTES_MAX - 1, 400), (URL_BYTES_MAX, 400), (URL_BYTES_MAX + 1, 414)]
)
@pytest.mark.parametrize("path", [ANN, "/v1/campaigns", "/v1/me/status"])
def test_long_urls(rig: Rig, path: str, length: int, status: int) -> None:
    """Path and query have 2,048 bytes at most."""
    answer = rig.client.get(f"{path}?{'x' * (length - len(path))}")
    assert answer.status_code == (403 if path.startswith("/v1/me") and status == 400 else status)


def test_room() -> None:
    """So many requests are under way at once as are allowed, and another one once one has left."""
    gate = Gate(lambda: KEYS, None, wall, GateLimits(concurrent_requests_max=2))
    gate.enter("localhost", 1)
    gate.enter("", 1)
    problem = refused(lambda: gate.enter("localhost", 1))
    assert (problem.code, problem.status, problem.headers["retry-after"]) == ("overloaded", 503, "2")
    gate.leave()
    gate.enter("localhost", 1)


def test_a_request_that_is_refused_leaves(tmp_path: Path) -> None:
    """Whatever a request is answered, its room is free afterwards."""
    limits = GateLimits(concurrent_requests_max=1)
    with running(tmp_path, gate_of=lambda clock: Gate(lambda: KEYS, None, clock, limits)) as rig:
        for path, headers in (
            (ANN, {}), (ANN, {"host": "evil"}), (ANN, {"authorization": "x"}), (f"{ANN}?x", {}), ("/none", {}),
            ("/v1/campaigns", {"authorization": "x"}), (f"/v1/campaigns?{'x' * 3_000}", {}), ("/", {}),
        ):  # fmt: skip
            assert rig.client.get(path, headers=headers).status_code in {200, 400, 401, 404, 414, 421}
        rig.store.error = RuntimeError("secret")
        assert rig.client.get(ANN).status_code == 500
        rig.store.error = None
        assert rig.client.get(ANN).status_code == 200


# --- credentials --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        "", "Bearer", "Bearer ", f"Bearer  {KEY}", KEY, f"Basic {KEY}", f"Bearer {KEY} {KEY}",
        f"Bearer {KEY[:-1]}", f"Token {KEY}", f"Bearer {KEY},{KEY}", "Bearer " + "x" * (CREDENTIAL_BYTES_MAX + 1),
        "Bearer \xff\xfe", f"Bearer {KEY}\t",
    ],
)  # fmt: skip
def test_wrong_headers(authorization: str) -> None:
    """What is no credential of the one form is refused like a wrong one."""
    gate = Gate(lambda: KEYS, None, wall)
    assert gate.known(authorization) is None
    problem = refused(lambda: run(gate.identify(authorization, "10.0.0.1")))
    assert (problem.code, problem.status) == ("bad_credentials", 401)
    assert KEY[10:] not in str(problem)


def test_the_scheme_in_any_case(rig: Rig) -> None:
    """`bearer` is a word in any case, as RFC 9110 has it."""
    for scheme in ("bearer", "BEARER", "BeArEr"):
        assert rig.client.get(ANN, headers={"authorization": f"{scheme} {KEY}"}).status_code == 200


def test_a_token_is_verified_once_and_then_known() -> None:
    """A token that was verified is known until it ends, with the leeway; then it is told to be expired."""
    clock, monotonic, issuer = Clock(), Monotonic(), Issuer()
    exp = clock.now // 1_000_000 + 60
    header = f"Bearer {token('ann', exp=exp, iat=None)}"

    async def scenario() -> None:
        gate = Gate(lambda: KEYS, tokens_of(issuer, monotonic), clock)
        assert gate.known(header) is None
        caller = await gate.identify(header, "10.0.0.1")
        assert caller.user_id == b"ann"
        assert gate.known(header) == caller
        clock.now = (exp + 30) * 1_000_000 - 1
        assert gate.known(header) == caller
        assert gate.ended_by(caller, header) is None
        clock.now += 1
        assert gate.ended_by(caller, header) == "expired"
        assert refused(lambda: gate.known(header)).code == "token_expired"

    asyncio.run(scenario())
    assert issuer.reads == 1


def test_a_new_key_of_the_issuer() -> None:
    """A key that is not known has the key set read again, at most every so many seconds."""
    monotonic, issuer = Monotonic(), Issuer()
    new, unknown = (f"Bearer {token('ann', which=which)}" for which in ("new", "unknown"))

    async def scenario() -> None:
        gate = Gate(lambda: KEYS, tokens_of(issuer, monotonic), wall)
        assert (await gate.identify(f"Bearer {token()}", "a")).user_id == b"ann"
        issuer.content = key_set(public_jwk("ES256"), public_jwk("ES256", "new"))
        for number in range(5):
            with pytest.raises(Problem):
                await gate.identify(new, f"client-{number}")
        assert issuer.reads == 1
        monotonic.now += 30
        assert (await gate.identify(new, "b")).user_id == b"ann"
        assert issuer.reads == 2
        for number in range(5):
            with pytest.raises(Problem):
                await gate.identify(unknown, f"client-{number}")
        assert issuer.reads == 2

    asyncio.run(scenario())


def test_a_key_that_was_withdrawn() -> None:
    """A key set grows old; a token by a key that was withdrawn is forgotten with it."""
    monotonic, issuer = Monotonic(), Issuer()
    header = f"Bearer {token()}"

    async def scenario() -> None:
        key_sets = key_sets_of(issuer, monotonic)
        gate = Gate(lambda: KEYS, UserTokens(RULES, key_sets), wall)
        await gate.identify(header, "a")
        issuer.content = key_set(public_jwk("ES256", "new"))
        monotonic.now += MAX_AGE_SECONDS - 1
        assert gate.known(header) is not None
        monotonic.now += 1
        assert gate.known(header) is not None
        await key_sets.renew()
        assert gate.known(header) is None
        with pytest.raises(Problem):
            await gate.identify(header, "a")
        assert issuer.reads == 2

    asyncio.run(scenario())


def test_an_issuer_that_is_away() -> None:
    """Without any key set so far tokens are asked to come again; with one, its keys go on being taken."""
    monotonic, issuer = Monotonic(), Issuer()
    issuer.content = None
    header = f"Bearer {token()}"

    async def scenario() -> None:
        key_sets = key_sets_of(issuer, monotonic)
        gate = Gate(lambda: KEYS, UserTokens(RULES, key_sets), wall)
        for _ in range(3):
            with pytest.raises(Problem) as caught:
                await gate.identify(header, "a")
            assert (caught.value.code, caught.value.headers["retry-after"]) == ("keys_unavailable", "2")
        assert issuer.reads == 1
        assert gate.known(AUTHORIZED["authorization"]) is not None
        issuer.content = key_set()
        monotonic.now += 30
        assert (await gate.identify(header, "a")).user_id == b"ann"
        issuer.content = None
        monotonic.now += MAX_AGE_SECONDS
        assert gate.known(header) is not None
        await key_sets.renew()
        assert issuer.reads == 3
        assert gate.known(header) is not None

    asyncio.run(scenario())


# --- how often ----------------------------------------------------------------------------------------------

USER = user_caller(b"ann", 1 << 60)
SERVICE = service_caller("1", frozenset(), 1 << 60)


@pytest.mark.parametrize(("caller", "burst"), [(USER, 3), (SERVICE, 100)])
def test_callers_are_limited(caller: Caller, burst: int) -> None:
    """A caller may ask as often as the burst at once, and then as fast as is allowed; others may, too."""
    monotonic = Monotonic()
    limits = GateLimits(
        user_requests_per_second=2.0, user_burst=3, key_requests_per_second=2.0, key_burst=100
    )
    gate = Gate(lambda: KEYS, None, wall, limits, monotonic=monotonic)
    for _ in range(burst):
        gate.admit(caller, Permission.SIGNED_IN)
    problem = refused(lambda: gate.admit(caller, Permission.SIGNED_IN))
    assert (problem.status, problem.code, problem.headers["retry-after"]) == (429, "too_many_requests", "1")
    gate.admit(user_caller(b"bob", 1), Permission.SIGNED_IN)
    monotonic.now += 0.5
    gate.admit(caller, Permission.SIGNED_IN)
    assert refused(lambda: gate.admit(caller, Permission.SIGNED_IN)).code == "too_many_requests"


def test_several_at_once_count_as_many() -> None:
    """What asks for many users counts as so many requests."""
    gate = Gate(lambda: KEYS, None, wall, GateLimits(key_burst=100), monotonic=Monotonic())
    gate.count(SERVICE, 99)
    assert refused(lambda: gate.count(SERVICE, 2)).code == "too_many_requests"
    gate.count(SERVICE, 1)


def test_nobody_is_not_counted() -> None:
    """Open routes have no limit for each caller: nobody knows who that is."""
    gate = Gate(lambda: KEYS, None, wall, GateLimits(user_burst=1), monotonic=Monotonic())
    for _ in range(100):
        gate.admit(NOBODY, Permission.OPEN)


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        ("10.0.0.1", "10.0.0.1", True), ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True), ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False), (" 10.0.0.1", "10.0.0.1", True),
        ("x" * 100, "x" * 64, True), ("", "", True),
    ],
)  # fmt: skip
def test_failures_are_limited(first: str, second: str, is_shared: bool) -> None:
    """After so many wrong credentials a client's unknown ones are not looked at; a known key always is."""
    monotonic = Monotonic()
    gate = Gate(lambda: KEYS, None, wall, GateLimits(failures_per_minute=3), monotonic=monotonic)
    codes = [refused(lambda: run(gate.identify("Bearer x", first))).code for _ in range(4)]
    assert codes == ["bad_credentials"] * 3 + ["too_many_failures"]
    assert gate.known(AUTHORIZED["authorization"]) is not None
    problem = refused(lambda: run(gate.identify("Bearer x", second)))
    assert problem.code == ("too_many_failures" if is_shared else "bad_credentials")
    if is_shared:
        assert (problem.status, problem.headers["retry-after"]) == (429, "20")
    monotonic.now += 20
    assert refused(lambda: run(gate.identify("Bearer x", first))).code == "bad_credentials"


def test_a_missing_header_is_no_failure(rig: Rig) -> None:
    """Who sends nothing guesses nothing."""
    del rig.client.headers["authorization"]
    for _ in range(100):
        assert rig.problem("GET", ANN)["code"] == "missing_credentials"


def test_the_client_that_a_proxy_tells(tmp_path: Path) -> None:
    """With a proxy before the server, failures count for the client that it names last; else for the peer."""
    limits = GateLimits(failures_per_minute=1)

    def gate_of(clock: Clock) -> Gate:
        return Gate(lambda: KEYS, None, clock, limits, client_header="x-forwarded-for")

    def code(rig: Rig, client: str) -> str:
        headers = {"authorization": "Bearer x", "x-forwarded-for": client}
        return rig.problem("GET", ANN, headers=headers)["code"]

    with running(tmp_path, gate_of=gate_of) as rig:
        assert code(rig, "10.0.0.1") == "bad_credentials"
        assert code(rig, "10.0.0.9, 10.0.0.1") == "too_many_failures"
        assert code(rig, "10.0.0.1, 10.0.0.2") == "bad_credentials"
    with running(tmp_path / "two", gate_of=lambda clock: Gate(lambda: KEYS, None, clock, limits)) as rig:
        assert code(rig, "10.0.0.1") == "bad_credentials"
        assert code(rig, "10.0.0.2") == "too_many_failures"


# --- web sites ----------------------------------------------------------------------------------------------

SHOP = "https://shop.example"


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Rig]:
    """Return an API that a shop's pages may ask."""
    with running(tmp_path, allowed_origins=(f"{SHOP}/",)) as made:
        yield made


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    """Return an API that a key may use."""
    with running(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "origin", "is_allowed"),
    [
        ("/v1/me/status", SHOP, True), ("/v1/campaigns", SHOP, True), ("/v1/me/explain", SHOP, True),
        ("/v1/me/status", "https://evil.example", False), ("/v1/me/status", "null", False),
        ("/v1/campaigns", "https://shop.example.evil", False), (ANN, SHOP, False), ("/metrics", SHOP, False),
        ("/healthz", SHOP, False),
    ],
)  # fmt: skip
def test_pages_of_other_sites(shop: Rig, path: str, origin: str, is_allowed: bool) -> None:
    """A page of a site that is set may ask for its user's own, with a token; nothing else is opened."""
    asks = {"origin": origin, "access-control-request-method": "GET"}
    del shop.client.headers["authorization"]
    first = shop.client.options(path, headers=asks)
    assert first.status_code == (204 if is_allowed else 405)
    answers = [shop.client.get(path, headers={"origin": origin})]
    answers += [first] if is_allowed else []
    for answer in answers:
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (origin if is_allowed else None)
        assert "access-control-allow-credentials" not in answer.headers
    if is_allowed:
        assert "authorization" in first.headers["access-control-allow-headers"]
        assert "Origin" in answers[0].headers["vary"]


def test_no_site_is_allowed_by_default(rig: Rig) -> None:
    """Without a setting no page elsewhere may ask."""
    asks = {"origin": SHOP, "access-control-request-method": "GET"}
    assert rig.client.options("/v1/me/status", headers=asks).status_code == 405
    assert "access-control-allow-origin" not in rig.client.get("/v1/campaigns", headers=asks).headers
