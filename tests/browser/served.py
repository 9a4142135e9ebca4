"""`rung serve` for the tests of the page: a home that takes an issuer's tokens, at a port that stays."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from callers import AUDIENCE, AUTHORIZED, ISSUER, key_set, put_key
from cli.command import start
from rung.cli.main import run
from servers.ports import free_port

_APPLIED_SECONDS_MAX: Final = 60.0
SPEC = """\
campaign: step
timezone: Asia/Tokyo
currency: JPY
versions:
  - version: 0
    counts_from: 2021-01
    measures:
      payments: {count: "amount >= 300"}
      total: {sum: amount}
    reward:
      base_percent: "0.5"
      steps:
        - {name: starter, when: "payments >= 2", add_percent: "0.5"}
        - {name: gold, when: "payments >= 3 AND total >= 50000", add_percent: "0.5"}
"""


@dataclass
class Served:
    """A server that can be stopped and started again at the same address."""

    home: Path
    port: int
    _process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._process = start("--home", self.home, "serve", "--port", str(self.port))
        assert self._process.stderr is not None
        line = ""
        while "Status page: " not in line:
            line = self._process.stderr.readline()
            if not line:
                self.stop()
                raise AssertionError("rung serve ended by itself")

    def stop(self) -> None:
        """Stop it, and return when it is gone; one that does not run stays as it is."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=30)
            self._process = None

    def post(self, event: str) -> str:
        """Send an event as the payment system does, and return what a status waits for it by."""
        return self._ask("/v1/events", event.encode())["after"]

    def wait_until_applied(self, user_id: str, after: str) -> None:
        """Return when an event of a user that was posted counts; others' status does not wait for it."""
        deadline = time.monotonic() + _APPLIED_SECONDS_MAX
        while True:
            try:
                self._ask(f"/v1/users/{quote(user_id, safe='')}/status?after={after}&wait_ms=5000")
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                        raise
            else:
                return

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        headers = {**AUTHORIZED, "content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def serving(folder: Path, *allowed_origins: str) -> Generator[Served]:
    """Serve a new home with a small campaign; `allowed_origins` are the web sites that may ask."""
    home = folder / "home"
    (folder / "step.yaml").write_text(SPEC, encoding="utf-8")
    for arguments in (["init"], ["campaign", "apply", str(folder / "step.yaml")]):
        assert run(["--home", str(home), *arguments]) == 0
    put_key(home)
    (home / "jwks.json").write_bytes(key_set())
    (home / "rung.toml").write_text(
        f"""
[api]
allowed_origins = {json.dumps(allowed_origins)}

[api.tokens]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "jwks.json"
leeway_seconds = 0
""",
        encoding="utf-8",
    )
    served = Served(home, free_port())
    served.start()
    try:
        yield served
    finally:
        served.stop()
