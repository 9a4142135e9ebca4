"""Synthetic traffic: repeatable to the byte, and what it claims to contain."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import pytest

from oracle import Oracle, OracleCampaign, OracleVersion
from rung.traffic import IdKind, TrafficCounts, TrafficSettings, generate

PLAIN = TrafficSettings(
    seed=7, transactions=2_000, users=50, starts_at=1_627_776_000_000_000, transactions_per_second=0.5
)
SERVICES = {"service": ("mall", "flea", "travel"), "lines": (1, 2)}
ROUGH = replace(
    PLAIN,
    refund_share=0.1,
    failure_share=0.05,
    cancel_share=0.05,
    duplicate_share=0.2,
    reorder_seconds=60,
    gap_share=0.2,
    conflict_share=0.05,
    poison_share=0.02,
    user_attribute_share=0.1,
    attributes=SERVICES,
    user_attributes={"premium": (True, False)},
)
CAMPAIGN = OracleCampaign(
    "any",
    "Asia/Tokyo",
    "month",
    [OracleVersion(0, None, {"payments": ("count", lambda _: True)})],
    {"service": "string", "lines": "integer"},
    {"premium": "boolean"},
)


def events(settings: TrafficSettings) -> list[bytes]:
    return list(chain.from_iterable(generate(settings)))


def decoded(settings: TrafficSettings) -> list[dict[str, Any]]:
    return [json.loads(event) for event in events(settings)]


def test_the_same_seed_gives_the_same_bytes() -> None:
    """The bytes depend on the settings alone: this is what they were when the format was fixed."""
    digest = hashlib.sha256(b"\n".join(events(ROUGH))).hexdigest()
    assert digest == "b6de85e0f5da2601e8a4bc712c2adbb0cf6401a756e717cce852314d2eb28c35"


def test_another_seed_gives_other_bytes() -> None:
    """The seed matters."""
    assert events(PLAIN) != events(replace(PLAIN, seed=8))


@pytest.mark.parametrize("chunk_events", [1, 999, 10**6])
def test_the_size_of_the_chunks_changes_no_event(chunk_events: int) -> None:
    """Chunks cut the same stream, each but the last of the size asked for."""
    chunks = list(generate(replace(ROUGH, chunk_events=chunk_events)))
    assert list(chain.from_iterable(chunks)) == events(ROUGH)
    assert all(len(chunk) == chunk_events for chunk in chunks[:-1])


def test_more_transactions_than_one_block_are_all_there() -> None:
    """A block's end loses, repeats and disorders nothing."""
    settings = replace(PLAIN, transactions=70_000, transactions_per_second=1_000, chunk_events=10_000)
    steps: dict[str, list[int]] = {}
    sent_at: list[str] = []
    for event in decoded(settings):
        steps.setdefault(event["transaction_id"], []).append(len(event["history"]))
        sent_at.append(event["history"][-1]["at"])
    assert len(steps) == 70_000
    assert all(lengths == [1, 2] for lengths in steps.values())
    assert sent_at == sorted(sent_at)


def test_plain_traffic_is_created_and_completed() -> None:
    """Without shares every transaction is CREATED and COMPLETED, in two events, in the order of time."""
    found = decoded(PLAIN)
    assert len(found) == 4_000
    assert Counter(tuple(step["status"] for step in event["history"]) for event in found) == {
        ("CREATED",): 2_000,
        ("CREATED", "COMPLETED"): 2_000,
    }
    assert all(100 <= step["amount"] <= 50_000 for event in found for step in event["history"])


def test_created_may_come_with_the_completion() -> None:
    """Without `created_events` a transaction starts with its second step."""
    found = decoded(replace(PLAIN, created_events=False))
    assert Counter(len(event["history"]) for event in found) == {2: 2_000}


def test_counts_tell_what_an_oracle_finds() -> None:
    """In the order of arrival, the oracle quarantines exactly the conflicts and the poison."""
    counts = TrafficCounts()
    payloads = list(chain.from_iterable(generate(ROUGH, counts)))
    oracle = Oracle([CAMPAIGN]).apply_all(payloads)
    reasons = Counter(reason for _, reason in oracle.quarantined)
    conflicts = {
        name: reasons.pop(name) for name in ("history_conflict", "user_changed", "attributes_changed")
    }
    assert min(conflicts.values()) > 0
    assert sum(conflicts.values()) == counts.conflicts
    assert reasons.total() == counts.poison
    assert len(reasons) >= 8
    assert len(payloads) == counts.events
    assert len(oracle.transactions) == counts.transactions == 2_000
    histories = [transaction.history for transaction in oracle.transactions.values()]
    assert sum(status == "REFUNDED" for history in histories for status, _, _ in history) == counts.refunds


