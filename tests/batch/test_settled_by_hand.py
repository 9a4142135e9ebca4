"""Closed results, adjustments and grants equal what is computed by hand, whatever comes before and after."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from batch.by_hand import HandReward, cash_back, period_after, standings
from batch.settling import Scene, rows
from campaign_pairs import Pair
from oracle import Oracle, OracleCampaign, OracleStep, OracleVersion
from strategies import (
    ATTRIBUTES,
    USER_ATTRIBUTES,
    TransactionData,
    in_order,
    transaction_lists,
    user_attribute_events,
)


@dataclass(frozen=True)
class Case:
    """A campaign, the counting period that is closed, and its reward by hand."""

    kind: str
    zone: str
    effective: str
    counting: str
    post_to: str
    reward: HandReward

    def pair(self) -> Pair:
        cap = {"per_transaction": self.reward.per_transaction, "per_period": self.reward.per_period}
        limits = ", ".join(f"{name}: {limit}" for name, limit in cap.items() if limit is not None)
        spec = f"""
campaign: hand
timezone: {self.zone}
currency: GBP
period: {self.kind}
effective: {self.effective}
attributes: {{country: string, lines: integer, gift: boolean}}
user_attributes: {{premium: boolean, points: integer}}
versions:
  - version: 3
    counts_from: {self.counting}
    measures:
      payments: {{count: "amount >= 100"}}
      total: {{sum: amount}}
      countries: {{distinct: country}}
    refunds: {{post_to: {self.post_to}}}
    reward:
      base_percent: "0.5"
      rounding: {self.reward.rounding}
      {f"cap: {{{limits}}}" if limits else ""}
      steps:
        - {{name: twice, when: "payments >= 2", add_percent: "0.25"}}
        - {{name: idle, when: "total < 1000", add_percent: "1.3333"}}
        - {{name: gold, when: "user.premium OR user.points > 1", add_percent: "2"}}
        - {{name: abroad, when: "countries >= 1", add_percent: "6", on: "country <> 'United Kingdom'"}}
        - {{name: wrapped, add_percent: "10", on: "gift AND amount < 350"}}
