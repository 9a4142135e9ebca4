"""Examine users one by one: what the lake says of each, what the store holds, and what is wrong with it.

A user is looked at as of the offset that its record claims, however far the worker has moved on since, and
together with its transactions: if the record changed while they were read, it is read again.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

import numpy as np
import pyarrow as pa

from rung.batch.duck import DuckEngine
from rung.batch.proof.due import behind, due_attributes, unsettled, without_absent
from rung.batch.proof.examined import Cause, Examined, Figures, without_zeros
from rung.batch.resolve import transaction_events
from rung.campaign.catalog import Catalog, CountedVersion
from rung.lake.port import LakeState
from rung.lake.rows import TRANSACTION, USER_ATTRIBUTES
from rung.plan.run import Plans, histories_table
from rung.store.port import Store
from rung.store.records import (
    decode_transactions,
    encode_transactions,
    figures,
)
from rung.transaction.history import StoredTransactions
from rung.transaction.merge import distinct, merge
from rung.transaction.routing import partition_of

_READ_ATTEMPTS_MAX: Final = 50
_NO_EVENTS: Final = pa.table(
    {
        "transaction_id": pa.array([], pa.string()),
        "user_id": pa.array([], pa.string()),
        "offset": pa.array([], pa.int64()),
        "kind": pa.array([], pa.string()),
        "status": pa.array([], pa.list_(pa.int8())),
        "at": pa.array([], pa.list_(pa.int64())),
        "amount": pa.array([], pa.list_(pa.int64())),
        "attributes": pa.array([], pa.string()),
        "sequence": pa.array([], pa.int64()),
    }
)


@dataclass(frozen=True, slots=True)
class _Read:
    """A user's records, read together, and its events up to the offset that they claim to hold."""

    user_id: str
    partition: int
    offset: int
    events: pa.Table | None
    stored: Mapping[str, bytes | None]
    record: bytes | None
    attributes: bytes | None


class ReadTwice(Exception):
    """A user's records changed during every attempt to read them together."""


