"""`rung replay`: derive the state from the whole log again."""

from __future__ import annotations

import typer

from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption


def replay(home: HomeOption = DEFAULT_HOME, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Forget what was derived from the log and apply all of it again.

    Needed when a campaign was applied after events had been: then its versions count all events
    from the beginning. While it runs, statuses show less than there is. With Kafka other workers may
    run meanwhile: they are overtaken, begin anew, and take their part of the work.
    """
    import dataclasses
    import threading

    from rung import bootstrap
    from rung.campaign.catalog import Catalog
    from rung.cli.output import count_of, print_json, say
    from rung.cli.work import apply_events

    opened = bootstrap.open_home(home)
    with (
        bootstrap.only_worker(opened),
        bootstrap.opened_log(opened) as log,
        bootstrap.opened_store(opened) as store,
    ):
        trimmed = sorted(partition for partition, start in log.starts().items() if start > 0)
        if trimmed:
            message = (
                f"the log no longer begins with its first event in {_partitions_text(trimmed)}: "
                "a replay would lose what was trimmed away"
            )
            raise CommandError(message, ExitCode.FAILED)
        ends = log.ends()
        if not yes:
            events = count_of(sum(ends.values()), "event")
            typer.confirm(f"Forget all figures and apply {events} again?", abort=True, err=True)
        catalog = Catalog.decode(store.catalog()[1])
        # From now on every version counts from the first event.
        versions = tuple(dataclasses.replace(counted, starts={}) for counted in catalog.versions)
        store.reset(dataclasses.replace(catalog, versions=versions).encode())
        work = apply_events(opened, log, store, threading.Event(), until_caught_up=True)
    if as_json:
        seconds = round(work.seconds, 3)
        print_json({"events": work.events, "quarantined": work.quarantined, "seconds": seconds})
    else:
        say(f"Applied {count_of(work.events, 'event')} again; quarantined {work.quarantined:,}")


def _partitions_text(partitions: list[int]) -> str:
    return f"partition{'' if len(partitions) == 1 else 's'} {', '.join(map(str, partitions))}"
