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

from callers import AUTHORIZED, KEYS, put_key
from cli.command import SPEC, purchase
from end_to_end.test_kill import children_of, serving, wait_until_gone
from rung.adapters import open_home
from rung.api_gate import check_listening
from rung.cli.errors import ExitCode
from rung.cli.main import run
from rung.settings import SettingsError
from rung.status.serve import STOP_SECONDS_MAX


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
def test_loopback(home: Path, host: str, address: str) -> None:
    """Loopback addresses are taken as they are, and localhost as the first of them, whoever has a key."""
    assert check_listening(open_home(home), host) == address


BEYOND = ("0.0.0.0", "::", "192.168.1.1", "::ffff:8.8.8.8")


@pytest.mark.parametrize("host", BEYOND)
def test_beyond_loopback(home: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond loopback there have to be somebody to let in, and the names that the server goes by."""

    def refusal() -> str:
        with pytest.raises(SettingsError) as caught:
            check_listening(open_home(home), host)
        return str(caught.value)

    assert refusal() == (
        f"refused to listen on {host!r}: there is nobody to let in. Make a key with `rung keys create`, "
        f"or set [api.tokens] in {home / 'rung.toml'}."
    )
    put_key(home)
    assert refusal() == (
        f"refused to listen on {host!r}: set allowed_hosts in [api] of {home / 'rung.toml'} to the names "
        'that clients call this server by, such as ["status.example.com"].'
    )
    monkeypatch.setenv("RUNG_API_ALLOWED_HOSTS", "status.example.com")
    assert check_listening(open_home(home), host) == host
    (home / "keys.json").unlink()
    assert "there is nobody to let in" in refusal()
    monkeypatch.setenv("RUNG_API_TOKENS_ISSUER", "https://issuer.example")
    monkeypatch.setenv("RUNG_API_TOKENS_AUDIENCE", "rung")
    monkeypatch.setenv("RUNG_API_TOKENS_JWKS", "https://issuer.example/jwks")
    assert check_listening(open_home(home), host) == host


@pytest.mark.parametrize("host", ["", "localhost.example", "example.com", "127.0.0.1:80", "[::1]"])
def test_no_address(home: Path, host: str) -> None:
    """What is no address is refused by name."""
    put_key(home)
    with pytest.raises(SettingsError, match="name an address, such as 127"):
        check_listening(open_home(home), host)


def test_refused_before_anything_starts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says why it does not listen, and ends."""
    capsys.readouterr()
    assert run(["--home", str(home), "serve", "--host", "0.0.0.0"]) == ExitCode.BAD_INPUT
    assert "refused to listen on '0.0.0.0': there is nobody to let in." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"{}", 0o600, "keys.json: they are damaged"),
        (KEYS.encode(), 0o644, "keys.json: others than its owner may read or write it; run `chmod 600"),
    ],
)
def test_keys_that_cannot_be_used(
    home: Path, capsys: pytest.CaptureFixture[str], content: bytes, mode: int, said: str
) -> None:
    """Keys that are damaged, or that others can read, are told of before anything starts."""
    (home / "keys.json").write_bytes(content)
    (home / "keys.json").chmod(mode)
    capsys.readouterr()
    assert run(["--home", str(home), "serve"]) == ExitCode.BAD_INPUT
    assert said in capsys.readouterr().err


def test_keys_of_the_issuer_that_cannot_be_used(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without the issuer's keys, or a URL without TLS, is told of before anything starts."""
    monkeypatch.setenv("RUNG_API_TOKENS_ISSUER", "https://issuer.example")
    monkeypatch.setenv("RUNG_API_TOKENS_AUDIENCE", "rung")
    for place, said in (
        ("jwks.json", "jwks.json: No such file or directory"),
        ("http://issuer.example/jwks", "use https"),
    ):
        monkeypatch.setenv("RUNG_API_TOKENS_JWKS", place)
        capsys.readouterr()
        assert run(["--home", str(home), "serve"]) == ExitCode.BAD_INPUT
        assert said in capsys.readouterr().err


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
    connection.request("GET", "/v1/users/ann/status?at=2021-08-04", headers=AUTHORIZED)
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
            headers = {"content-type": "application/json", **AUTHORIZED}
            connection.request("POST", "/v1/events", event, headers)
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


def test_streams_end_with_the_server(home: Path) -> None:
    """Open streams are told that the server stops, and hold it up no longer than anything else."""
    with serving(home) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/v1/users/ann/status/stream", headers=AUTHORIZED)
        answer = connection.getresponse()
        assert answer.readline() == b"retry: 2000\n"
        process.send_signal(signal.SIGTERM)
        assert answer.read().endswith(b'event: end\ndata: {"reason":"stopping"}\n\n')
        connection.close()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


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
