"""The monitor: the lake's transactions of a day against the payment system's own list.

A transaction is of the day on which its purchase was completed, or else of its first step, in a zone.
Whatever the list has is looked for in the whole lake; of the lake only the day's transactions have to be in
the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from rung.batch.monitoring.payment_list import PaymentList
from rung.batch.snapshots import Snapshot
from rung.batch.sql import MERGED
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Calendar, Period, PeriodKind
from rung.durable import put
from rung.store.audit import append_audit
from rung.transaction.history import COMPLETED

FORMAT: Final = 1
_APPENDED_AT_ONCE: Final = 5_000


class Difference(StrEnum):
    """How a transaction of the list and of the lake differ."""

    MISSING = "missing"
    BEHIND = "behind"
    EXTRA = "extra"
    DIFFERENT = "different"
    UNREADABLE = "unreadable"
    AHEAD = "ahead"

    @property
    def sentence(self) -> str:
        """What it means."""
        return _SENTENCES[self]

    @property
    def is_fillable(self) -> bool:
        """Whether an event with the list's history mends it."""
        return self in {Difference.MISSING, Difference.BEHIND}


_SENTENCES: Final[Mapping[Difference, str]] = {
    Difference.MISSING: "The list has it, and the lake has no event of it.",
    Difference.BEHIND: "The lake's history is the beginning of the list's.",
    Difference.EXTRA: "The lake has it, and the list has not.",
    Difference.DIFFERENT: "User, attributes, statuses, times or amounts do not agree.",
    Difference.UNREADABLE: "No event could tell what the list says.",
    Difference.AHEAD: "The list is older: its history is the beginning of the lake's. No fault.",
}


class MonitorReport(msgspec.Struct, frozen=True):
    """What a comparison found.

    Attributes:
        day, zone: The day that was compared, and in whose time.
        against: What the list was read from, without secrets.
        taken_at: When the lake was looked at, in microseconds since the epoch.
        positions: For each partition, the offset before which the lake had everything.
        equal: How many transactions are in both, and equal.
        differences: How many there are of each kind (`Difference`).
    """

    format: int
    day: str
    zone: str
    against: str
    taken_at: int
    positions: dict[int, int]
    equal: int
    differences: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs; what the list does not know yet is no difference."""
        return not any(count for kind, count in self.differences.items() if kind != Difference.AHEAD)


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison.

    `rows` has one for each difference, sorted: difference, transaction_id, user_id, lake_user_id, detail,
    the list's and the lake's steps (status, at, amount, lake_status, lake_at, lake_amount), and the event
    that would mend it, or null.
    """

    report: MonitorReport
    rows: pa.Table


class NotFillable(Exception):
    """The list does not tell whole histories, so no event can be made of it."""


@dataclass(frozen=True, slots=True)
class ChosenDay:
    """A day in a zone: the instants from `first` to just before `end`, in microseconds since the epoch."""

    day: str
    zone: str
    first: int
    end: int

    @classmethod
    def of(cls, day: str, zone: str) -> ChosenDay:
        """Return the day that a date names in a zone.

        Raises:
            ValueError: the text is no date of 1970 to 2099, or the zone is unknown.
        """
        calendar, period = Calendar(PeriodKind.DAY, zone), Period.parse(day, PeriodKind.DAY)
        return cls(day, zone, calendar.starts_at(period), calendar.ends_at(period))


