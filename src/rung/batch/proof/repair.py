"""Repair: bring users that differ to what the lake gives, while events go on being applied.

Every user is examined again, as it is then, so a report may be old, and a second repair finds nothing. What
is wrong is put right in one guarded change for each user:

- records of transactions that are missing, behind, altered or of no event become what the events give, and
  the figures get what that contributes, as if the events came through the ordinary path now;
- what the figures then still lack, or have too much, is added as a correction with an id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rung.batch.proof.examined import Examined, Figures
from rung.batch.proof.report import Report
from rung.batch.proof.verify import examine_all
from rung.batch.settlement.closed import Closed, those_shown
from rung.batch.workshop import Workshop
from rung.campaign.catalog import Catalog
from rung.dated import dated_id
from rung.faultpoints import passing
from rung.plan.run import Contributions
from rung.speed.figures import add_figures
from rung.store.again import until_stored
from rung.store.audit import append_audit
from rung.store.corrections import with_marks
from rung.store.marks import token_of
from rung.store.port import NO_ENTRIES, Change, Entries

_ATTEMPTS_MAX: Final = 50
_PAUSE_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did, or would do: the users as they were found, and those that were fine by then."""

    healed: Sequence[Examined]
    clean: int
    strangers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Suspects:
    """Who is examined, and healed if need be.

    Attributes:
        id: Names them as a whole; it is in the marks of corrections.
        users: Each user, with transactions that only the store may have for them.
        strangers: Transactions of the store whose user is not known to the lake.
        target, reason: What the audit list has of them; it names no user.
    """

    id: str
    users: Mapping[str, Sequence[str]]
    strangers: Sequence[str]
    target: str
    reason: str


def suspects_of(report: Report) -> Suspects:
    """Return those of whom a verification found differences."""
    return Suspects(
        report.id,
        # A transaction that the lake does not know is found under the user for whom the store has it.
        {finding.user_id: finding.transactions for finding in report.findings},
        report.strangers,
        f"report {report.id}",
        f"differences of the verification {report.id}",
    )


def suspect(user_id: str, at: int) -> Suspects:
    """Return one user, who is examined from microseconds since the epoch on, whatever was found before."""
    name = f"{dated_id(at)}-user"
    return Suspects(name, {user_id: ()}, (), f"replay {name}", "replay of one user")


def plan_repair(workshop: Workshop, suspects: Suspects) -> Repaired:
    """Examine users again, and return what a repair would change."""
    catalog = workshop.catalog()
    return _planned(workshop, catalog, suspects, list(those_shown(workshop.folder, catalog)))


def _planned(workshop: Workshop, catalog: Catalog, suspects: Suspects, closed: Sequence[Closed]) -> Repaired:
    found = _examined(workshop, catalog, suspects.users, closed)
    wrong = [one for one in found if one.causes]
    return Repaired(wrong, len(found) - len(wrong), _present(workshop, suspects.strangers))


def repair(workshop: Workshop, suspects: Suspects, who: str, told: Callable[[int], object]) -> Repaired:
    """Put right what is wrong with users, one by one, and write it to the audit list.

    Args:
        workshop: What to work with.
        suspects: The users.
        who: Who does it.
        told: Is told how many users are healed so far.

    Raises:
        Overtaken: a user was changed by others at every attempt. Those before it are healed.
    """
    # What is found wrong by a catalog is put right under that catalog, or not at all.
    catalog_revision, record = workshop.store.catalog()
    catalog = Catalog.decode(record)
    closed = list(those_shown(workshop.folder, catalog))
    planned = _planned(workshop, catalog, suspects, closed)
    healed: list[Examined] = []
    try:
        for one in planned.healed:
            done = _heal(workshop, catalog_revision, catalog, suspects.id, closed, one)
            if done is not None:
                healed.append(done)
            told(len(healed))
        if planned.strangers:
            _remove(workshop, catalog_revision, planned.strangers)
    finally:
        if healed or planned.strangers:
            append_audit(
                workshop.store,
                workshop.clock,
                who,
                "batch.repair",
                suspects.target,
                {
                    "causes": dict(Counter(cause.value for one in healed for cause in one.causes)),
                    "users": len(healed),
                    "strangers": len(planned.strangers),
                },
                # The marks of the corrections: what is audited stays, and names no user.
                {"corrections": [token_of(_correction_id(suspects.id, one.user_id)) for one in healed[:100]]},
                suspects.reason,
            )
    return Repaired(healed, planned.clean, planned.strangers)


