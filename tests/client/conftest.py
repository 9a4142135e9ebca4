"""Fixtures of the client's tests."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from callers import ALGORITHMS, AUDIENCE, ISSUER, KEY, key_set
from cli.command import SPEC, purchase
from client.faces import FACES, Make
from client.scripted_server import ScriptedServer, scripted_server
from end_to_end.test_kill import serving
from rung.cli.main import run
from rung.client import Client, Retries

QUICK = Retries(attempts_max=4, pause_seconds_first=0.001, pause_seconds_max=2)


@pytest.fixture(scope="session")
def _running() -> Generator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def scripted(_running: ScriptedServer) -> ScriptedServer:
    """Return a server that answers what the test tells it to."""
    _running.script()
    return _running


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Make:
    """Return what makes one of the two clients."""
    return FACES[request.param]


@pytest.fixture
def connect(face: Make) -> Generator[Callable[..., Client]]:
    """Return what makes clients that are closed after the test; they wait shortly before asking again."""
    with ExitStack() as clients:

        def make(url: str, credential: Any = KEY, **named: Any) -> Client:
            client = face(url, credential, **{"retries": QUICK, **named})
            return clients.enter_context(closing(client))

        yield make


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Serve a home with a small campaign, where ann has bought twice, to a key and to users; give its address."""
    folder = tmp_path_factory.mktemp("served")
    home, spec = folder / "home", folder / "small.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    _run(home, "init")
    _let_users_in(home)
    _run(home, "campaign", "apply", str(spec))
    with serving(home) as (_, port):
        url = f"http://127.0.0.1:{port}"
        with Client(url, KEY) as client:
            client.status(
                "ann", after=client.send([purchase("t1"), purchase("t2", amount=499)]), wait_seconds=60
            )
        yield url


def _run(home: Path, *arguments: str) -> None:
    assert run(["--home", str(home), *arguments]) == 0


def _let_users_in(home: Path) -> None:
    """Take the tokens of the tests' issuer."""
    (home / "issuer.json").write_bytes(key_set())
    settings = home / "rung.toml"
    section = f"""[api.tokens]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
algorithms = {list(ALGORITHMS)}
jwks = "{home / "issuer.json"}"
"""
    text = settings.read_text(encoding="utf-8")
    assert text.count("[api.tokens]") == 1
    settings.write_text(text.replace("[api.tokens]\n", section), encoding="utf-8")
