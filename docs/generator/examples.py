"""The examples of the API's description, captured from a server that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.request import Request, urlopen

from rung.access.permissions import Scope

PROJECT: Final = Path(__file__).parents[2]
AT: Final = "2026-11-20"
AFTER: Final = "AQAAAAAAAQE"
"""Stands for what the server answered, which names its own log."""
_RUNG: Final = (sys.executable, "-c", "from rung.cli.main import main; main()")
_WAIT_SECONDS: Final = 30

_EVENT: Final = {
    "transaction_id": "t1",
    "user_id": "ann",
    "attributes": {"country": "France", "lines": 3},
    "history": [
        {"status": "CREATED", "at": "2026-11-05T14:32:05Z", "amount": 60_000},
        {"status": "COMPLETED", "at": "2026-11-05T14:32:06Z", "amount": 60_000},
    ],
}
_QUESTION: Final = {"user_ids": ["ann", "bob"], "at": AT, "campaign": "retail"}


def captured() -> dict[str, dict[str, Any]]:
    """Return "METHOD path" -> the example of the answer, and of the body where there is one."""
    with TemporaryDirectory(prefix="rung-docs-") as folder:
        home = Path(folder) / "home"
        _run(home, "init")
        _run(home, "campaign", "apply", str(PROJECT / "examples" / "online-retail" / "retail.yaml"))
        scopes = [word for scope in Scope for word in ("--scope", scope.value)]
        key = json.loads(_run(home, "keys", "create", "docs", *scopes, "--json"))["key"]
        with _served(home) as url:
            return _asked(url, key)


def _asked(url: str, key: str) -> dict[str, dict[str, Any]]:
    def ask(path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        with urlopen(Request(f"{url}{path}", data, headers), timeout=_WAIT_SECONDS) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    accepted = ask("/v1/events", _EVENT)
    after = f"after={accepted['after']}&wait_ms=10000"
    status = ask(f"/v1/users/ann/status?at={AT}&{after}")
    explained = "/v1/users/ann/explain?campaign=retail&period=2026-11"
    return {
        "POST /v1/events": {"request": _EVENT, "response": {**accepted, "after": AFTER}},
        "GET /v1/users/{user_id}/status": {"response": status},
        "GET /v1/users/{user_id}/campaigns/{campaign}": {
            "response": ask(f"/v1/users/ann/campaigns/retail?at={AT}")
        },
        "GET /v1/users/{user_id}/explain": {"response": ask(explained)},
        "POST /v1/users/status": {"request": _QUESTION, "response": ask("/v1/users/status", _QUESTION)},
        "GET /v1/campaigns": {"response": ask("/v1/campaigns")},
        "GET /healthz": {"response": ask("/healthz")},
        "GET /readyz": {"response": ask("/readyz")},
    }


def environment() -> Mapping[str, str]:
    """Return this process's variables without Rung's settings, and with the project's sources."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNG_")}
    return {**kept, "PYTHONPATH": str(PROJECT / "src"), "PYTHONUNBUFFERED": "1"}


def _run(home: Path, *arguments: str) -> str:
    command = [*_RUNG, "--home", str(home), *arguments]
    return subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout


@contextmanager
def _served(home: Path) -> Generator[str]:
    """Serve a home on a free port, and give the server's address."""
    command = [*_RUNG, "--home", str(home), "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        first = server.stderr.readline()
        try:
            if "http://" not in first:
                raise RuntimeError(f"the server did not start: {first}{server.stderr.read()}")
            yield first.split()[-1].rstrip("/")
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=_WAIT_SECONDS)
