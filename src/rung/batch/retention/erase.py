"""Erase: remove a person's identity, and keep all totals.

A random name takes the place of the user's id wherever it stands, and nothing keeps which. The figures stay
as they are, under that name; of the attributes nothing stays. What an embedded log still has is refused: it
has to be archived and trimmed first.

1. the lake; 2. the store: figures and attributes, whose the transactions are, the quarantine; 3. what is
settled; 4. reports; 5. snapshots are deleted, and made anew from the lake. Each may be cut short, and all run
again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rung.batch.retention.erase_records import (
    drop_monitor_reports,
    move_user,
    own_anew,
    rename_in_lake,
    rename_in_quarantine,
    rename_in_reports,
    rename_in_settled,
    transactions_of,
)
from rung.batch.retention.erasing import Erasing, forget, note, pseudonym_for, unfinished
from rung.batch.workshop import Workshop
from rung.faultpoints import passing
from rung.log.port import Trimmable, unreadable_rows
from rung.store.audit import append_audit
from rung.store.port import NOTHING_APPLIED, Overtaken
from rung.transaction.events import decode
from rung.transaction.routing import partition_of


class EraseRefused(Exception):
    """The user cannot be erased now; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How much named the user: events of the lake and their files, transactions, and others."""

    events: int
    files: int
    transactions: int
    quarantined: int
    settled: int
    reports: int


def check_erasable(workshop: Workshop, user_id: str, *, log_expires_itself: bool) -> None:
    """See to it that no event of the user is where it cannot be erased.

    Raises:
        EraseRefused: the log has some, or an erasure of another user was cut short.
    """
    begun = unfinished(workshop.folder)
    if begun is not None and begun.user_id != user_id:
        raise EraseRefused(
            "the erasure of another user was cut short: run that command again first, and then this one"
        )
    partition = partition_of(user_id.encode(), workshop.log.partitions)
    can_trim = isinstance(workshop.log, Trimmable)
    if not can_trim and not log_expires_itself:
        raise EraseRefused(
            "the topic keeps the events until its own rule deletes them (retention.ms; a compacted topic "
            "keeps them until there is a tombstone with the user's key): see to that, and say "
            "--log-expires-itself"
        )
    start, end = workshop.log.starts()[partition], workshop.log.ends()[partition]
    archived = workshop.lake.positions()[partition]
    applied = workshop.store.applied().get(partition, NOTHING_APPLIED).offset + 1
    first = start if can_trim else max(start, min(archived, applied))
    count = sum(_events_of(workshop, user_id, partition, first, end))
    if not count:
        return
    if applied < end:
        fix = "`rung worker --until-caught-up`, `rung archive --until-caught-up` and `rung log trim --yes`"
    elif archived < end:
        fix = "`rung archive --until-caught-up` and `rung log trim --yes`"
    else:
        fix = "`rung log trim --yes`"
    raise EraseRefused(f"the log has {count:,} events of the user: run {fix} first")


def _events_of(workshop: Workshop, user_id: str, partition: int, first: int, end: int) -> Iterator[int]:
    for part in workshop.log.scan(partition, first, end):
        batch = decode(part.payloads, {}, {}, unreadable_rows([part]))
        yield batch.transactions.user_ids.to_pylist().count(user_id.encode())
        yield sum(event.user_id == user_id for event in batch.user_attributes)
        yield sum(f'"{user_id}"'.encode() in part.payloads[one.row] for one in batch.rejections)


def erase(
    workshop: Workshop,
    user_id: str,
    who: str,
    reason: str,
    told: Callable[[str], object],
    mirrored: Callable[[Sequence[tuple[int, int]]], object],
) -> Erased:
    """Remove a user's identity; `check_erasable` has to pass first.

    Args:
        workshop: What to work with.
        user_id: The user.
        who: Who does it.
        reason: Why; it must not name the user, because the audit list keeps it.
        told: Is told what is being done.
        mirrored: Takes quarantined events out of a mirror.

    Raises:
        EraseRefused: events of the user came meanwhile.
        LakeError: the lake cannot be read or written.
        Overtaken: others changed the same at every attempt. Run it again.
    """
    partitions = workshop.log.partitions
    partition = partition_of(user_id.encode(), partitions)
    erasing = unfinished(workshop.folder) or Erasing(user_id, pseudonym_for(user_id, partitions))
    note(workshop.folder, erasing)
    told("looking for the transactions")
    ids = transactions_of(workshop.engine, workshop.lake.state(), erasing)
    told("writing the lake")
    files, events = rename_in_lake(workshop, erasing)
    told("moving the records")
    if not erasing.moved:
        move_user(workshop.store, erasing, partition)
        erasing = Erasing(user_id, erasing.pseudonym, moved=True)
        note(workshop.folder, erasing)
    transactions = own_anew(workshop.store, erasing, ids)
    quarantined = rename_in_quarantine(workshop.store, erasing, mirrored)
    told("writing what is settled")
    settled = rename_in_settled(workshop.folder, erasing, workshop.clock())
    reports = rename_in_reports(workshop.folder, erasing)
    reports += drop_monitor_reports(workshop.folder, erasing)
    shutil.rmtree(workshop.folder / "snapshots", ignore_errors=True)
    done = Erased(events, files, transactions, quarantined, settled, reports)
    key = user_id.encode()
    if workshop.store.users([key])[0] is not None or workshop.store.user_attributes([key])[0] is not None:
        raise Overtaken("events of the user came meanwhile: archive and trim the log, and run it again")
    append_audit(
        workshop.store,
        workshop.clock,
        who,
        "erase",
        "a user",
        None,
        {"events": events, "files": files, "transactions": transactions, "settled": settled},
        reason,
    )
    passing("erased")
    forget(workshop.folder)
    return done
