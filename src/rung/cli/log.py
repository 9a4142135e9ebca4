"""`rung log`: the topics of a log on Kafka; of an embedded one, where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.bootstrap import Home

app = typer.Typer(help="Make or describe the log's topics.", rich_markup_mode=None)


@app.command()
def create(
    partitions: Annotated[
        int, typer.Option("--partitions", min=1, max=1_024, help="As many workers can share the work.")
    ],
    replication_factor: Annotated[
        int, typer.Option("--replication-factor", min=1, help="On how many brokers each event is kept.")
    ],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make the topic of events, and the one of the quarantine; what is there stays as it is.

    The number of partitions cannot change later without a replay.
    """
    from rung import bootstrap, servers
    from rung.cli.output import count_of, say

    opened = bootstrap.open_home(home)
    if not opened.has_kafka:
        say(f"{_embedded_text(opened)}; there is nothing to make")
        return
    made = servers.create_topics(opened, partitions, replication_factor)
    for name in made:
        say(f"Made: {name} with {count_of(partitions, 'partition')}")
    if not made:
        say("All topics were there: rung log describe")


@app.command()
def describe(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Show the topics; exits with 1 if the one of events is missing."""
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


def _embedded_text(home: Home) -> str:
    return f"The log is embedded (LMDB): the folder {home.log_folder}, made by `rung init`"
