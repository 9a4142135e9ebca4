"""What is kept of closed periods with each user, compared with their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from rung.batch.duck import DuckEngine
from rung.batch.files import parquet
from rung.batch.proof.examined import Cause, Examined, Figures
from rung.batch.settlement.closed import Closed
from rung.batch.settlement.kept_steps import marks_of
from rung.store.marks import MARKS, steps_marks
from rung.store.records import figures


def differing_marks(engine: DuckEngine, closed: Closed, stored: Path) -> list[str]:
    """Return the users of whom not that is kept of a closed period which its result says.

    Args:
        engine: The engine.
        closed: The period.
        stored: The file of figures that the store holds.
    """
    tokens = [mark.token for mark in steps_marks(closed.counted)]
    if not tokens:
        return []
    found = engine.query(
        f"""
        SELECT "user_id" FROM "due" e FULL OUTER JOIN (
          SELECT "user_id", "token", "value" FROM {parquet([stored])} WHERE "series" = {MARKS}
          AND "period" = {closed.ordinal} AND "token" IN ({", ".join(map(str, tokens))})
        ) s USING ("user_id", "token") WHERE e."value" IS DISTINCT FROM s."value"
        """,
        due=marks_of(closed),
    )
    return found.column("user_id").to_pylist()


def with_closed_steps(
    engine: DuckEngine, closed: Sequence[Closed], examined: Sequence[Examined]
) -> list[Examined]:
    """Return users that were examined, with the marks of closed periods: what is due, and what is stored.

    Args:
        engine: The engine.
        closed: The periods that are closed.
        examined: The users.
    """
    known = {(one.ordinal, mark.token) for one in closed for mark in steps_marks(one.counted)}
    due = _due_marks(engine, closed, [one.user_id for one in examined])
    found: list[Examined] = []
    for one in examined:
        stored: Figures = Counter(
            {
                (series, period, token): value
                for series, period, token, value in figures(one.record)
                if series == MARKS and (period, token) in known
            }
        )
        found.append(
            replace(
                one,
                causes=one.causes if stored == due[one.user_id] else (*one.causes, Cause.CLOSED_STEPS),
                # Not as a sum of counters, which would leave out what is negative.
                expected=Counter({**one.expected, **due[one.user_id]}),
                found=Counter({**one.found, **stored}),
            )
        )
    return found


def _due_marks(engine: DuckEngine, closed: Sequence[Closed], user_ids: Sequence[str]) -> dict[str, Figures]:
    due: dict[str, Figures] = {user_id: Counter() for user_id in user_ids}
    wanted = pa.table({"user_id": pa.array(user_ids, pa.string())})
    for one in closed:
        marks = engine.query(
            'SELECT * FROM "marks" SEMI JOIN "wanted" USING ("user_id")', marks=marks_of(one), wanted=wanted
        )
        columns = (marks.column(name).to_pylist() for name in ("user_id", "token", "value"))
        for user_id, token, value in zip(*columns, strict=True):
            due[user_id][MARKS, one.ordinal, token] = value
    return due
