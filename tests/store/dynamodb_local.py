"""One DynamoDB Local for all tests of a process, and stores of their own in it.

`emulator()` starts it when it is first asked for, and stops it when the process ends. A test that stops an
emulator starts one of its own.
"""

from __future__ import annotations

import atexit
import os
from functools import cache
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from uuid import uuid4

from rung.store.dynamodb.settings import DynamoSettings
from rung.store.dynamodb.tables import create_tables
from servers.dynamodb import ACCESS_KEY, SECRET_KEY, DynamoDbLocal

REGION = "eu-central-1"

_numbers = count()
_run = uuid4().hex[:8]


def credentials() -> dict[str, str]:
    """Return the variables that let a process use the emulator."""
    return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@cache
def emulator() -> DynamoDbLocal:
    """Return the emulator of this process; from now on the process has its credentials."""
    folder = Path(mkdtemp(prefix="rung-dynamodb-"))
    local = DynamoDbLocal.start(folder, in_memory=True)
    atexit.register(rmtree, folder)
    atexit.register(local.stop)
    os.environ |= credentials()
    return local


def new_settings(
    endpoint: str = "",
    *,
    request_timeout_seconds: float = 5.0,
    attempts_max: int = 6,
    concurrent_calls: int = 8,
) -> DynamoSettings:
    """Return the settings of tables of a name that was never used, on the shared emulator by default."""
    return DynamoSettings(
        REGION,
        endpoint or emulator().endpoint,
        f"rung-{_run}-{next(_numbers)}",
        request_timeout_seconds,
        attempts_max,
        concurrent_calls,
    )


def made(settings: DynamoSettings) -> DynamoSettings:
    """Make the tables, and return the settings."""
    create_tables(settings)
    return settings
