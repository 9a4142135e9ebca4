"""What is measured: the campaign, the traffic and the sizes, all shrunk by one scale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rung.traffic import IdKind, TrafficSettings

CAMPAIGN: Final = """\
campaign: step
timezone: Asia/Tokyo
currency: JPY
period: month
effective: next
attributes:
  service: string
  method: string
versions:
  - version: 0
    counts_from: 2020-04
    measures:
      payments: {count: "amount >= 100"}
      total: {sum: amount}
    refunds: {post_to: purchase}
    reward:
      base_percent: "0.5"
      steps:
        - {name: fifty-payments, when: "payments >= 50", add_percent: "0.5"}
        - {name: big-spender, when: "total >= 100000", add_percent: "0.5"}
"""
"""The first rule set of examples/step.yaml: a count and a sum."""

ATTRIBUTES: Final = {"service": ("mall", "flea", "travel", "books"), "method": ("balance", "card")}
SEED: Final = 20200401
REPEATS: Final = 3
APPEND_EVENTS: Final = 10_000
MIX_TRANSACTIONS_PER_SECOND: Final = 25_000.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """The sizes of a run.

    Attributes:
        scale: 1 for the full run; figures of a smaller one say little.
    """

    scale: float

    @property
    def users(self) -> int:
        """How many users there are."""
        return self._scaled(1_000_000, 1_000)

    @property
    def preloaded_transactions(self) -> int:
        """How many transactions the store holds before the rate is measured."""
        return self._scaled(10_000_000, 10 * self.chunk_events)

    @property
    def chunk_events(self) -> int:
        """How many events one sample of a rate takes."""
        return self._scaled(1_000_000, 20_000)

    @property
    def small_transactions(self) -> int:
        """How many transactions the stores hold whose sizes are compared."""
        return self._scaled(1_000_000, 50_000)

    @property
    def request_seconds(self) -> int:
        """How long one sample of the API's rate takes."""
        return max(2, round(10 * min(self.scale, 1)))

    @property
    def mixed_seconds(self) -> int:
        """How long one sample of reads beside events takes."""
        return max(4, round(20 * min(self.scale, 1)))

    def _scaled(self, full: int, least: int) -> int:
        return max(least, round(full * self.scale))


def completed_traffic(scenario: Scenario, transactions: int, *, seed: int = SEED) -> TrafficSettings:
    """Return purchases of two steps, one event each, evenly from the start of last month until the present.

    So every user has figures in the counting and in the effective month.
    """
    starts = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    seconds = (datetime.now(UTC) - starts).total_seconds()
    return TrafficSettings(
        seed=seed,
        transactions=transactions,
        users=scenario.users,
        starts_at=int(starts.timestamp()) * 1_000_000,
        transactions_per_second=transactions / seconds,
        created_events=False,
        attributes=ATTRIBUTES,
        chunk_events=scenario.chunk_events,
    )


def mixed_traffic(scenario: Scenario, transactions: int, *, seed: int) -> TrafficSettings:
    """Return purchases whose CREATED and COMPLETED are two events, shuffled, some refunded, some sent twice.

    At this rate of event time a purchase is completed hundreds of thousands of events after it was
    created, so the two are hardly ever in one batch.
    """
    return TrafficSettings(
        seed=seed,
        transactions=transactions,
        users=scenario.users,
        starts_at=int(datetime.now(UTC).timestamp()) * 1_000_000,
        transactions_per_second=MIX_TRANSACTIONS_PER_SECOND,
        refund_share=0.05,
        refund_seconds_max=20,
        duplicate_share=0.05,
        reorder_seconds=5.0,
        attributes=ATTRIBUTES,
        chunk_events=10_000_000,
    )


def small_traffic(scenario: Scenario, id_kind: IdKind, *, created_events: bool) -> TrafficSettings:
    """Return purchases for a small store with ten transactions per user, as in the large one."""
    return TrafficSettings(
        seed=SEED,
        transactions=scenario.small_transactions,
        users=max(1, scenario.small_transactions // 10),
        starts_at=int(datetime.now(UTC).timestamp()) * 1_000_000,
        transactions_per_second=MIX_TRANSACTIONS_PER_SECOND,
        id_kind=id_kind,
        created_events=created_events,
        attributes=ATTRIBUTES,
        chunk_events=scenario.chunk_events,
    )
