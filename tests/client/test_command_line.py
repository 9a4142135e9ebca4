"""The commands that ask a server instead of a home."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from socket import create_server

import pytest

from callers import KEY, key_of
from cli.command import Rung, purchase, write_lines
from rung.access.permissions import Scope
from rung.cli.errors import ExitCode
from rung.client import Client

MONTH = ("--at", "2021-08-15")


@pytest.fixture
def rung(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rung:
    """Return a command line whose home does not exist: what works, works by the server."""
    for name in list(os.environ):
        if name.startswith("RUNG_"):
            monkeypatch.delenv(name)
    return Rung(tmp_path / "none", capsys)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Return a file with the key."""
    file = tmp_path / "rung.key"
    file.write_text(f"{KEY}\n", encoding="ascii")
    return file


def test_status(rung: Rung, served: str, key: Path) -> None:
    """A status of a server is shown as one of a home, and its JSON is that of the API."""
    ran = rung.bare("status", "ann", *MONTH, "--server", served, "--key-file", key)
    assert ran.code == 0, ran.err
    assert "user ann (as of event " in ran.out
    assert "payments 1, total 1,499" in ran.out
    assert "+0.5% three: not yet: payments >= 3 (1 so far, 2 to go)" in ran.out
    document = rung.bare("status", "ann", *MONTH, "--json", "--server", served, "--key-file", key).json
    assert document["campaigns"][0]["counting"]["measures"] == {"payments": 1, "total": 1_499}
    assert "pending" in document["as_of"]


def test_explain(rung: Rung, served: str, key: Path) -> None:
    """An explanation of a server is shown as one of a home."""
    ran = rung.bare("explain", "ann", "small", "2021-08", "--server", served, "--key-file", key)
    assert ran.code == 0, ran.err
    assert "counted, but below_condition:payments" in ran.out
    assert "The sum of 2 transactions equals the stored figures." in ran.err


def test_ingest(rung: Rung, served: str, key: Path, tmp_path: Path) -> None:
    """Files are sent to a server, compressed ones too; it applies what they hold."""
    plain = write_lines(tmp_path / "plain", *(purchase(f"i{number}", "ida") for number in range(3)))
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(purchase("i3", "ida").encode()))
    to_server = ("--server", served, "--key-file", key)
    ran = rung.bare("ingest", plain, packed, "--json", *to_server)
    assert (ran.json["events"], ran.json["applied"]) == (4, False)
    assert ran.err == ""
    assert "Appended 3 events (" in rung.bare("ingest", plain, *to_server).err
    with Client(served, KEY) as client:
        receipt = client.send(purchase("i3", "ida"))
        status = client.status("ida", at="2021-08-15", after=receipt, wait_seconds=60)
    assert status.campaigns[0].counting is not None
    assert status.campaigns[0].counting.measures["payments"] == 4


def test_variables(rung: Rung, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Server and key may stand in variables; a home that is named goes before the server's variable."""
    monkeypatch.setenv("RUNG_SERVER", served)
    monkeypatch.setenv("RUNG_KEY", KEY)
    assert rung.bare("status", "ann", *MONTH).code == 0
    for words in (("--home", rung.home, "status", "ann"), ("status", "ann", "--home", rung.home)):
        assert rung.bare(*words).code == ExitCode.NOT_INITIALISED
    rung.fine("init")
    assert "no event was applied yet" in rung("status", "ann").out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("status", "ann"), 2, "--server: it needs a key: --key-file FILE, or RUNG_KEY"),
        (("status", "ann", "--key-file", "none"), 2, "none: cannot be read: No such file or directory"),
        (("status", "ann", "--key-file", "empty"), 2, "empty: is empty: `rung keys create` prints a key"),
        (("status", "ann", "--key-file", "binary"), 2, "binary: is no key: `rung keys create` prints one"),
        (("status", "ann", "--key-file", "two"), 2, "The key or token holds characters that none can have"),
        (("status", "ann", "--key-file", "wrong"), 2, ""),
        (("status", "ann", "--home", "x", "--key-file", "good"), 2, "--server and --home: name one of them"),
        (
            ("status", "ann", "--campaign", "smal", "--key-file", "good"),
            2,
            "campaign: none is named 'smal'; GET /v1/campaigns lists them; did you mean small?",
        ),
        (("status", "ann", "--at", "soon", "--key-file", "good"), 2, "at: expected an RFC 3339 time"),
        (
            ("ingest", "--wait", "good", "--key-file", "good"),
            2,
            "--wait: a server applies events by itself; leave it out with --server",
        ),
        (("ingest", "none", "--key-file", "good"), 2, "none: no such file"),
    ],
)
def test_what_goes_wrong(
    rung: Rung,
    served: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    """Each mistake is told with its place and the way out, and shows no key."""
    monkeypatch.chdir(tmp_path)
    wrong = key_of(9, *Scope)[1]
    for name, content in (
        ("good", KEY.encode()),
        ("wrong", wrong.encode()),
        ("empty", b" \n"),
        ("binary", b"\xff"),
        ("two", b"secret other"),
    ):
        (tmp_path / name).write_bytes(content)
    ran = rung.bare(*words, "--server", served)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(f"error: {message}")
    assert "secret" not in ran.err
    assert wrong not in ran.err


def test_addresses(rung: Rung, key: Path) -> None:
    """A server that is not there, or may not be asked like this, is told."""
    with create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    ran = rung.bare("status", "ann", "--server", url, "--key-file", key)
    assert ran.code == ExitCode.FAILED
    assert ran.err.startswith(f"error: {url} does not answer: ")
    ran = rung.bare("status", "ann", "--server", "http://rung.example", "--key-file", key)
    assert ran.code == ExitCode.BAD_INPUT
    assert "use https://" in ran.err
