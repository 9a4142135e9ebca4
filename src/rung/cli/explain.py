"""`rung explain`: each transaction of a user's period, counted or not, and why."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from rung.bootstrap import Home
    from rung.campaign.calendar import Period
    from rung.campaign.catalog import Catalog, CountedVersion
    from rung.log.port import Log, Slice
    from rung.status.explanation import Explanation, StepView, UserEvents


def explain(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.")],
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")],
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="Such as 2011-11, 2011-W45 or 2011-11-20.")],
    version: Annotated[
        int | None, typer.Option("--version", min=0, help="Another version than the period's own.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> ExitCode:
    """Show each transaction of a period with its reason code and what it contributes.

    Reads the user's events from the log, and from the lake what the log no longer has. Exits with 1 if the
    sum differs from the stored figures.
    """
    from rung import bootstrap
    from rung.campaign.catalog import Catalog
    from rung.cli.output import print_json
    from rung.status.explain import explain as explain_events
    from rung.status.explain import transaction_ids
    from rung.transaction.routing import partition_of

    opened = bootstrap.open_home(home)
    key = user.encode()
    with (
        bootstrap.opened_log(opened, read_only=True) as log,
        bootstrap.opened_store(opened, read_only=True) as store,
    ):
        partition = partition_of(key, bootstrap.partitions_of(opened, store, log))
        catalog = Catalog.decode(store.catalog()[1])
        counted, wanted = _chosen(catalog, campaign, period, version)
        standing = store.standing(key, partition)
        with _slices_for(opened, log, user, partition, standing.applied.offset + 1) as slices:
            events = events_of(slices, user, partition)
        stored = store.transactions(transaction_ids(events, catalog))
    found = explain_events(catalog, counted, wanted, user, events, standing.figures, stored)
    if as_json:
        print_json(found)
    else:
        _print(found)
    return ExitCode.OK if found.exact else ExitCode.PROBLEMS


def _chosen(
    catalog: Catalog, name: str, period_text: str, number: int | None
) -> tuple[CountedVersion, Period]:
    from rung.cli.catalog import campaign_of, period_of

    campaign = campaign_of(catalog, name)
    period = period_of(campaign, period_text)
    if number is None:
        serving = campaign.version_counting(period)
        if serving is None:
            raise CommandError(f"campaign {name} does not count in {period}; see `rung campaign show {name}`")
        number = serving.number
    for counted in catalog.versions:
        if counted.campaign.name == name and counted.version.number == number:
            first, last = counted.periods
            if first <= period.ordinal <= last:
                return counted, period
            raise CommandError(f"version {number} of campaign {name} does not count {period}")
    raise CommandError(f"campaign {name} has no version {number}; see `rung campaign show {name}`")


@contextmanager
def _slices_for(home: Home, log: Log, user: str, partition: int, end: int) -> Generator[Iterator[Slice]]:
    """Give the events of a partition that may be the user's, from the first one to just before an offset."""
    from rung import bootstrap
    from rung.lake.port import LakeError

    if log.starts()[partition] == 0:
        yield log.scan(partition, 0, end)
        return
    with ExitStack() as opened:
        try:
            whole = opened.enter_context(bootstrap.opened_whole_log(home, log))
        except LakeError as error:
            message = f"the log no longer has all of the user's events, and {error}"
            raise CommandError(message, ExitCode.FAILED) from error
        yield whole.scan_for(user, partition, end)


def events_of(slices: Iterable[Slice], user: str, partition: int) -> UserEvents:
    """Return the user's events among those of a partition."""
    import msgspec

    from rung.log.port import PositionOutOfRange
    from rung.status.explanation import UserEvents

    class Owner(msgspec.Struct):
        user_id: str

    decode = msgspec.json.Decoder(Owner).decode
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
                        owner = decode(payload).user_id
                    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                        # No user can be read from it: it is nobody's event, and in quarantine.
                        continue
                    if owner == user:
                        if index in part.unreadable:
                            unreadable[len(payloads)] = part.unreadable[index]
                        offsets.append(part.first_offset + index)
                        payloads.append(payload)
    except PositionOutOfRange as error:
        message = f"the log no longer has all of the user's events: {error}"
        raise CommandError(message, ExitCode.FAILED) from error
    return UserEvents(partition, offsets, payloads, unreadable)


def _print(found: Explanation) -> None:
    from rung.cli.output import count_of, print_table, say

    names = list(found.measures)
    typer.echo(f"user {found.user_id}, campaign {found.campaign}, {found.period}, version {found.version}")
    if found.transactions:
        rows = [
            (
                one.transaction_id,
                _reason(one.reason, one.below_condition),
                *(f"{one.contributions[name]:+,}" if one.contributions[name] else "" for name in names),
                _history_text(one.history) + (f" ({one.detail})" if one.detail else ""),
            )
            for one in found.transactions
        ]
        total = ("sum", "", *(f"{found.measures[name]:,}" for name in names), "")
        print_table(("transaction", "reason", *names, "history"), [*rows, total], names)
    else:
        typer.echo("no transaction in this period")
    for event in found.rejected:
        typer.echo(f"not applied: {event.partition}:{event.offset} {event.reason}: {event.detail}")
    if found.partial:
        say("Events before the version was applied are not counted; `rung replay` counts them.")
    if found.exact:
        say(f"The sum of {count_of(len(found.transactions), 'transaction')} equals the stored figures.")
    else:
        say(f"error: the stored figures differ: {dict(found.stored)}; `rung replay` derives them again")


def _reason(reason: str, below_condition: tuple[str, ...]) -> str:
    """Return `counted`, `counted, but below_condition:payments`, `below_condition:payments,total`."""
    if not below_condition:
        return reason
    below = f"below_condition:{','.join(below_condition)}"
    return f"{reason}, but {below}" if reason == "counted" else below


def _history_text(history: Sequence[StepView]) -> str:
    return ", ".join(f"{step.status} {step.amount:,} {step.at}" for step in history)