def _examined(
    workshop: Workshop, catalog: Catalog, users: Mapping[str, Sequence[str]], closed: Sequence[Closed]
) -> list[Examined]:
    return examine_all(workshop, catalog, workshop.snapshots.disowned(), list(users), users, closed)


def _heal(
    workshop: Workshop,
    revision: int,
    catalog: Catalog,
    suspects_id: str,
    closed: Sequence[Closed],
    first: Examined,
) -> Examined | None:
    """Change one user, and return it as it was before; None if another change has healed it."""
    examined: Examined | None = None

    def healed() -> Examined | None:
        nonlocal examined
        if examined is None:
            examined = first
        else:
            (examined,) = _examined(workshop, catalog, {examined.user_id: examined.transactions}, closed)
        if not examined.causes:
            return None
        passing("repairing")
        workshop.store.commit(_change(examined, revision, _correction_id(suspects_id, examined.user_id)))
        return examined

    return until_stored(healed, _ATTEMPTS_MAX, _PAUSE_SECONDS)


def _change(examined: Examined, revision: int, correction_id: str) -> Change:
    user = examined.user_id.encode()
    wrong = examined.transactions
    transactions = Entries(
        [one.encode() for one in wrong],
        [examined.stored[one] for one in wrong],
        [examined.due[one] for one in wrong],
        [user] * len(wrong),
    )
    users = NO_ENTRIES
    if examined.drift:
        added = with_marks(
            _contributions(examined.drift), np.zeros(1, dtype=np.int64), token_of(correction_id)
        )
        users = Entries([user], [examined.record], add_figures([examined.record], added), [user])
    attributes = NO_ENTRIES
    if examined.attributes != examined.due_attributes:
        attributes = Entries([user], [examined.attributes], [examined.due_attributes], [user])
    return Change(
        catalog_revision=revision,
        expected={},
        applied={},
        transactions=transactions,
        users=users,
        user_attributes=attributes,
        user_partitions={user: examined.partition},
    )


def _contributions(drift: Figures) -> Contributions:
    """Return what one user lacks as columns; the owner is record 0."""
    keys = sorted(drift)
    return Contributions(
        np.zeros(len(keys), dtype=np.int64),
        np.array([series for series, _, _ in keys], dtype=np.int64),
        np.array([period for _, period, _ in keys], dtype=np.int64),
        np.array([token for _, _, token in keys], dtype=np.uint64),
        np.array([drift[key] for key in keys], dtype=np.int64),
    )


def _correction_id(suspects_id: str, user_id: str) -> str:
    return f"repair/{suspects_id}/{user_id}"


def _present(workshop: Workshop, strangers: Sequence[str]) -> list[str]:
    """Return the transactions of nobody that the store still has."""
    stored = workshop.store.transactions([one.encode() for one in strangers])
    return [one for one, record in zip(strangers, stored, strict=True) if record is not None]


def _remove(workshop: Workshop, revision: int, strangers: Sequence[str]) -> None:
    """Remove records of transactions that no event ever was about."""
    keys = [one.encode() for one in strangers]
    stored = workshop.store.transactions(keys)
    entries = Entries(keys, stored, [None] * len(keys), keys)
    workshop.store.commit(Change(catalog_revision=revision, expected={}, applied={}, transactions=entries))
