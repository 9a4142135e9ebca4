"""`rung prune` and `rung batch settle`: forget what is no longer kept, and settle what comes of it later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rung.cli.author import ByOption, OptionalReasonOption, author_of
from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from rung.batch.retention.prune import Pruned
    from rung.batch.retention.settle_pruned import SettledEvents
    from rung.campaign.catalog import Catalog


def prune(
    home: HomeOption = DEFAULT_HOME,
    yes: YesOption = False,
    by: ByOption = None,
    reason: OptionalReasonOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Forget what is older than any campaign keeps. Without --yes, only show what would go.

    The lake keeps every event. It may run beside workers, and be cut short and run again.
    """
    from rung import bootstrap
    from rung.batch.retention.prune import plan_prune
    from rung.batch.retention.prune import prune as prune_store
    from rung.cli.output import LiveLine, print_json, say

    opened = bootstrap.open_home(home)
    with bootstrap.opened_workshop(opened, "prune") as workshop, bootstrap.opened_mirror(opened) as mirror:
        if yes:
            author = author_of(by, reason)
            line = LiveLine()
            done = prune_store(workshop, author.who, author.reason, line.show, mirror.forget)
        else:
            done = plan_prune(workshop)
    if as_json:
        print_json(_described(done, yes=yes))
    else:
        _print(done, yes=yes)
        if not yes and not done.horizon.refusals:
            say(f"Nothing was changed. To do it: rung --home {home} prune --yes")
    return ExitCode.PROBLEMS if done.horizon.refusals else ExitCode.OK


def settle(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Settle events of pruned transactions from the lake.

    They are in quarantine, and are settled once. Exits with 1 if events are left that cannot be settled.
    """
    from rung import bootstrap
    from rung.batch.retention.settle_pruned import settle_pruned
    from rung.cli.output import LiveLine, count_of, print_json

    opened = bootstrap.open_home(home)
    line = LiveLine()
    with bootstrap.opened_workshop(opened, "settle") as workshop, bootstrap.opened_mirror(opened) as mirror:
        done = settle_pruned(
            workshop, lambda count: line.show(f"Looked at {count_of(count, 'event')}"), mirror.forget
        )
    if as_json:
        print_json(_settled(done))
    else:
        _print_settled(done)
    return ExitCode.PROBLEMS if done.left else ExitCode.OK


def _settled(done: SettledEvents) -> dict[str, int]:
    return {
        "released": done.released,
        "transactions": done.transactions,
        "conflicts": done.conflicts,
        "left": done.left,
    }


def _first_periods(catalog: Catalog) -> dict[str, str | None]:
    from rung.batch.retention.horizon import first_text

    return {
        f"{counted.campaign.name}/{counted.version.number}": first_text(counted.campaign, counted.periods)
        for counted in catalog.versions
    }


def _described(done: Pruned, *, yes: bool) -> dict[str, object]:
    from rung.batch.retention.horizon import instant_text

    horizon = done.horizon
    return {
        "done": yes,
        "refusals": list(horizon.refusals),
        "notes": list(horizon.notes),
        "kept_from": {
            "before": instant_text(horizon.before.kept_from),
            "after": instant_text(horizon.after.kept_from),
        },
        "first_periods": {
            "before": _first_periods(horizon.before),
            "after": _first_periods(horizon.after),
        },
        "transactions": done.swept.transactions,
        "users": done.swept.users,
        "waiting": done.waiting,
        "settled": _settled(done.settled) if yes else None,
        "log_starts": None if done.starts is None else {str(key): at for key, at in done.starts.items()},
    }


def _print(done: Pruned, *, yes: bool) -> None:
    from rung.batch.retention.horizon import instant_text
    from rung.cli.output import count_of, print_table, say

    horizon = done.horizon
    before, after = _first_periods(horizon.before), _first_periods(horizon.after)
    kept_from = instant_text(horizon.after.kept_from)
    if kept_from is None:
        say("Everything is kept: there is nothing older than the campaigns keep")
    else:
        was = instant_text(horizon.before.kept_from)
        since = "" if was == kept_from else f" ({'everything was kept' if was is None else f'{was} before'})"
        say(f"Kept from {kept_from}{since}")
    moved: Sequence[tuple[str, str, str]] = [
        (name, before[name] or "none", after[name] or "none") for name in after if after[name] != before[name]
    ]
    if moved:
        print_table(("version", "counted from", "counts from"), moved)
    say(
        f"{'Removed' if yes else 'Would remove'} {count_of(done.swept.transactions, 'transaction')}, "
        f"and figures of {count_of(done.swept.users, 'user')}"
    )
    if yes:
        _print_settled(done.settled)
        say("To prove it: rung batch verify")
    elif done.waiting:
        say(f"Would settle {count_of(done.waiting, 'event')} that came of pruned transactions")
    if done.starts is None:
        say("The topic deletes events by its own rule (retention.ms)")
    for note in horizon.notes:
        say(f"note: {note}")
    for refusal in horizon.refusals:
        say(f"error: {refusal}")


def _print_settled(done: SettledEvents) -> None:
    from rung.cli.output import count_of, say

    say(
        f"Settled {count_of(done.released, 'event')}, and kept {count_of(done.transactions, 'transaction')} "
        "with what they add"
    )
    if done.conflicts:
        say(f"In quarantine as conflicts now: {count_of(done.conflicts, 'event')}")
    if done.left:
        say(f"Not settled: {count_of(done.left, 'event')}; run `rung batch verify`, and repair what it finds")
