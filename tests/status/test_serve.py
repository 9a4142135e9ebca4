"""The processes of `rung serve`: how they start, and how they end together."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from cli.command import SPEC, purchase
from end_to_end.test_kill import children_of, serving, wait_until_gone
from rung.cli.errors import ExitCode
from rung.cli.main import run
from rung.status.serve import STOP_SECONDS_MAX, ServeError, loopback_address

REFUSED = (
    "refused to listen on '0.0.0.0': the API has no authentication, so it only listens on loopback. "
    "Use 127.0.0.1, ::1 or localhost."
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with a small campaign."""
    spec = tmp_path / "small.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    for arguments in (["init"], ["campaign", "apply", str(spec)]):
        assert run(["--home", str(tmp_path / "home"), *arguments]) == 0
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("host", "address"),
    [("localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("127.8.9.1", "127.8.9.1"), ("::1", "::1")],
)
def test_loopback(host: str, address: str) -> None:
    """Loopback addresses are taken as they are, and localhost as the first of them."""
    assert loopback_address(host) == address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "localhost.example", "", "::ffff:8.8.8.8"])
def test_not_loopback(host: str) -> None:
    """Every other host is refused by name."""
    with pytest.raises(ServeError) as caught:
        loopback_address(host)
    assert str(caught.value) == REFUSED.replace("0.0.0.0", host)


def test_refused_before_anything_starts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says why it does not listen, and fails."""
    capsys.readouterr()
    assert run(["--home", str(home), "serve", "--host", "0.0.0.0"]) == ExitCode.FAILED
    assert capsys.readouterr().err == f"error: {REFUSED}\n"


def test_a_taken_port(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that something listens on is named, with the way out."""
    capsys.readouterr()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["--home", str(home), "serve", "--port", str(port)]) == ExitCode.FAILED
    assert capsys.readouterr().err == (
        f"error: cannot listen on 127.0.0.1 port {port}: Address already in use. "
        "Stop what listens there, or choose another port.\n"
    )


def _payments(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/v1/users/ann/status?at=2021-08-04")
    document = json.loads(connection.getresponse().read())
    return document["campaigns"][0]["counting"]["measures"]["payments"]


def test_soon_visible_and_soon_stopped(home: Path) -> None:
    """An event shows within a second; SIGTERM ends all processes in time, without an error."""
    with serving(home) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        # The first event waits for the worker to start.
        seconds: list[float] = []
        for number in range(1, 4):
            event = purchase(f"t{number}").encode()
            connection.request("POST", "/v1/events", event, {"content-type": "application/json"})
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["accepted"]) == (202, 1)
            acknowledged = time.monotonic()
            while _payments(connection) < number:
                assert time.monotonic() - acknowledged < 20
            seconds.append(time.monotonic() - acknowledged)
        assert min(seconds[1:]) < 1
        connection.close()
        family = children_of(process.pid)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - began < STOP_SECONDS_MAX
        wait_until_gone(family)
    assert process.returncode == 0, err
    assert "error" not in err


@pytest.mark.parametrize(
    ("victim", "said"),
    [
        ("worker", "the speed worker ended by itself (exit code -9); its error stands above"),
        ("api", "an API process ended by itself; its error stands above"),
    ],
)
def test_one_process_gone(home: Path, victim: str, said: str) -> None:
    """When the worker or the API dies, everything ends, non-zero and with a sentence that says which."""
    with serving(home) as (process, _port):
        family = children_of(process.pid)
        lock = home / "worker.lock"
        deadline = time.monotonic() + 20
        while int(lock.read_text(encoding="ascii") or 0) not in family:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        worker = int(lock.read_text(encoding="ascii"))
        (api,) = (child for child in family if child != worker)
        os.kill(worker if victim == "worker" else api, signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        wait_until_gone(family)
    assert process.returncode not in {0, None}
    assert f"error: {said}" in err
