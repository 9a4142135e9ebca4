"""The transactions behind a user's figures, from the log, and from the lake what the log no longer has."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import msgspec

from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog, CountedVersion
from rung.lake.archived import ArchivedLog
from rung.lake.port import LakeError
from rung.log.port import Log, PositionOutOfRange, Slice
from rung.operations.catalog import campaign_of, period_of
from rung.operations.errors import OperationRefused
from rung.status.explain import explain as explain_events
from rung.status.explain import transaction_ids
from rung.status.explanation import Explanation, UserEvents
from rung.store.port import Store
from rung.transaction.routing import partition_of

OpenWhole = Callable[[Log], AbstractContextManager[ArchivedLog]]
"""Opens a log together with the lake."""


class EventsGone(Exception):
    """The log no longer has all of a user's events, and there is no lake that does."""


class _Owner(msgspec.Struct):
    user_id: str


_decode_owner = msgspec.json.Decoder(_Owner).decode


def explain(
    log: Log,
    store: Store,
    whole: OpenWhole,
    partitions: int,
    user: str,
    campaign: str,
    period: str,
    version: int | None = None,
) -> Explanation:
    """Return each transaction of a user's period with its reason, and what it contributes.

    Args:
        log: The log.
        store: The store.
        whole: Opens the log together with the lake, if the log does not have all.
        partitions: How many partitions the log has.
        user: The user's id.
        campaign: The campaign's name.
        period: The counting period, as text.
        version: Another version than the period's own.

    Raises:
        UnknownCampaign: there is no such campaign.
        OperationRefused: it does not count the period, or has no such version.
        EventsGone: the events cannot all be read any more.
    """
    key = user.encode()
    partition = partition_of(key, partitions)
    catalog = Catalog.decode(store.catalog()[1])
    counted, wanted = _chosen(catalog, campaign, period, version)
    standing = store.standing(key, partition)
    with _slices_for(log, whole, user, partition, standing.applied.offset + 1) as slices:
        events = events_of(slices, user, partition)
    stored = store.transactions(transaction_ids(events, catalog))
    return explain_events(catalog, counted, wanted, user, events, standing.figures, stored)


def _chosen(
    catalog: Catalog, name: str, period_text: str, number: int | None
) -> tuple[CountedVersion, Period]:
    campaign = campaign_of(catalog, name)
    period = period_of(campaign, period_text)
    if number is None:
        serving = campaign.version_counting(period)
        if serving is None:
            raise OperationRefused(
                f"campaign {name} does not count in {period}; see `rung campaign show {name}`"
            )
        number = serving.number
    for counted in catalog.versions:
        if counted.campaign.name == name and counted.version.number == number:
            first, last = counted.periods
            if first <= period.ordinal <= last:
                return counted, period
            raise OperationRefused(f"version {number} of campaign {name} does not count {period}")
    raise OperationRefused(f"campaign {name} has no version {number}; see `rung campaign show {name}`")


@contextmanager
def _slices_for(
    log: Log, whole: OpenWhole, user: str, partition: int, end: int
) -> Generator[Iterator[Slice]]:
    """Give the events of a partition that may be the user's, from the first one to just before an offset."""
    if log.starts()[partition] == 0:
        yield log.scan(partition, 0, end)
        return
    with ExitStack() as opened:
        try:
            archived = opened.enter_context(whole(log))
        except LakeError as error:
            raise EventsGone(f"the log no longer has all of the user's events, and {error}") from error
        yield archived.scan_for(user, partition, end)


def events_of(slices: Iterable[Slice], user: str, partition: int) -> UserEvents:
    """Return the user's events among those of a partition.

    Raises:
        EventsGone: the log no longer has some that were asked for.
    """
    key = user.encode()
    offsets: list[int] = []
    payloads: list[bytes] = []
    unreadable: dict[int, str] = {}
    try:
        for part in slices:
            for index, payload in enumerate(part.payloads):
                # JSON may spell an id with escapes, so only their absence allows a plain search.
                if key in payload or b"\\" in payload:
                    try:
                        owner = _decode_owner(payload).user_id
                    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                        # No user can be read from it: it is nobody's event, and in quarantine.
                        continue
                    if owner == user:
                        if index in part.unreadable:
                            unreadable[len(payloads)] = part.unreadable[index]
                        offsets.append(part.first_offset + index)
                        payloads.append(payload)
    except PositionOutOfRange as error:
        raise EventsGone(f"the log no longer has all of the user's events: {error}") from error
    return UserEvents(partition, offsets, payloads, unreadable)
