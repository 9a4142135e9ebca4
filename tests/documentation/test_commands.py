"""Every command of the README and of the documentation works as it stands there, and prints what is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from documentation.shell import PROJECT, Shell, agrees, commands_of
from end_to_end.test_kill import wait_until_gone
from log.kafka_broker import broker
from rung.cli.main import COMMANDS
from servers.ports import free_port
from store.dynamodb_local import credentials, emulator

NOT_RUN: Mapping[str, str] = {
    "make setup                                # .venv, with .venv/bin/rung; nothing else": "the tests run in what it makes",
}
"""Lines that readers type and no test does -> why."""

ON_SERVERS = "docs/how-to/kafka-and-dynamodb.md"
"""The page whose servers are those of the tests; they have one broker, so that nothing is there three times."""

PAGES = sorted(
    str(page.relative_to(PROJECT))
    for page in [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    if commands_of(page.read_text(encoding="utf-8"))
)
PORTS = ("8080", "8090", "8700")


@pytest.fixture
def ports() -> Mapping[str, int]:
    """Return a free port for each that pages name, none of which the system gives to a client meanwhile."""
    return {name: free_port() for name in PORTS}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page(name: str, tmp_path: Path, ports: Mapping[str, int]) -> None:
    """Each command succeeds, in order, in a home of its own, and prints what the page says it does."""
    page = (PROJECT / name).read_text(encoding="utf-8")
    variables: Mapping[str, str] = {}
    if name == ON_SERVERS:
        page = page.replace("localhost:9092", broker().bootstrap)
        page = page.replace("--replication-factor 3", "--replication-factor 1")
        variables = {**credentials(), "RUNG_DYNAMODB_ENDPOINT_URL": emulator().endpoint}
    for line in NOT_RUN:
        page = page.replace(f"{line}\n", "\n")
    for command, printed in Shell(tmp_path, variables, ports).run(page):
        if not command.is_script and command.printed.strip():
            assert agrees(printed, command.printed), f"{name}:{command.line}: {command.text}\n{printed}"


def test_what_is_not_run_is_there() -> None:
    """The list of lines that are not run has no line that no page has."""
    text = "\n".join((PROJECT / name).read_text(encoding="utf-8") for name in PAGES)
    assert [line for line in NOT_RUN if line not in text] == []


def test_every_command_has_an_example() -> None:
    """Each command of the program is run by at least one page, and pages run no other."""
    typed = "\n".join(
        command.text
        for name in PAGES
        for command in commands_of((PROJECT / name).read_text(encoding="utf-8"))
    )
    assert set(re.findall(r"(?:^|[|(] *)rung ([a-z]+)", typed, re.MULTILINE)) == COMMANDS.keys() - {"demo"}


SAID = (
    ("a\nb\n", "a\nb", True),
    ("a  1\n", "a 1", True),
    ("a 1\n", "a ...", True),
    ("x\na 1\ny\n", "...\na 1\n...", True),
    ("a\n", "b", False),
    ("a\nb\n", "a", False),
    ("a.b\n", "aXb", False),
)


@pytest.mark.parametrize(("printed", "said", "is_so"), SAID)
def test_what_agrees(printed: str, said: str, is_so: bool) -> None:
    """Three dots stand for anything, blanks for blanks, and everything else for itself."""
    assert agrees(printed, said) is is_so


def test_what_fails_is_named(tmp_path: Path, ports: Mapping[str, int]) -> None:
    """A command that fails, in either kind of block, fails the page, with its line and what it printed."""
    for page in (
        "```bash\ntrue\n```\n\n```bash\necho oh\nfalse\ntrue\n```\n",
        "\n\n\n\n```console\n$ echo oh; false\noh\n```\n",
    ):
        folder = tmp_path / str(len(page))
        folder.mkdir()
        with pytest.raises(AssertionError, match=r"line 6: echo oh") as caught:
            Shell(folder, {}, ports).run(page)
        assert str(caught.value).endswith("oh\n")


def test_what_runs_until_it_is_stopped(tmp_path: Path, ports: Mapping[str, int]) -> None:
    """A command that runs until Ctrl-C runs beside those that follow it, and is stopped at the end."""
    page = "```bash\n(echo begun > begun; sleep 100)   # until Ctrl-C\nuntil [ -e begun ]; do sleep 0.01; done\n```\n"
    (_, second) = Shell(tmp_path, {}, ports).run(page)
    assert second[0].text.startswith("until [ -e begun ]")


def test_what_comes_to_no_end(tmp_path: Path, ports: Mapping[str, int]) -> None:
    """A page that takes too long is ended with all that it has started, and says where it stood."""
    page = "```bash\n(echo $BASHPID > begun; exec sleep 100)   # until Ctrl-C\n```\n\n```console\n$ echo oh; sleep 100\n```\n"
    with pytest.raises(AssertionError, match=r"^line 6: echo oh; sleep 100 \(not within 5 s\)\noh\n$"):
        Shell(tmp_path, {}, ports, seconds_max=5.0).run(page)
    begun = int((tmp_path / "begun").read_text(encoding="ascii"))
    wait_until_gone([begun])
