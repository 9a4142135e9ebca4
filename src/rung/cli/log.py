"""`rung log`: the topics of a log on Kafka; of an embedded one, where it is, and its trimming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.bootstrap import Home

app = typer.Typer(help="Make or describe the log's topics; trim an embedded log.", rich_markup_mode=None)


@app.command()
def create(
    partitions: Annotated[
        int, typer.Option("--partitions", min=1, max=1_024, help="As many workers can share the work.")
    ],
    replication_factor: Annotated[
        int, typer.Option("--replication-factor", min=1, help="On how many brokers each event is kept.")
    ],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make the topics of events and of the quarantine.

    What is there stays as it is. The number of partitions cannot change later without a replay.
    """
    from rung import bootstrap, servers
    from rung.cli.output import count_of, print_json, say

    opened = bootstrap.open_home(home)
    made = servers.create_topics(opened, partitions, replication_factor) if opened.has_kafka else ()
    if as_json:
        print_json({"kind": opened.settings.log.kind, "made": list(made)})
        return
    if not opened.has_kafka:
        say(f"{_embedded_text(opened)}; there is nothing to make")
        return
    for name in made:
        say(f"Made: {name} with {count_of(partitions, 'partition')}")
    if not made:
        say("All topics were there: rung log describe")


@app.command()
def describe(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Show the topics. Exits with 1 if the one of events is missing."""
    from rung import bootstrap, servers
    from rung.cli.output import print_json, print_table, say

    opened = bootstrap.open_home(home)
    if not opened.has_kafka:
        if as_json:
            folder, partitions = str(opened.log_folder), opened.settings.log.partitions
            print_json({"kind": "embedded", "folder": folder, "partitions": partitions})
        else:
            say(_embedded_text(opened))
        return ExitCode.OK
    topics = servers.describe_topics(opened)
    if as_json:
        print_json({"kind": "kafka", "topics": topics})
    else:
        rows = [
            (
                topic.name,
                topic.topic_id,
                str(topic.partitions),
                str(topic.replication_factor),
                ", ".join(f"{name}={value}" for name, value in topic.settings.items()),
            )
            for topic in topics
        ]
        print_table(("topic", "id", "partitions", "replicas", "settings"), rows, ("partitions", "replicas"))
    events = opened.settings.kafka.topic
    if any(topic.name == events for topic in topics):
        return ExitCode.OK
    say(f"error: there is no topic {events}: rung log create --partitions N --replication-factor R")
    return ExitCode.PROBLEMS


@app.command()
def trim(
    home: HomeOption = DEFAULT_HOME,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only show what would be done.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete from an embedded log what is archived and applied.

    Nothing else is deleted. The files of the lake that hold it are read and checked before. Whole blocks
    are deleted, so some events more may stay.
    """
    from rung import bootstrap
    from rung.batch.lease import only_job
    from rung.batch.trim import plan_trim, trim_behind
    from rung.cli.output import count_of, print_json, print_table, say

    opened = bootstrap.open_home(home)
    with (
        bootstrap.opened_log(opened) as log,
        bootstrap.opened_store(opened, read_only=True) as store,
        bootstrap.opened_lake(opened) as lake,
        only_job(opened.batch_folder, "trim"),
    ):
        planned = plan_trim(log, lake, store)
        starts = dict(trim_behind(log, lake, store)) if yes else {p: one.start for p, one in planned.items()}
    if as_json:
        partitions = [
            {"partition": partition, **one._asdict(), "before": one.before, "start_now": starts[partition]}
            for partition, one in planned.items()
        ]
        print_json({"trimmed": yes, "partitions": partitions})
        return
    columns = ("partition", "start", "archived", "applied", "trim before", "start now")
    rows = [
        (
            str(partition),
            *(f"{number:,}" for number in (*one, one.before, starts[partition])),
        )
        for partition, one in planned.items()
    ]
    print_table(columns, rows, columns)
    events = sum(one.before - one.start for one in planned.values())
    if yes:
        deleted = sum(starts[partition] - one.start for partition, one in planned.items())
        say(f"Deleted {count_of(deleted, 'event')} from the log; the lake has them.")
    else:
        say(f"{count_of(events, 'event')} can be deleted, in whole blocks: rung --home {home} log trim --yes")


def _embedded_text(home: Home) -> str:
    return f"The log is embedded (LMDB): the folder {home.log_folder}, made by `rung init`"