"""
        steps = [
            OracleStep("twice", lambda m, _: m["payments"] >= 2, "0.25"),
            OracleStep("idle", lambda m, _: m["total"] < 1000, "1.3333"),
            OracleStep(
                "gold",
                lambda _, u: u["premium"] is True or (u["points"] is not None and u["points"] > 1),
                "2",
            ),
            OracleStep("abroad", lambda m, _: m["countries"] >= 1, "6", limited=True),
            OracleStep("wrapped", lambda _m, _u: True, "10", limited=True),
        ]
        version = OracleVersion(
            3,
            self.counting,
            {
                "payments": ("count", lambda p: p["amount"] >= 100),
                "total": ("sum", lambda p: p["amount"]),
                "countries": ("distinct", lambda p: p["country"]),
            },
            post_to=self.post_to,
            base_percent="0.5",
            steps=steps,
        )
        oracle = OracleCampaign(
            "hand", self.zone, self.kind, [version], ATTRIBUTES, USER_ATTRIBUTES, None, self.effective
        )
        return Pair(spec, oracle)


ON: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "abroad": lambda p: p["country"] is not None and p["country"] != "United Kingdom",
    "wrapped": lambda p: p["gift"] is True and p["amount"] < 350,
}
CASES = [
    Case("month", "Asia/Tokyo", "next", "2011-05", "purchase", HandReward("half_even", None, 90, ON)),
    Case("week", "America/New_York", "next", "2011-W22", "refund", HandReward("up", 30, None, ON)),
    Case("day", "Europe/London", "same", "2011-06-01", "purchase", HandReward("half_up", 25, 60, ON)),
    Case("month", "Europe/London", "same", "2012-02", "refund", HandReward("down", None, None, ON)),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.effective}-{case.zone}")
@settings(
    max_examples=4,
    # Each example makes a home of its own: making a failing one smaller would take longer than reading it.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.data_too_large],
)
@given(st.data())
def test_as_by_hand(case: Case, data: st.DataObject) -> None:
    """Results, changes and cash back: to the last unit, and nothing that is settled changes."""
    whole = data.draw(transaction_lists(14))
    told = data.draw(st.lists(user_attribute_events(), max_size=4))
    cut = [data.draw(st.integers(0, len(one.history))) for one in whole]
    early = in_order([part(one, steps) for one, steps in zip(whole, cut, strict=True) if steps]) + told
    late = in_order(whole) + data.draw(st.lists(user_attribute_events(), max_size=2))
    pair = case.pair()
    oracle = Oracle([pair.oracle]).apply_all(early)
    at_close = standings(oracle, pair.oracle, case.counting)
    users = {one.user_id for one in oracle.transactions.values()} | set(oracle.user_attributes)
    frozen = dict(oracle.user_attributes)
    effective = case.counting if case.effective == "same" else period_after(pair.oracle, case.counting)

    with tempfile.TemporaryDirectory() as folder:
        scene = Scene.make(Path(folder) / "home", pair)
        scene.feed(early)
        closed, is_new = scene.close("hand", case.counting)
        assert is_new
        assert {row["user_id"]: standing_of(row) for row in rows(closed.files)} == {
            user: simply(at_close(user)) for user in users
        }
        granted = scene.grant("hand", effective)
        due = cash_back(oracle, pair.oracle, effective, lambda user: at_close(user)["steps"], case.reward)
        assert grants_of(rows(*granted.files)) == {one: got for one, got in due.items() if got[3]}
        before = checksums(scene.path)

        scene.feed(late)
        oracle.apply_all(late)
        granted = scene.grant("hand", effective)
        due = cash_back(oracle, pair.oracle, effective, lambda user: at_close(user)["steps"], case.reward)
        assert sums(rows(*granted.files)) == {(got[0], one): got[3] for one, got in due.items() if got[3]}
        ids = [row["grant_id"] for row in rows(*granted.files)]
        assert len(ids) == len(set(ids))
        adjusted = scene.adjust("hand", case.counting)
        oracle.user_attributes = frozen
        at_last = standings(oracle, pair.oracle, case.counting)
        everybody = users | {one.user_id for one in oracle.transactions.values()}
        assert {row["user_id"]: standing_of(row, "rate_after") for row in rows(*adjusted.files)} == {
            user: simply(at_last(user))
            for user in everybody
            if at_last(user)["measures"] != at_close(user)["measures"]
        }
        for row in rows(*adjusted.files):
            user: Any = row["user_id"]
            was, now = at_close(user), at_last(user)
            assert Decimal(str(row["rate_before"])) == was["rate_percent"]
            assert {name: row[f"delta.{name}"] for name in now["measures"]} == {
                name: value - was["measures"][name] for name, value in now["measures"].items()
            }

        assert not scene.grant("hand", effective).added
        assert not scene.adjust("hand", case.counting).added
        assert not scene.close("hand", case.counting)[1]
        assert before.items() <= checksums(scene.path).items()


def part(transaction: TransactionData, steps: int) -> TransactionData:
    """Return a transaction as it was after its first steps."""
    return TransactionData(
        transaction.transaction_id,
        transaction.user_id,
        transaction.attributes,
        transaction.history[:steps],
    )


def standing_of(row: Mapping[str, object], rate: str = "rate_percent") -> dict[str, object]:
    """Return the measures, steps and rate of a settled row."""
    return {
        "measures": {name[8:]: value for name, value in row.items() if name.startswith("measure.")},
        "steps": {name[5:]: value for name, value in row.items() if name.startswith("step.")},
        "rate": Decimal(str(row[rate])),
    }


def simply(standing: Mapping[str, Any]) -> dict[str, object]:
    """Return the same of the oracle's standing."""
    return {
        "measures": standing["measures"],
        "steps": standing["steps"],
        "rate": standing["rate_percent"],
    }


def grants_of(found: list[dict[str, object]]) -> dict[object, object]:
    """Return user, amount, rate and cash back of each grant by its transaction."""
    return {
        row["transaction_id"]: (
            row["user_id"],
            row["amount"],
            Decimal(str(row["rate_percent"])),
            row["cash_back"],
        )
        for row in found
    }


def sums(found: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """Return what is granted in all for each transaction, without those of which nothing is left."""
    total: dict[tuple[str, str], int] = {}
    for row in found:
        key = row["user_id"], row["transaction_id"]
        total[key] = total.get(key, 0) + row["cash_back"]
    return {key: value for key, value in total.items() if value}


def checksums(home: Path) -> dict[str, str]:
    """Return the SHA-256 of every settled file."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("closed", "grants")
        for path in (home / "batch" / folder).rglob("*")
        if path.is_file()
    }
