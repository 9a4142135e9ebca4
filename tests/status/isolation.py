"""No foreign byte: many users, tokens and keys at once, over few connections, and each sees its own only.

Every user pays an amount of their own, so that a figure of anybody else's shows. Requests of all routes are
mixed, several are under way on each connection's turn, and right tokens stand beside wrong ones. From the
command line: `python -m status.isolation --requests 1000000`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from callers import AUDIENCE, ISSUER, KEY, key_set, put_key, token
from cli.command import SPEC, purchase
from end_to_end.test_kill import serving
from rung.cli.main import run

USERS, CONNECTIONS = 1_000, 32
MONTH = "2021-08"
AMOUNT_FROM = 7_000_001
SETTINGS = f"""\
[api]
user_requests_per_second = 1e6
user_burst = 1_000_000
key_requests_per_second = 1e6
key_burst = 1_000_000
failures_per_minute = 1e6
[api.tokens]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "jwks.json"
"""


def name_of(number: int) -> str:
    """Return a user's id, which is no part of another's."""
    return f"<user-{number:05}>"


def amount_of(number: int) -> int:
    """Return what a user has paid: an amount that nobody else's figures hold."""
    return AMOUNT_FROM + number


@dataclass
class Seen:
    """What was answered: how often with which status, and each answer with something foreign in it."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    foreign: list[str] = field(default_factory=list[str])

    @property
    def requests(self) -> int:
        """How many were answered."""
        return sum(self.statuses.values())


@dataclass(frozen=True)
class Ask:
    """One request, the status that is due, and the users of whom the answer may tell."""

    text: bytes
    status: int
    users: Sequence[int]


def ask(seed: random.Random, tokens: Sequence[str]) -> Ask:
    """Return a random request."""
    number, other = seed.randrange(len(tokens)), seed.randrange(len(tokens))
    user, own = name_of(number), f"Bearer {tokens[number]}"
    escaped = user.replace("<", "%3C").replace(">", "%3E")
    kind = seed.randrange(10)
    if kind < 4:
        return get(f"/v1/me/status?at={MONTH}-04", own, 200, number)
    if kind == 4:
        return get(f"/v1/me/campaigns/small?at={MONTH}-04", own, 200, number)
    if kind == 5:
        return get(f"/v1/users/{escaped}/status?at={MONTH}-04", f"Bearer {KEY}", 200, number)
    if kind == 6:
        # A user's own token opens no route that names a user: not another's, and not one's own.
        return get(f"/v1/users/{escaped}/status", f"Bearer {tokens[other]}", 403)
    if kind == 7:
        head, _, signature = tokens[number].split(".")
        forged = f"{head}.{tokens[other].split('.')[1]}.{signature}"
        return get(
            f"/v1/me/status?at={MONTH}-04", f"Bearer {forged}", 200 if other == number else 401, number
        )
    if kind == 8:
        numbers = [number, other, seed.randrange(len(tokens))]
        body = json.dumps({"user_ids": [name_of(one) for one in numbers], "at": f"{MONTH}-04"}).encode()
        head = f"POST /v1/users/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return Ask(head.encode() + body, 200, numbers)
    return get(f"/v1/me/status?at={MONTH}-04&user_id={escaped}", own, 400)


def get(path: str, authorization: str, status: int, *users: int) -> Ask:
    """Return a GET request."""
    text = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n\r\n"
    return Ask(text.encode(), status, users if status == 200 else ())


def look(asked: Ask, status: int, body: str, seen: Seen) -> None:
    """Note an answer, and what in it is of somebody who was not asked for."""
    seen.statuses[status] += 1
    told = [part.split('"', 1)[0] for part in body.split('"user_id":"')[1:]]
    sums = [int(part.partition("}")[0].partition(",")[0]) for part in body.split('"total":')[1:]]
    due = [amount_of(number) for number in asked.users]
    # What is not of this month is nothing.
    paid = [amount for amount in sums if amount]
    is_right = status == asked.status and told == [name_of(number) for number in asked.users] and paid == due
    if not is_right:
        seen.foreign.append(f"{asked.text[:200]!r}: {status} {body[:500]}")


async def talk(port: int, requests: int, seed: random.Random, tokens: Sequence[str], seen: Seen) -> None:
    """Ask over one connection, one request after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(requests):
        asked = ask(seed, tokens)
        writer.write(asked.text)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        look(asked, int(head.split(" ", 2)[1]), (await reader.readexactly(length)).decode(), seen)
    writer.close()


def prepare(home: Path, spec: Path, users: int) -> list[str]:
    """Make a home in which every user has paid once, and return a token of each."""
    spec.write_text(SPEC, encoding="utf-8")
    assert run(["--home", str(home), "init"]) == 0
    (home / "rung.toml").write_text(SETTINGS, encoding="utf-8")
    (home / "jwks.json").write_bytes(key_set())
    put_key(home)
    assert run(["--home", str(home), "campaign", "apply", str(spec)]) == 0
    events = spec.with_name("events.ndjson")
    lines = [
        purchase(f"t{number:05}", user=name_of(number), amount=amount_of(number), at=f"{MONTH}-03T10:00:00Z")
        for number in range(users)
    ]
    events.write_text("\n".join(lines), encoding="utf-8")
    assert run(["--home", str(home), "ingest", "--wait", str(events)]) == 0
    return [token(name_of(number), "EdDSA", exp=int(time.time()) + 86_400) for number in range(users)]


def mixed_requests(folder: Path, requests: int, users: int = USERS, seed: int = 1) -> Seen:
    """Ask a server, and return what was seen."""
    tokens = prepare(folder / "home", folder / "small.yaml", users)
    seen = Seen()
    each = -(-requests // CONNECTIONS)

    async def everybody(port: int) -> None:
        talks = (
            talk(port, each, random.Random(f"{seed} {number}"), tokens, seen) for number in range(CONNECTIONS)
        )
        await asyncio.gather(*talks)

    with serving(folder / "home") as (_process, port):
        asyncio.run(everybody(port))
    return seen


def main() -> None:
    """Ask as often as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rung-isolation-") as folder:
        started = time.monotonic()
        seen = mixed_requests(Path(folder), chosen.requests, chosen.users, chosen.seed)
    for line in seen.foreign[:10]:
        print(line)
    print(
        f"{seen.requests:,} requests of {chosen.users:,} users in {time.monotonic() - started:.0f} s: "
        f"{len(seen.foreign)} with a foreign byte; answered {dict(sorted(seen.statuses.items()))}"
    )
    raise SystemExit(1 if seen.foreign else 0)


if __name__ == "__main__":
    main()
