"""`rung serve`: API, page and worker as one program."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callers import AUTHORIZED, KEY, put_key
from cli.command import EXAMPLES, Rung, purchase, start
from rung.cli.errors import ExitCode


@contextmanager
def serving(*arguments: str | Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run a command that serves, and give its process and base URL once it answers."""
    with start(*arguments) as process:
        try:
            assert process.stderr is not None
            lines: list[str] = []
            while not (lines and "Status page: " in lines[-1]):
                line = process.stderr.readline()
                assert line, "".join(lines)
                lines.append(line)
            yield process, lines[-1].split("Status page: ")[1].strip().removesuffix("/")
        finally:
            process.kill()


def _get(url: str, key: str = KEY) -> bytes:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_events_in_status_out(small: Rung, number: signal.Signals) -> None:
    """An event that is posted shows in the status; a signal ends it without an error."""
    put_key(small.home)
    with serving("--home", small.home, "serve", "--port", "0", "--json") as (process, url):
        request = urllib.request.Request(
            f"{url}/v1/events",
            data=purchase("t1").encode(),
            headers={"content-type": "application/json", **AUTHORIZED},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 202
        status = None
        while status is None or status["campaigns"][0]["counting"]["measures"]["payments"] == 0:
            status = json.loads(_get(f"{url}/v1/users/ann/status?at=2021-08-04"))
        assert b"<html" in _get(f"{url}/")
        assert b"rung_events_applied_total 1.0" in _get(f"{url}/metrics")
        assert small("serve").code == ExitCode.BUSY
        # What the API answers, the command line answers, too, while both are open; it does not ask the log.
        del status["as_of"]["pending"]
        assert small.fine("status", "ann", "--at", "2021-08-04", "--json").json == status
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert json.loads(out) == {"url": url}
    assert "Traceback" not in err


def test_only_loopback(small: Rung) -> None:
    """Any other address is refused as long as there is nobody to let in."""
    ran = small("serve", "--host", "0.0.0.0")
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err.startswith("error: refused to listen on '0.0.0.0': there is nobody to let in.")


def test_beyond_loopback(small: Rung) -> None:
    """With a key and a name it listens on any address, goes by that name, and asks for TLS before it."""
    put_key(small.home)
    settings = '[api]\nallowed_hosts = ["status.example"]\n'
    (small.home / "rung.toml").write_text(settings, encoding="utf-8")
    with start("--home", small.home, "serve", "--host", "0.0.0.0", "--port", "0") as process:
        try:
            assert process.stderr is not None
            said = ""
            while "Serving until Ctrl-C" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            assert "This is plain HTTP: have a proxy with TLS before it" in said
            port = said.split("Status page: http://0.0.0.0:")[1].split("/")[0]
            for host, status in (("status.example", 200), ("localhost", 200), ("other.example", 421)):
                connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
                connection.request("GET", "/v1/users/ann/status", headers={**AUTHORIZED, "host": host})
                assert connection.getresponse().status == status
                connection.close()
        finally:
            process.kill()


def test_the_demo_serves(rung: Rung) -> None:
    """The demo ends in a server for whoever has the key that it prints, and stops cleanly."""
    with serving("demo", "--port", "0", "--examples", EXAMPLES / "online-retail") as (process, page):
        url, _, fragment = page.partition("/#")
        given = dict(part.split("=") for part in fragment.split("&"))
        assert given == {"key": given["key"], "user": "12757", "at": "2011-11-20"}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            _get(f"{url}/v1/users/12748/status?at=2011-11-20")
        status = json.loads(_get(f"{url}/v1/users/12748/status?at=2011-11-20", given["key"]))
        assert [one["campaign"] for one in status["campaigns"]] == ["big-basket", "retail"]
        assert status["campaigns"][1]["counting"]["measures"]["payments"] == 35
        assert process.stderr is not None
        line = process.stderr.readline()
        assert f"curl -H 'Authorization: Bearer {given['key']}'" in line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "12748" in out


def test_the_demo_once(rung: Rung) -> None:
    """With --once it prints three users and stops."""
    ran = rung.bare("demo", "--once", "--examples", EXAMPLES / "online-retail")
    assert ran.code == 0
    assert "40,912 events applied, 0 in quarantine" in ran.err
    for user in ("12757", "12748", "17850"):
        assert f"\n{user} " in ran.out
    assert "payments 35, total 929,557, days 18" in ran.out


def test_the_demo_elsewhere(rung: Rung, tmp_path: Path) -> None:
    """Without the examples it says where to run it."""
    ran = rung.bare("demo", "--examples", tmp_path)
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err == f"error: {tmp_path}: no campaigns and events there; run this in the project's folder\n"
