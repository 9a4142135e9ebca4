"""Every command: its help with examples that work, its JSON, and every exit code that is documented."""

from __future__ import annotations

import io
import json
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.command import PROGRAM, PROJECT, Rung, program, purchase, running_worker, trim, write_lines
from cli.every_command import UNTIL_STOPPED, commands, groups, lines, run_line
from rung.cli.errors import ExitCode
from rung.cli.examples import EXAMPLES

COMMANDS = commands()


def test_every_command_has_examples() -> None:
    """There is an example of each command, and of nothing else."""
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("words", COMMANDS)
def test_examples_are_command_lines(rung: Rung, words: str) -> None:
    """Help ends with the examples of the command, and each is a command line that it takes."""
    ran = rung.bare(*words.split(), "--help")
    assert ran.code == 0
    assert f"Usage: rung {words} " in ran.out
    shown = ran.out.split("\nExamples:\n")[1].splitlines()
    assert [line.strip() for line in shown] == list(EXAMPLES[words])
    parent, command = COMMANDS[words]
    for line in EXAMPLES[words]:
        # Variables before it, where it reads from or writes to, and what it is piped to or from.
        call = re.sub(r"^(?:[A-Z_]+=\S+ )+|.* \| (?=rung ingest)| [<>] \S+$", "", line)
        assert call.startswith(f"rung {words}")
        arguments = shlex.split(call.removeprefix(f"rung {words}"))
        command.make_context(words.rsplit(maxsplit=1)[-1], arguments, parent=parent)


@pytest.mark.parametrize("group", groups())
def test_the_list_of_a_group_is_whole(rung: Rung, group: str) -> None:
    """The list of a group's commands says what each does in a line that is not cut."""
    listed = rung.bare(group, "--help").out.split("\nCommands:\n")[1]
    assert [line for line in listed.splitlines() if line.endswith("...")] == []


def test_every_command_prints_json(rung: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json each command prints one JSON document, its result or its error."""
    table, told = lines(tmp_path), dict[str, str]()
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long enough password\n" * 2))
    met = {words for words in COMMANDS if any(f"{line} ".startswith(f"{words} ") for line, _ in table)}
    assert met == COMMANDS.keys() - UNTIL_STOPPED
    for line, due in table:
        code, out, err = run_line(rung, line, told)
        assert (line, code) == (line, due), err
        assert out.count("\n") == 1, line
        answer: Any = json.loads(out)
        assert ("error" in answer) == (code not in {ExitCode.OK, ExitCode.PROBLEMS}), line
        if line == "quarantine list":
            told["POSITION"] = "{partition}:{offset}".format(**answer["events"][0])
        if line.startswith("keys create"):
            told["KEY"] = answer["id"]
        if line.startswith("campaign diff"):
            told["HASH"] = answer["hash"]


def _done(rung: Rung) -> int:
    return rung("lag", "--json").code


def _stuck(rung: Rung) -> int:
    rung.fine("ingest", write_lines(rung.home / "more", purchase("t2")))
    for partition in range(4):
        trim(rung.home, partition)
    ran = rung("lag", "--json")
    assert ran.json["ok"] is False
    return ran.code


def _bad(rung: Rung) -> int:
    return _error(rung, "status", "ann", "--at", "never")


def _no_home(rung: Rung) -> int:
    return _error(rung, "lag", "--home", rung.home / "none")


def _held(rung: Rung) -> int:
    with running_worker(rung.home):
        return _error(rung, "worker")


def _failed(rung: Rung) -> int:
    (rung.home / "file").touch()
    return _error(rung, "init", "--home", rung.home / "file" / "home")


def _answered_no(rung: Rung) -> int:
    ran = program("--home", rung.home, "replay", "--json", stdin="n\n")
    assert ran.json["error"] == {
        "code": 130,
        "name": "interrupted",
        "message": "stopped; nothing was changed",
    }
    return ran.code


def _error(rung: Rung, *arguments: str | Path) -> int:
    """Run a command that is refused, and look at what it says, in words and as JSON."""
    ran = rung(*arguments, "--json")
    told = ran.json["error"]
    assert told.keys() == {"code", "name", "message"}
    assert told["code"] == ran.code
    assert told["name"] == ExitCode(ran.code).name.lower()
    assert ran.err == "".join(f"error: {line}\n" for line in told["message"].splitlines())
    return ran.code


WAYS: dict[ExitCode, Callable[[Rung], int]] = {
    ExitCode.OK: _done,
    ExitCode.PROBLEMS: _stuck,
    ExitCode.BAD_INPUT: _bad,
    ExitCode.NOT_INITIALISED: _no_home,
    ExitCode.BUSY: _held,
    ExitCode.FAILED: _failed,
    ExitCode.INTERRUPTED: _answered_no,
}


@pytest.mark.parametrize("due", ExitCode, ids=lambda code: code.name)
def test_exit_codes(small: Rung, tmp_path: Path, due: ExitCode) -> None:
    """Each documented exit code is met, and an error is one documented document."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "events", purchase("t1")))
    assert WAYS[due](small) == due


def test_exit_codes_are_documented() -> None:
    """The table of the README has each exit code with its meaning."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", readme, re.MULTILINE)
    assert rows == [(str(code.value), code.meaning) for code in ExitCode]


@pytest.mark.parametrize("arguments", [("--help",), ("status", "--help"), ("batch", "--help")], ids=" ".join)
def test_help_is_instant(arguments: tuple[str, ...]) -> None:
    """Help takes no more than a few times what Python itself takes to start, by the processor's time."""
    bare = min(_processor_seconds(sys.executable, "-c", "pass") for _ in range(5))
    assert min(_processor_seconds(*PROGRAM, *arguments) for _ in range(5)) < 20 * bare


def _processor_seconds(*command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=PROJECT / "src", stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