def test_each_kind_of_trouble_reaches_its_floor() -> None:
    """No share is a promise without events: each is near what was asked for."""
    counts = TrafficCounts()
    payloads = list(chain.from_iterable(generate(ROUGH, counts)))
    assert counts.refunds > 0.09 * 2_000
    assert counts.duplicates > 0.15 * 4_000 * 0.8
    assert counts.lost > 0.15 * 2_000
    assert counts.reordered > 100
    assert counts.conflicts > 0.03 * 2_000
    assert counts.poison > 0.01 * 2_000
    assert counts.user_attributes > 0.07 * 2_000
    assert sum(b'"user_attributes"' in payload for payload in payloads) == counts.user_attributes
    statuses = Counter(
        status for status in b"FAILED EXPIRED CANCELED".split() for p in payloads if status in p
    )
    assert min(statuses.values()) > 20


def test_the_last_event_of_a_transaction_is_never_lost() -> None:
    """Gaps, duplicates and disorder leave the same final histories."""
    smooth = Oracle([CAMPAIGN]).apply_all(
        events(replace(ROUGH, gap_share=0, duplicate_share=0, reorder_seconds=0))
    )
    assert Oracle([CAMPAIGN]).apply_all(events(ROUGH)).transactions == smooth.transactions


def test_refunds_are_partial_and_full_and_in_later_months() -> None:
    """The refunds vary: in part, in full at once, in full by two, and months after the purchase."""
    last = {event["transaction_id"]: event["history"] for event in decoded(replace(PLAIN, refund_share=0.5))}
    refunded = [history for history in last.values() if len(history) > 2]
    left = [history[1]["amount"] - sum(step["amount"] for step in history[2:]) for history in refunded]
    assert sum(amount == 0 for amount in left) > 300
    assert sum(amount > 0 for amount in left) > 100
    assert sum(len(history) == 4 for history in refunded) > 100
    assert sum(history[-1]["at"][:7] > history[1]["at"][:7] for history in refunded) > 100


def test_zipf_users_are_uneven_and_uniform_users_are_not() -> None:
    """With an exponent of 1 the first of 50 users has about 22 % of the purchases, else about 2 %."""

    def share(settings: TrafficSettings) -> float:
        users = Counter(event["user_id"] for event in decoded(settings))
        return users["u00000000"] / users.total()

    assert 0.18 < share(replace(PLAIN, zipf_exponent=1.0)) < 0.27
    assert 0.01 < share(PLAIN) < 0.035


@pytest.mark.parametrize(
    ("kind", "form", "ordered"),
    [
        (IdKind.ULID, r"[0-7][0-9A-HJKMNP-TV-Z]{25}", True),
        (IdKind.UUID7, r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", True),
        (IdKind.RANDOM, r"[0-9A-HJKMNP-TV-Z]{26}", False),
    ],
)
def test_ids_have_their_form_and_order(kind: IdKind, form: str, ordered: bool) -> None:
    """ULIDs and UUIDs of version 7 sort by time, random ids do not; none comes twice."""
    found = decoded(replace(PLAIN, id_kind=kind))
    ids = [event["transaction_id"] for event in found if len(event["history"]) == 1]
    assert all(re.fullmatch(form, text) for text in ids)
    assert len(set(ids)) == len(ids)
    rising = sum(left < right for left, right in pairwise(ids))
    assert (rising == len(ids) - 1) == ordered


def test_a_ulid_carries_the_time_of_creation() -> None:
    """The first ten characters are the milliseconds of the first step."""
    first = min(decoded(PLAIN), key=lambda event: event["transaction_id"])
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    milliseconds = 0
    for character in first["transaction_id"][:10]:
        milliseconds = milliseconds * 32 + alphabet.index(character)
    assert milliseconds == PLAIN.starts_at // 1_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transactions": 0}, "transactions must be at least 1"),
        ({"users": 0}, "users must be at least 1"),
        ({"chunk_events": 0}, "chunk_events must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"refund_share": 1.5}, "refund_share is a fraction"),
        ({"refund_share": 0.6, "cancel_share": 0.6}, "must not exceed 1 together"),
        ({"amount_min": 9, "amount_max": 8}, "amount_min <= amount_max"),
        ({"transactions_per_second": 0.0}, "transactions_per_second must be above 0"),
        ({"transactions_per_second": 1e-9}, "runs past 2099"),
        ({"refund_seconds_max": 0}, "refund_seconds_max must be at least 1"),
        ({"attributes": {"service": ()}}, "attributes: service has no values"),
        ({"attributes": {n: range(64) for n in "abc"}}, "262144 combinations"),
        ({"user_attribute_share": 0.1}, "user_attribute_share needs user_attributes"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    """The error names the setting and its range."""
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)