def compare(workshop: Workshop, listed: PaymentList, against: str, day: ChosenDay) -> Compared:
    """Compare a day's transactions of the lake, as far as the log goes now, with a list.

    Raises:
        LakeError, SnapshotDamaged: the lake cannot be read.
    """
    taken_at = workshop.clock()
    snapshot = workshop.aggregate_to(dict(workshop.log.ends())).snapshot
    lake = _lake_rows(workshop, snapshot, listed.rows, day)
    found = workshop.engine.query(_classified(listed, day), theirs=listed.rows, lake=lake)
    counted = workshop.engine.query(
        'SELECT "difference", count(*) AS "n" FROM "found" GROUP BY ALL', found=found
    ).to_pylist()
    counts = {row["difference"]: row["n"] for row in counted}
    equal = counts.pop("equal", 0)
    rows = workshop.engine.query(
        """SELECT * FROM "found" WHERE "difference" <> 'equal'
        UNION ALL BY NAME
        SELECT 'unreadable' AS "difference", "transaction_id", "user_id", "reason" AS "detail"
        FROM "unreadable"
        ORDER BY "difference", "transaction_id" """,
        found=found,
        unreadable=listed.unreadable,
    )
    if listed.unreadable.num_rows:
        counts[Difference.UNREADABLE.value] = listed.unreadable.num_rows
    report = MonitorReport(
        FORMAT,
        day.day,
        day.zone,
        against,
        taken_at,
        snapshot.positions,
        equal,
        {kind.value: counts[kind.value] for kind in Difference if counts.get(kind.value)},
    )
    return Compared(report, rows)


def write_report(folder: Path, compared: Compared) -> Path:
    """Write a comparison as JSON and its differences as Parquet, and return the JSON file's path."""
    chosen = folder / "monitor"
    chosen.mkdir(parents=True, exist_ok=True)
    name = f"{compared.report.day}-{compared.report.taken_at}"
    pq.write_table(compared.rows, chosen / f"{name}.parquet", compression="zstd")
    path = chosen / f"{name}.json"
    put(path, msgspec.json.format(msgspec.json.encode(compared.report), indent=1))
    return path


def events_to_fill(listed: PaymentList, compared: Compared) -> list[bytes]:
    """Return the events that mend what is missing or behind.

    Raises:
        NotFillable: the list tells only the latest steps.
    """
    if not listed.whole:
        raise NotFillable(
            "--fill needs whole histories, and this list tells the latest steps only: "
            "give a list with a column `history`"
        )
    return [text.encode() for text in compared.rows.column("event").to_pylist() if text is not None]


def fill(workshop: Workshop, compared: Compared, events: list[bytes], who: str) -> None:
    """Append events to the log, durably, and write that to the audit list."""
    producer = workshop.log.producer()
    try:
        for first in range(0, len(events), _APPENDED_AT_ONCE):
            producer.append(events[first : first + _APPENDED_AT_ONCE])
    finally:
        producer.close()
    report = compared.report
    append_audit(
        workshop.store,
        workshop.clock,
        who,
        "batch.monitor.fill",
        f"transactions of {report.day}",
        {kind: count for kind, count in report.differences.items() if Difference(kind).is_fillable},
        {"events": len(events)},
        f"what {report.against} has and the lake has not",
    )


def _purchased_at(side: str) -> str:
    return f'coalesce({side}."at"[list_position({side}."status", {COMPLETED}::TINYINT)], {side}."at"[1])'


def _lake_rows(workshop: Workshop, snapshot: Snapshot, theirs: pa.Table, day: ChosenDay) -> pa.Table:
    """Return the lake's transactions of the day, and all that the list has."""
    found: list[pa.Table] = []
    for partition, names in snapshot.merged.items():
        workshop.engine.read_merged(workshop.snapshots.paths(names))
        disowned = pa.array(snapshot.disowned.get(partition, []), pa.string())
        found.append(
            workshop.engine.query(
                f"""SELECT m."transaction_id", m."user_id", m."attributes", m."status", m."at", m."amount"
                FROM "{MERGED}" m ANTI JOIN "disowned" d ON m."transaction_id" = d."id"
                WHERE ({_purchased_at("m")} >= {day.first} AND {_purchased_at("m")} < {day.end})
                  OR m."transaction_id" IN (SELECT "transaction_id" FROM "theirs")""",
                disowned=pa.table({"id": disowned}),
                theirs=theirs.select(["transaction_id"]),
            )
        )
    return pa.concat_tables(found)


