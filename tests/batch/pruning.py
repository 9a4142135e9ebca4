"""Events of several months, a catalog that keeps one, and what a prune must leave of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from batch.scenes import Scene
from batch.test_verify import TRAFFIC, events_of, verified
from campaign_pairs import LADDER, REFUNDS_IN_TOKYO, VERSIONS, Pair
from harness import decode_catalog, period_text, stored_figures
from oracle import FigureKey, Oracle
from rung.batch.proof.report import Reports
from rung.batch.retention.prune import Pruned, prune
from rung.batch.retention.settle_pruned import SettledEvents, settle_pruned
from rung.transaction.reasons import Reason


def keeping_one_month(pair: Pair) -> Pair:
    return Pair(pair.spec.replace("currency: GBP", "currency: GBP\nkeep: 1 month"), pair.oracle)


PAIRS = tuple(map(keeping_one_month, (LADDER, REFUNDS_IN_TOKYO, VERSIONS)))
SMALL = replace(TRAFFIC, users=150, transactions=1_500)
"""From May into June; what is 100 days later in `LATER` follows it."""
LATER = replace(SMALL, seed=13, starts_at=1_312_156_800_000_000, transactions=600)


def quiet(_: object) -> None:
    """Take progress and say nothing."""


def pruned(scene: Scene) -> Pruned:
    Reports(scene.workshop.folder).write(verified(scene))
    return prune(scene.workshop, "tester", "a test", quiet)


def settled(scene: Scene) -> SettledEvents:
    return settle_pruned(scene.workshop, quiet)


def kept(scene: Scene, oracle: Oracle) -> dict[FigureKey, int]:
    """Return the oracle's figures of the periods that are counted still."""
    catalog = decode_catalog(scene.store.catalog()[1])
    firsts = {
        (counted.campaign.name, counted.version.number): period_text(
            counted.campaign.calendar.kind, counted.periods[0]
        )
        for counted in catalog.versions
    }
    return {key: value for key, value in oracle.figures().items() if key[4] >= firsts[key[0], key[1]]}


def is_exact(scene: Scene, events: Sequence[bytes]) -> bool:
    oracle = Oracle([pair.oracle for pair in PAIRS]).apply_all(events)
    return stored_figures(scene.store) == kept(scene, oracle)


def late_events(events: Sequence[bytes], count: int) -> list[bytes]:
    """Return events about transactions that are long over: again, prefixes, refunds, and contradictions."""
    last: dict[str, dict[str, object]] = {}
    for payload in events:
        try:
            event = json.loads(payload)
            if len(event["history"]) >= len(last.get(event["transaction_id"], {"history": []})["history"]):  # type: ignore[arg-type]
                last[event["transaction_id"]] = event
        except (ValueError, KeyError, TypeError):
            continue
    late: list[bytes] = []
    for number, (name, event) in enumerate(sorted(last.items())[: count * 5]):
        history: list[dict[str, object]] = list(event["history"])  # type: ignore[call-overload]
        done = [step for step in history if step["status"] == "COMPLETED"]
        refundable = bool(done) and all(
            step["status"] not in {"REFUNDED", "CANCELED", "FAILED", "EXPIRED"} for step in history
        )
        # Some are of a time that is kept, and some of one that is not.
        day = datetime(2011, 8, 20, tzinfo=UTC) if number % 3 else datetime(2011, 7, 10, tzinfo=UTC)
        at = (day + timedelta(minutes=number)).isoformat()
        match number % 5:
            case 0:
                late.append(json.dumps(event).encode())
            case 1:
                late.append(json.dumps({**event, "history": history[:1]}).encode())
            case 2 if refundable:
                refund = {"status": "REFUNDED", "at": at, "amount": int(str(done[0]["amount"])) // 2}
                late.append(json.dumps({**event, "history": [*history, refund]}).encode())
            case 3 if refundable:
                first = {"status": "REFUNDED", "at": at, "amount": int(str(done[0]["amount"])) // 3}
                second = {**first, "amount": int(str(done[0]["amount"])) // 4}
                late.append(json.dumps({**event, "history": [*history, first]}).encode())
                late.append(json.dumps({**event, "history": [*history, first, second]}).encode())
            case 4:
                changed = {**history[0], "amount": int(str(history[0]["amount"])) + 1}
                late.append(json.dumps({**event, "history": [changed, *history[1:]]}).encode())
                late.append(json.dumps({**event, "transaction_id": f"{name}-unheard-of"}).encode())
            case _:
                pass
    return late


def reasons(scene: Scene) -> dict[str, int]:
    found: dict[str, int] = {}
    for event in scene.store.quarantine(None, 100_000):
        found[event.reason] = found.get(event.reason, 0) + 1
    return found


PRUNED = Reason.PRUNED.value

__all__ = ["LATER", "PAIRS", "PRUNED", "SMALL", "events_of", "verified"]
