"""The console's listener ends when it is told to, whenever that is."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

_SECONDS_MAX = 60.0
# A process of its own, because the signal is for all of it.
_SERVING = """
import os, signal, sys
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from rung.console.origin import Origin
from rung.console.serve import serve

def at(moment):
    if moment == sys.argv[1]:
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))

@asynccontextmanager
async def lifespan(application):
    at("before it listens")
    yield
    print("stopped")

def started(url):
    print(url)
    at("as it listens")

serve(Starlette(lifespan=lifespan), "127.0.0.1", 0, Origin(""), started)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    ("moment", "told"),
    [("before it listens", r"(http://\S+\n)?stopped\n"), ("as it listens", r"http://\S+\nstopped\n")],
)
def test_told_to_stop(moment: str, told: str, name: str) -> None:
    """It stops in good order, and waits for no port that will never answer; it may have listened for a moment."""
    ended = subprocess.run(
        [sys.executable, "-c", _SERVING, moment, name],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_MAX,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(told, ended.stdout)
