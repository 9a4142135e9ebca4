"""Finds out which steps users reach and lose, beside the worker and without its help.

The log tells whose figures may have changed, and the store how they are then. Nothing is asked of the
worker, and nothing is written where it writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from rung.access.subjects import for_operator
from rung.campaign.calendar import Calendar, Period
from rung.campaign.catalog import Catalog
from rung.log.port import Log, PositionOutOfRange
from rung.status.evaluate import time_text
from rung.status.reader import Reading, StatusReader
from rung.status.view import CountingStatus
from rung.store.port import Overtaken, Store
from rung.webhooks.changes import Change, Ladder, changes
from rung.webhooks.outbox import Outbox

EVENTS_MAX: Final = 20_000
"""The most events that are looked through at once, of each partition."""
WAITING_MAX: Final = 100_000
"""With so many messages to be sent, no more are looked for."""
_USERS_AT_ONCE: Final = 96
_PERIODS_MAX: Final = 14
"""After a longer rest, what was reached in still earlier periods is not told."""
_LOG, _REVISION, _LOOKED_AT = "log", "catalog_revision", "looked_at"
_UNBOUND: Final = repr(None)


class _Owner(msgspec.Struct):
    user_id: str


_decode_owner: Final = msgspec.json.Decoder(_Owner).decode


class _Behind(Exception):
    """Users have less than was seen of them: the store is being derived again."""


def user_key(user_id: bytes) -> bytes:
    """Return what stands for a user in the outbox: 16 bytes."""
    return hashlib.sha256(user_id).digest()[:16]


class Follower:
    """Looks at users whose events were applied, and puts what changed into the outbox."""

    def __init__(
        self,
        log: Log,
        store: Store,
        outbox: Outbox,
        clock: Callable[[], int],
        is_of_nobody: Callable[[str], bool],
    ) -> None:
        """Look at nothing yet.

        Args:
            log: Whose events tell which users to look at.
            store: What their steps are evaluated from.
            outbox: Where messages, and how far the log is followed, are kept.
            clock: Gives microseconds since the epoch.
            is_of_nobody: Tells a user id that was put in place of an erased one: nothing is told of it.
        """
        self._log = log
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._is_of_nobody = is_of_nobody
        self._reader = StatusReader(store, lambda: log.partitions)
        self._ends_due: dict[int, int] | None = None

    def round(self) -> bool:
        """Look at some users, and tell whether there may be more to look at at once.

        The first time, and when campaigns have changed or the log no longer has what follows, every user is
        looked at; else those of the events that were applied since.

        Raises:
            LogError: the log cannot be read.
            StoreError: the store cannot be read.
        """
        if self._outbox.waiting().messages >= WAITING_MAX:
            return False
        applied = {partition: state.offset + 1 for partition, state in self._store.applied().items()}
        positions = self._outbox.positions()
        log = repr(self._store.bound())
        before = self._outbox.noted(_LOG)
        if before != log:
            positions = {}
            if before not in {None, _UNBOUND} and not self._has_all_again(applied):
                return False
        try:
            if positions and self._outbox.noted(_REVISION) == str(self._store.catalog()[0]):
                try:
                    return self._follow(applied, positions)
                except PositionOutOfRange:
                    # Trimmed away before it was looked at: everybody is looked at instead.
                    return self._look_at_everybody(log, positions)
            return self._look_at_everybody(log, positions)
        except _Behind:
            return False

    def _has_all_again(self, applied: Mapping[int, int]) -> bool:
        """Tell whether another log, which has been put in place of the one that was followed, is applied.

        Its offsets are others, so they do not tell whether users have got back what they had.
        """
        if self._ends_due is None:
            self._ends_due = dict(self._log.ends())
        return all(applied.get(partition, 0) >= end for partition, end in self._ends_due.items())

    def _follow(self, applied: Mapping[int, int], positions: Mapping[int, int]) -> bool:
        """Look at the users of the events that were applied since."""
        users: dict[bytes, None] = {}
        following = dict(positions)
        for partition, end in applied.items():
            start = positions.get(partition, 0)
            until = min(end, start + EVENTS_MAX)
            if start < until:
                following[partition] = until
                for part in self._log.scan(partition, start, until):
                    users.update(dict.fromkeys(_owners(part.payloads)))
        at, since = self._span()
        is_more = any(
            following[partition] < end for partition, end in applied.items() if partition in following
        )
        if following == positions:
            return False
        found = self._changed(list(users), following, since, at)
        with self._outbox.change():
            self._put(found, at)
            self._outbox.follow_from(following)
            if not is_more:
                self._end_span(since, at)
        return is_more

    def _look_at_everybody(self, log: str, positions: Mapping[int, int]) -> bool:
        """Look at every user of the store. A crash in between starts it over, and tells nothing twice."""
        at, since = self._span()
        try:
            with self._store.survey() as survey:
                revision = survey.catalog_revision
                following = dict(positions)
                for partition, offset in survey.applied.items():
                    following[partition] = max(offset + 1, positions.get(partition, 0))
                for chunk in survey.users():
                    found = self._changed([user.user_id for user in chunk], following, since, at)
                    with self._outbox.change():
                        self._put(found, at)
        except Overtaken as error:
            raise _Behind from error
        with self._outbox.change():
            self._ends_due = None
            self._outbox.note(_LOG, log)
            self._outbox.note(_REVISION, str(revision))
            self._outbox.follow_from(following)
            self._end_span(since, at)
        return True

    def _span(self) -> tuple[int, int]:
        """Return the present, and when everything applied had been looked at before."""
        at = self._clock()
        return at, min(at, int(self._outbox.noted(_LOOKED_AT) or at))

    def _end_span(self, since: int, at: int) -> None:
        """Note that everything applied was looked at; forget periods that no look comes back to."""
        self._outbox.note(_LOOKED_AT, str(at))
        calendars = [campaign.calendar for campaign in self._reader.catalog().campaigns.values()]
        ends = [calendar.ends_at(_periods(calendar, since, at)[0]) for calendar in calendars]
        self._outbox.forget_before(min(ends, default=0))

    def _changed(
        self, users: Sequence[bytes], following: Mapping[int, int], since: int, at: int
    ) -> list[_Found]:
        """Return the steps of users, who hold at least the events before the offsets that follow.

        Raises:
            _Behind: one does not: a replay has begun, and users get back what they had.
        """
        known = [user for user in users if not self._is_of_nobody(user.decode())]
        found: list[_Found] = []
        for first in range(0, len(known), _USERS_AT_ONCE):
            chunk = [for_operator(user) for user in known[first : first + _USERS_AT_ONCE]]
            readings = self._reader.read(chunk)
            catalog = self._reader.catalog()
            for reading in readings:
                if reading.standing.applied.offset + 1 < following.get(reading.partition, 0):
                    raise _Behind
                found += _ladders(catalog, reading, since, at)
        return found

    def _put(self, found: Sequence[_Found], at: int) -> None:
        """Compare steps with what was told of them, and note what differs; inside of a change."""
        for one, counts in zip(found, self._outbox.told([one.ladder.key for one in found]), strict=True):
            messages: list[Change] = []
            for step, occurrence, change in changes(one.ladder, counts, one.counting, time_text(at)):
                counts[step] = occurrence
                messages.append(change)
            if messages:
                user = user_key(one.ladder.user_id.encode())
                self._outbox.tell(one.ladder.key, one.ends_at, counts, user, messages)


class _Found(msgspec.Struct, frozen=True):
    ladder: Ladder
    counting: CountingStatus
    ends_at: int


def _ladders(catalog: Catalog, reading: Reading, since: int, at: int) -> Iterable[_Found]:
    """Yield the steps of a user in the counting periods of each campaign that may have changed."""
    user_id = reading.user_id.decode()
    for name, campaign in catalog.campaigns.items():
        calendar = campaign.calendar
        for period in _periods(calendar, since, at):
            counting = reading.status(calendar.starts_at(period), name).campaigns[0].counting
            if counting is not None and counting.steps:
                ladder = Ladder(name, counting.version, counting.period, user_id)
                yield _Found(ladder, counting, calendar.ends_at(period))


def _periods(calendar: Calendar, since: int, at: int) -> list[Period]:
    """Return the periods from just before the one of an earlier look to the present one, the last of them.

    What comes late, or just before midnight, still changes the steps of the period that has ended.
    """
    periods = [calendar.period_at(at)]
    first = calendar.period_at(since).previous()
    while periods[-1] > first and len(periods) < _PERIODS_MAX:
        periods.append(periods[-1].previous())
    return periods[::-1]


def _owners(payloads: Iterable[bytes]) -> Iterable[bytes]:
    """Yield whose events these are; what names nobody is in quarantine, and changes nothing."""
    for payload in payloads:
        try:
            yield _decode_owner(payload).user_id.encode()
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
