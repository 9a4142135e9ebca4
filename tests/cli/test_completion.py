"""Shell completion: what a shell asks, and what it is told."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from cli.command import PROGRAM, PROJECT, Ran, program
from rung.cli.main import COMMANDS

ASKED = (
    ("rung ", set(COMMANDS) - {"demo"}),
    ("rung st", {"status", "store"}),
    ("rung batch re", {"repair"}),
    ("rung campaign ", {"activate", "apply", "check", "diff", "list", "retire", "rollback", "show"}),
    ("rung status --c", {"--campaign"}),
    ("rung batch aggregate --engine ", {"duckdb", "spark"}),
)


def asked_by(shell: str, line: str) -> Ran:
    """Ask as a shell does when the tabulator key is pressed at the end of a line."""
    if shell == "bash":
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    else:
        asked = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return program(environment={"_RUNG_COMPLETE": f"complete_{shell}", **asked})


@pytest.mark.parametrize(("line", "due"), ASKED, ids=[line for line, _ in ASKED])
def test_words_that_may_follow(line: str, due: set[str]) -> None:
    """Commands, those of a group, options and choices are told, though most commands are not loaded."""
    ran = asked_by("bash", line)
    assert ran.code == 0, ran.err
    assert set(ran.out.split()) == due


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str) -> None:
    """The others are told the same, with what each word means."""
    ran = asked_by(shell, "rung batch re")
    assert ran.code == 0, ran.err
    assert "repair" in ran.out
    assert "Put right what a verification found" in ran.out


@pytest.mark.parametrize(
    ("shell", "due"),
    [
        ("bash", "complete -o default -F _rung_completion rung"),
        ("zsh", "#compdef rung"),
        ("fish", "complete --command rung"),
    ],
)
def test_what_a_shell_needs(shell: str, due: str) -> None:
    """Each shell gets a script that asks `rung`."""
    ran = program(environment={"_RUNG_COMPLETE": f"source_{shell}"})
    assert ran.code == 0, ran.err
    assert due in ran.out
    assert f"_RUNG_COMPLETE=complete_{shell}" in ran.out


def test_the_shell_is_found() -> None:
    """`--show-completion` prints the script of the shell that it runs in."""
    script = f"{shlex.join(PROGRAM)} --show-completion; exit $?"
    ended = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, cwd=PROJECT / "src"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "_RUNG_COMPLETE=complete_bash" in ended.stdout