class Examiner:
    """Examines users against a state of the lake. For one thread."""

    def __init__(
        self,
        engine: DuckEngine,
        lake: LakeState,
        store: Store,
        catalog: Catalog,
        disowned: Mapping[int, Sequence[str]],
    ) -> None:
        """Take the lake as it is; a record that claims more than it holds is not examined."""
        self._engine = engine
        self._lake = lake
        self._store = store
        self._catalog = catalog
        self._disowned = {partition: frozenset(ids) for partition, ids in disowned.items()}
        self._versions = [counted for counted in catalog.versions if counted.complete]
        self._ranges = {
            series: counted.periods for counted in self._versions for series in counted.series.values()
        }
        self._plans = Plans(Catalog(catalog.campaigns, tuple(self._versions)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._plans.close()

    def events_of(self, user_ids: Sequence[str]) -> Mapping[str, pa.Table]:
        """Return every event of users in the lake, in the order of the log."""
        partitions = {partition_of(one.encode(), self._lake.log.partitions) for one in user_ids}
        columns = ", ".join(f'"{name}"' for name in _NO_EVENTS.column_names)
        parts = [
            f"SELECT {columns} FROM {self._engine.events(kind, files, self._catalog.declarations(partition))}"
            for partition in sorted(partitions)
            if (files := [file.path for file in self._lake.files if file.partition == partition])
            for kind in (TRANSACTION, USER_ATTRIBUTES)
        ]
        if not parts:
            return {}
        users = pa.table({"user_id": pa.array(user_ids, pa.string())})
        rows = self._engine.query(
            f"""
            SELECT {columns} FROM ({" UNION ALL ".join(parts)}) e SEMI JOIN "wanted" w USING ("user_id")
            ORDER BY "user_id", "offset"
            """,
            wanted=users,
        )
        owners = rows.column("user_id").to_pylist()
        bounds = [index for index, one in enumerate(owners) if index == 0 or owners[index - 1] != one]
        bounds.append(len(owners))
        return {owners[first]: rows.slice(first, end - first) for first, end in pairwise(bounds)}

    def examine(
        self,
        user_ids: Sequence[str],
        events: Mapping[str, pa.Table],
        strangers: Mapping[str, Sequence[str]],
    ) -> tuple[list[Examined], list[str]]:
        """Examine users as they are now.

        Args:
            user_ids: The users.
            events: Their events (`events_of`).
            strangers: Transactions which the store may have for a user, and which the lake does not know.

        Returns:
            The users that were examined; and those whose records claim events that the lake lacks yet.

        Raises:
            ReadTwice: a user's records changed during every attempt to read them.
        """
        read: list[_Read] = []
        ahead: list[str] = []
        for user_id in user_ids:
            found = self._read(user_id, events.get(user_id), strangers.get(user_id, ()))
            if found is None:
                ahead.append(user_id)
            else:
                read.append(found)
        return self._examined(read), ahead

    def _read(self, user_id: str, events: pa.Table | None, strangers: Sequence[str]) -> _Read | None:
        """Read a user's records together."""
        partition = partition_of(user_id.encode(), self._lake.log.partitions)
        first = {} if events is None else _first_rows(events)
        wanted = [*first, *(one for one in strangers if one not in first)]
        keys = [one.encode() for one in wanted]
        for _ in range(_READ_ATTEMPTS_MAX):
            before = self._store.standing(user_id.encode(), partition)
            stored = self._store.transactions(keys)
            after = self._store.standing(user_id.encode(), partition)
            offset = before.applied.offset
            if offset >= self._lake.positions[partition]:
                return None
            same = (before.figures, before.user_attributes) == (after.figures, after.user_attributes)
            if same and not _has_events(events, offset, after.applied.offset):
                until = None if events is None else _until(events, offset)
                return _Read(
                    user_id,
                    partition,
                    offset,
                    until,
                    dict(zip(wanted, stored, strict=True)),
                    before.figures,
                    before.user_attributes,
                )
        raise ReadTwice(
            f"the records of user {user_id!r} changed during {_READ_ATTEMPTS_MAX} reads: try again"
        )

    def _examined(self, read: Sequence[_Read]) -> list[Examined]:
        read, due = self._kept(read, self._due(read))
        expected = self._contributions(read, due)
        found = [self._stored(one.record) for one in read]
        # What the figures would be if they had been summed from the records that are only behind.
        unexplained = [
            index
            for index, one in enumerate(read)
            if one.stored != due[index] and found[index] != expected[index]
        ]
        lacking = [
            {**due[index], **{key: read[index].stored[key] for key in behind(read[index].stored, due[index])}}
            for index in unexplained
        ]
        contributed = self._contributions([read[index] for index in unexplained], lacking)
        summed = dict(zip(unexplained, contributed, strict=True))
        examined: list[Examined] = []
        for index, one in enumerate(read):
            attributes = None if one.events is None else due_attributes(one.events)
            causes = self._causes(
                one.stored, due[index], expected[index], found[index], summed.get(index, Counter())
            )
            examined.append(
                Examined(
                    one.user_id,
                    one.partition,
                    one.offset,
                    causes if one.attributes == attributes else (*causes, Cause.ATTRIBUTES),
                    expected[index],
                    found[index],
                    tuple(key for key in one.stored if one.stored[key] != due[index][key]),
                    one.record,
                    one.attributes,
                    attributes,
                    one.stored,
                    due[index],
                )
            )
        return examined

    def _due(self, read: Sequence[_Read]) -> list[dict[str, bytes | None]]:
        """Return the record that is due for each transaction of each user: merged in the order of the log."""
        due: list[dict[str, bytes | None]] = [dict.fromkeys(one.stored) for one in read]
        parts = [self._owned(one) for one in read]
        owners = np.repeat(np.arange(len(read)), [part.num_rows for part in parts])
        if len(owners) == 0:
            return due
        decoded = transaction_events(pa.concat_tables(parts))
        ids: list[bytes] = decoded.transaction_ids.to_pylist()
        # Two users may claim one id: each claim is merged by itself.
        claims = [b"%d %b" % claim for claim in zip(owners.tolist(), ids, strict=True)]
        keys, groups = distinct(pa.array(claims, pa.binary()))
        merged = merge(decoded, groups, decode_transactions([None] * len(keys)))
        records = encode_transactions(
            StoredTransactions(
                decoded.users[merged.events],
                decoded.attributes[merged.events],
                decoded.histories.take(merged.events),
            )
        )
        events: list[int] = merged.events.tolist()
        for event, record in zip(events, records, strict=True):
            due[int(owners[event])][ids[event].decode()] = record
        return due

    def _kept(
        self, read: Sequence[_Read], due: Sequence[dict[str, bytes | None]]
    ) -> tuple[list[_Read], list[dict[str, bytes | None]]]:
        """Leave out events that wait to be settled, and transactions of which nothing is kept."""
        kept_from = self._catalog.kept_from
        kept: list[_Read] = []
        again: list[int] = []
        for index, (one, records) in enumerate(zip(read, due, strict=True)):
            kept.append(one)
            if not kept_from or one.events is None:
                continue
            waiting = unsettled(self._store, one.partition, one.events, one.stored, records, kept_from)
            if waiting:
                rows = np.flatnonzero(~np.isin(one.events.column("offset").to_numpy(), list(waiting)))
                kept[index] = dataclasses.replace(one, events=one.events.take(pa.array(rows)))
                again.append(index)
        due = list(due)
        for index, records in zip(again, self._due([kept[index] for index in again]), strict=True):
            due[index] = records
        return kept, [
            without_absent(one.stored, records, kept_from) for one, records in zip(kept, due, strict=True)
        ]

    def _owned(self, read: _Read) -> pa.Table:
        """Return a user's events of transactions that no user of another partition has claimed first."""
        if read.events is None:
            return _NO_EVENTS
        lost = self._disowned.get(read.partition, frozenset())
        kinds, ids = (read.events.column(name).to_pylist() for name in ("kind", "transaction_id"))
        kept = [
            index
            for index, (kind, one) in enumerate(zip(kinds, ids, strict=True))
            if kind == TRANSACTION and one not in lost
        ]
        return read.events.take(pa.array(kept, pa.int64()))

    def _contributions(
        self, read: Sequence[_Read], records: Sequence[Mapping[str, bytes | None]]
    ) -> list[Figures]:
        """Return what each user's records contribute together; the attributes are those that events told."""
        totals: list[Figures] = [Counter() for _ in read]
        owners: list[int] = []
        held: list[bytes] = []
        parts: list[pa.Table] = []
        for owner, (one, found) in enumerate(zip(read, records, strict=True)):
            if one.events is None:
                continue
            first = _first_rows(one.events)
            kept = [(first[key], record) for key, record in found.items() if record and key in first]
            owners += [owner] * len(kept)
            held += [record for _, record in kept]
            parts.append(one.events.take(pa.array([row for row, _ in kept], pa.int64())))
        if not held:
            return totals
        told = transaction_events(pa.concat_tables(parts), self._catalog.attributes)
        told = dataclasses.replace(told, histories=decode_transactions(held).histories)
        everything, nothing = np.arange(len(held)), np.zeros(len(held), dtype=np.int64)
        added = self._plans.contributions(
            histories_table(told, everything, np.array(owners), nothing, self._catalog.attributes)
        )
        columns = (added.owners, added.series, added.periods, added.tokens, added.values)
        for owner, series, period, token, value in zip(*(part.tolist() for part in columns), strict=True):
            totals[owner][series, period, token] += value
        return [without_zeros(total) for total in totals]

    def _stored(self, record: bytes | None) -> Figures:
        """Return the stored figures of the versions that are compared, of the periods that they count."""
        found: Figures = Counter()
        for series, period, token, value in figures(record):
            first, last = self._ranges.get(series, (1, 0))
            if first <= period <= last:
                found[series, period, token] = value
        return found

    def _causes(
        self,
        stored: Mapping[str, bytes | None],
        due: Mapping[str, bytes | None],
        expected: Figures,
        found: Figures,
        summed: Figures,
    ) -> tuple[Cause, ...]:
        """Say what is wrong; `summed` is what the records contribute if those that are behind are right."""
        wrong = [key for key in stored if stored[key] != due[key]]
        if not wrong:
            if found == expected:
                return ()
            swapped = self._is_of_another_version(expected, found)
            return (Cause.WRONG_VERSION if swapped else Cause.SUM_MISMATCH,)
        unknown = [key for key in wrong if due[key] is None]
        lacking = behind(stored, due)
        altered = len(wrong) - len(unknown) - len(lacking)
        causes = [Cause.TRANSACTION_UNKNOWN] if unknown else []
        causes += [Cause.TRANSACTION_ALTERED] if altered else []
        if found == expected:
            return (*causes, Cause.TRANSACTION_BEHIND) if lacking else tuple(causes)
        if lacking and found == summed:
            return (*causes, Cause.MISSED_EVENT)
        return (*causes, Cause.UNKNOWN if lacking or altered else Cause.SUM_MISMATCH)

    def _is_of_another_version(self, expected: Figures, found: Figures) -> bool:
        """Tell whether each version that differs has what another version of its campaign would have."""
        differing = [counted for counted in self._versions if _of(counted, found) != _of(counted, expected)]
        return bool(differing) and all(
            any(
                other is not counted
                and other.campaign.name == counted.campaign.name
                and _of(counted, found) == _of(other, expected)
                for other in self._versions
            )
            for counted in differing
        )


def _of(counted: CountedVersion, values: Figures) -> dict[tuple[str, int, int], int]:
    """Return a version's figures by the names of its measures."""
    names = {series: name for name, series in counted.series.items()}
    return {
        (names[series], period, token): value
        for (series, period, token), value in values.items()
        if series in names
    }


def _until(events: pa.Table, offset: int) -> pa.Table:
    offsets = events.column("offset").to_numpy()
    return events.slice(0, int(np.searchsorted(offsets, offset, side="right")))


def _has_events(events: pa.Table | None, after: int, until: int) -> bool:
    if events is None or until <= after:
        return False
    offsets = events.column("offset").to_numpy()
    return bool(((offsets > after) & (offsets <= until)).any())


def _first_rows(events: pa.Table) -> dict[str, int]:
    """Return where each transaction's first event is."""
    first: dict[str, int] = {}
    for index, one in enumerate(events.column("transaction_id").to_pylist()):
        if one is not None:
            first.setdefault(one, index)
    return first
