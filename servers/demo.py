"""`python -m servers.demo`, which is `make demo-scale`: the main job on both servers, with two workers.

Everything is the command line's own, on a home in a temporary folder: topics and tables are made, two
campaigns applied, two workers started, 40,912 real events ingested, and three users shown. Then the API
serves until Ctrl-C; with `--once` it ends there.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from servers.dynamodb import ACCESS_KEY, SECRET_KEY, DynamoDbLocal
from servers.errors import ServerError
from servers.jars import PROJECT, fetch, read_lock
from servers.kafka import Kafka

EXAMPLE: Final = PROJECT / "examples" / "online-retail"
SPECS: Final = ("retail.yaml", "big-basket.yaml")
USERS: Final = ("12757", "17850", "14911")
AT: Final = "2011-11-20"
_STOP_SECONDS_MAX: Final = 20

_SETTINGS: Final = """\
[log]
kind = "kafka"
[kafka]
bootstrap_servers = "{bootstrap}"
[store]
kind = "dynamodb"
[dynamodb]
region = "eu-central-1"
endpoint_url = "{endpoint}"
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo, and return its exit code: 0 done, 5 the machine or a server refused."""
    parser = argparse.ArgumentParser(prog="python -m servers.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after printing")
    once = parser.parse_args(arguments).once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for name in read_lock():
            fetch(name)
        with tempfile.TemporaryDirectory(prefix="rung-demo-scale-") as folder:
            _demo(Path(folder), once=once)
    except ServerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 5
    except KeyboardInterrupt:
        _say("\nStopped")
    return 0


def _demo(folder: Path, *, once: bool) -> None:
    with ExitStack() as running:
        _say("1. Kafka and DynamoDB Local, on loopback")
        kafka = running.enter_context(Kafka.start(folder / "kafka"))
        dynamodb = running.enter_context(DynamoDbLocal.start(folder / "dynamodb", in_memory=True))
        os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        home = folder / "home"
        home.mkdir()
        settings = _SETTINGS.format(bootstrap=kafka.bootstrap, endpoint=dynamodb.endpoint)
        (home / "rung.toml").write_text(settings, encoding="utf-8")
        _say("\n2. A topic of four partitions, three tables, two campaigns")
        _rung(home, "log", "create", "--partitions", "4", "--replication-factor", "1")
        _rung(home, "store", "create")
        _rung(home, "campaign", "apply", *(str(EXAMPLE / spec) for spec in SPECS))
        _say("\n3. Two workers, and the events of an online shop")
        for number in range(2):
            running.enter_context(_worker(home, folder / f"worker-{number}.log"))
        _rung(home, "ingest", "--wait", str(EXAMPLE / "events.ndjson.xz"))
        _rung(home, "lag")
        _say(f"\n4. Three users on {AT}")
        for user in USERS:
            _rung(home, "status", user, "--at", AT)
        if not once:
            _say("\n5. Serving until Ctrl-C")
            # A key for whoever tries the API; the home, and the key with it, ends with the demo.
            _rung(home, "keys", "create", "demo", "--scope", "status:read", "--scope", "events:write")
            _rung(home, "serve")


@contextmanager
def _worker(home: Path, log_file: Path) -> Generator[None]:
    """Run a worker, and stop it after what it has in hand."""
    with log_file.open("wb") as log, subprocess.Popen(_command(home, "worker"), stderr=log) as worker:
        try:
            yield
        finally:
            worker.terminate()
            try:
                worker.wait(_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                worker.kill()


def _rung(home: Path, *arguments: str) -> None:
    code = subprocess.run(_command(home, *arguments), check=False).returncode
    if code != 0:
        raise ServerError(f"rung {' '.join(arguments)} ended with {code}; its error stands above")


def _command(home: Path, *arguments: str) -> list[str]:
    program = "from rung.cli.main import main; main()"
    return [sys.executable, "-c", program, "--home", str(home), *arguments]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
