"""`rung replay`: derive the state from the whole log again."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import typer

from rung.cli.author import ByOption, author_of
from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from collections.abc import Generator

    from rung.bootstrap import Home
    from rung.log.port import Log


def replay(
    home: HomeOption = DEFAULT_HOME, yes: YesOption = False, by: ByOption = None, as_json: JsonOption = False
) -> None:
    """Forget what was derived from the log and apply all of it again.

    Needed when a campaign was applied after events had been: then its versions count all events
    from the beginning. What an embedded log no longer has is read from the lake. While it runs, statuses
    show less than there is; what was earned in closed periods is told all the same. With Kafka other workers
    may run meanwhile: they are overtaken, begin anew, and take their part of the work.
    """
    import threading

    from rung import bootstrap
    from rung.batch.lease import only_job
    from rung.batch.settlement.closed import those_written
    from rung.batch.settlement.kept_steps import Keeping, keep_steps
    from rung.campaign.catalog import Catalog
    from rung.cli.output import count_of, print_json, say
    from rung.cli.work import apply_events

    home_opened = bootstrap.open_home(home)
    with (
        bootstrap.only_worker(home_opened),
        bootstrap.opened_log(home_opened) as log,
        bootstrap.opened_store(home_opened) as store,
        # What is read may not be trimmed or compacted meanwhile, and no batch job compares with half of it.
        only_job(home_opened.batch_folder, "replay"),
        ExitStack() as opened,
    ):
        starts = {partition: start for partition, start in log.starts().items() if start > 0}
        whole = opened.enter_context(_opened_whole(home_opened, log, sorted(starts))) if starts else log
        if not yes:
            events = count_of(sum(log.ends().values()), "event")
            archived = f", {sum(starts.values()):,} of them from the lake," if starts else ""
            typer.confirm(f"Forget all figures and apply {events}{archived} again?", abort=True, err=True)
        catalog = Catalog.decode(store.catalog()[1])
        closed = those_written(home_opened.batch_folder, catalog)
        who = author_of(by, None).who if closed else ""
        store.reset(catalog.from_the_beginning().encode())
        if closed:
            keeping = Keeping(store, log.partitions, bootstrap.clock, who, "replay", "closed periods")
            keep_steps(keeping, closed, _unheard)
        work = apply_events(home_opened, whole, store, threading.Event(), until_caught_up=True)
    if as_json:
        seconds = round(work.seconds, 3)
        print_json({"events": work.events, "quarantined": work.quarantined, "seconds": seconds})
    else:
        say(f"Applied {count_of(work.events, 'event')} again; quarantined {work.quarantined:,}")


def _unheard(_: int) -> None:
    """Say nothing of the steps that are kept."""


@contextmanager
def _opened_whole(home: Home, log: Log, trimmed: list[int]) -> Generator[Log]:
    """Give the log with what was trimmed away, from the lake."""
    from rung import bootstrap
    from rung.lake.port import LakeError

    begin = f"the log no longer begins with its first event in {_partitions_text(trimmed)}"
    lost = "a replay would lose what was trimmed away"
    if home.has_kafka:
        # Workers share the partitions, and only this process would read the lake.
        raise CommandError(
            f"{begin}: {lost}. The lake has the events, and `rung batch` computes and repairs figures from "
            "it; a replay of a topic reads the topic alone",
            ExitCode.FAILED,
        )
    with ExitStack() as opened:
        try:
            whole = opened.enter_context(bootstrap.opened_whole_log(home, log))
        except LakeError as error:
            raise CommandError(f"{begin}, and {error}: {lost}", ExitCode.FAILED) from error
        yield whole


def _partitions_text(partitions: list[int]) -> str:
    return f"partition{'' if len(partitions) == 1 else 's'} {', '.join(map(str, partitions))}"
