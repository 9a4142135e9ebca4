"""`python -m servers`, which is `make servers`: Kafka and DynamoDB Local in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from servers.classes import write_archive
from servers.dynamodb import ACCESS_KEY, SECRET_KEY, DynamoDbLocal
from servers.dynamodb import JVM as DYNAMODB_JVM
from servers.errors import ServerError
from servers.jars import PROJECT, fetch, read_lock
from servers.kafka import JVM as KAFKA_JVM
from servers.kafka import Kafka
from servers.ports import free_port, is_free
from servers.process import ServerProcess

FOLDER: Final = PROJECT / ".servers"
KAFKA_PORT: Final = 9092
DYNAMODB_PORT: Final = 8000
_LOOK_SECONDS: Final = 0.5

_HOW_TO_USE: Final = """\
Both run. In rung.toml:

[log]
kind = "kafka"

[kafka]
bootstrap_servers = "{bootstrap}"

[store]
kind = "dynamodb"

[dynamodb]
region = "eu-central-1"
endpoint_url = "{endpoint}"

and where rung runs, credentials that only the emulator takes:

export AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret_key}

Then: rung log create --partitions 4 --replication-factor 1, rung store create.

Data and logs are in {folder}. Ctrl-C stops both; `--fresh` starts without data.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command, and return its exit code: 0 done, 5 the machine or a server refused."""
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "fetch", "lock"], default="run")
    parser.add_argument("--fresh", action="store_true", help="empty the data first")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where data and logs are")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "lock":
            from servers.lock import write_lock

            _say(f"{write_lock()} jars are locked")
        else:
            _fetch()
            if chosen.command == "run":
                _run(chosen.folder, fresh=chosen.fresh)
    except ServerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 5
    return 0


def _fetch() -> None:
    for name, jars in read_lock().items():
        _say(f"{name}: {len(jars)} jars ...")
        came = fetch(name)
        _say(f"{name}: {came} fetched, all verified")
    _archive(Kafka, KAFKA_JVM)
    _archive(DynamoDbLocal, DYNAMODB_JVM)


def _archive(kind: type[Kafka | DynamoDbLocal], jvm: tuple[str, ...]) -> None:
    """Write down which classes a server loads, so that it starts sooner from now on."""
    with tempfile.TemporaryDirectory() as folder:
        path = kind(Path(folder)).archive
    if write_archive(path, lambda place, option: kind(place, jvm=(*jvm, option))):
        _say(f"{path.name}: written, for sooner starts")


def _run(folder: Path, *, fresh: bool) -> None:
    places = (folder / "kafka", folder / "dynamodb")
    if fresh:
        for place in places:
            if place.exists():
                shutil.rmtree(place)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with ExitStack() as running:
            _say("Starting Kafka ...")
            kafka = running.enter_context(Kafka.start(places[0], port=_port(KAFKA_PORT)))
            _say("Starting DynamoDB Local ...")
            dynamodb = running.enter_context(DynamoDbLocal.start(places[1], port=_port(DYNAMODB_PORT)))
            _say(
                _HOW_TO_USE.format(
                    bootstrap=kafka.bootstrap,
                    endpoint=dynamodb.endpoint,
                    access_key=ACCESS_KEY,
                    secret_key=SECRET_KEY,
                    folder=folder,
                )
            )
            _watch(kafka, dynamodb)
    except _Stopped as stopped:
        _say(f"Stopped by {stopped}")


class _Stopped(BaseException):
    """A signal asked to stop; not an `Exception`, so that nothing else handles it."""


def _watch(*servers: ServerProcess) -> None:
    """Return never: raise when a server ends, or when a signal comes."""
    while True:
        for server in servers:
            if not server.running:
                raise ServerError(f"{server.name} ended by itself: see {server.log_file}")
        time.sleep(_LOOK_SECONDS)


def _stop(number: int, _frame: object) -> None:
    # A second signal must not stop the stopping.
    for again in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(again, signal.SIG_IGN)
    raise _Stopped(signal.Signals(number).name)


def _port(usual: int) -> int:
    return usual if is_free(usual) else free_port()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