_STEPS: Final = ("status", "at", "amount")


def _classified(listed: PaymentList, day: ChosenDay) -> str:
    """Return the query for all transactions of the day, each with its difference or `equal`."""
    same_user = 't."user_id" = l."user_id"'
    same_attributes = '(t."attributes" IS NULL OR t."attributes" = l."attributes")'
    kinds = _whole_kinds() if listed.whole else _latest_kinds()
    # What only the latest step tells is dated by the lake's purchase, where the lake has it.
    sides = ("t", "l") if listed.whole else ("l", "t")
    moment = f"coalesce({_purchased_at(sides[0])}, {_purchased_at(sides[1])})"
    fields = {
        "transaction_id": 'to_json(t."transaction_id")',
        "user_id": 'to_json(t."user_id")',
        "attributes": """coalesce(t."attributes", l."attributes", '{}')""",
        "history": 't."history"',
    }
    event = " || ',' || ".join(f"""'"{name}":' || {value}""" for name, value in fields.items())
    return f"""
WITH "both" AS (
  SELECT coalesce(t."transaction_id", l."transaction_id") AS "transaction_id",
    t."user_id", l."user_id" AS "lake_user_id", t."status", t."at", t."amount",
    l."status" AS "lake_status", l."at" AS "lake_at", l."amount" AS "lake_amount",
    CASE WHEN l."transaction_id" IS NULL THEN 'missing'
      WHEN t."transaction_id" IS NULL THEN 'extra'
      WHEN NOT ({same_user}) OR NOT ({same_attributes}) THEN 'different'
      {kinds}
      ELSE 'different' END AS "difference",
    CASE WHEN NOT ({same_user}) THEN 'user'
      WHEN NOT ({same_attributes}) THEN 'attributes' END AS "detail",
    '{{' || {event} || '}}' AS "event", {moment} AS "purchased_at"
  FROM "theirs" t FULL JOIN "lake" l ON t."transaction_id" = l."transaction_id"
)
SELECT "difference", "transaction_id", "user_id", "lake_user_id",
  CASE WHEN "difference" = 'different' THEN coalesce("detail", 'history') END AS "detail",
  "status", "at", "amount", "lake_status", "lake_at", "lake_amount",
  CASE WHEN "difference" IN ('missing', 'behind') THEN "event" END AS "event"
FROM "both" WHERE "purchased_at" >= {day.first} AND "purchased_at" < {day.end}
"""


def _whole_kinds() -> str:
    def begins(whole: str, part: str) -> str:
        return " AND ".join(f'{part}."{one}" = {whole}."{one}"[1:len({part}."status")]' for one in _STEPS)

    return f"""WHEN len(t."status") = len(l."status") AND {begins("t", "l")} THEN 'equal'
      WHEN len(l."status") < len(t."status") AND {begins("t", "l")} THEN 'behind'
      WHEN len(t."status") < len(l."status") AND {begins("l", "t")} THEN 'ahead'"""


def _latest_kinds() -> str:
    """One step tells less: it is equal to the last one, to one before it, or it can have come after it."""
    is_last = " AND ".join(f't."{one}"[1] = l."{one}"[-1]' for one in _STEPS)
    places = 'list_zip(l."status", l."at", l."amount"), (t."status"[1], t."at"[1], t."amount"[1])'
    again = f'(t."status"[1] = {COMPLETED} AND list_contains(l."status", {COMPLETED}::TINYINT))'
    same = '(t."at"[1] = l."at"[-1] AND t."status"[1] = l."status"[-1])'
    return f"""WHEN {is_last} THEN 'equal'
      WHEN list_contains({places}) THEN 'ahead'
      WHEN t."at"[1] >= l."at"[-1] AND NOT {again} AND NOT {same} THEN 'behind'"""
