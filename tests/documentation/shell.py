"""Runs the commands of a page as its reader would: in order, in one shell, in a folder of their own.

Two kinds of fenced blocks are run. Of a `console` block each line with `$ ` is a command (`> ` goes on with
it), and what follows is what it prints: `...` stands for anything, in a line or for any lines. A command
without such lines may print what it likes. A `bash` block is a script. A command whose comment says
"until Ctrl-C" runs beside those that follow, and is interrupted at the end of the page.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^( *)```(console|bash)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_MARK = "\x02"
_UNTIL_STOPPED = "until Ctrl-C"
LISTENING = {"rung serve": "8080", "rung console": "8090", "receiver.py": "8700"}
"""What is waited for until it listens: command -> the port that pages name."""


@dataclass(frozen=True)
class Command:
    """What a reader types, the line of the page where it stands, and what the page says it prints."""

    line: int
    text: str
    printed: str
    is_script: bool


def commands_of(page: str) -> list[Command]:
    """Return the commands of a page, in order."""
    return [command for block in _BLOCK.finditer(page) for command in _commands_of_block(page, block)]


def _commands_of_block(page: str, block: re.Match[str]) -> Iterator[Command]:
    first = page.count("\n", 0, block.start(3)) + 1
    lines = [line.removeprefix(block[1]) for line in block[3].splitlines()]
    if block[2] == "bash":
        yield from _commands_of_script(first, lines)
        return
    number = 0
    while number < len(lines):
        assert lines[number].startswith("$ "), f"line {first + number}: a console block starts with a command"
        start, typed = number, [lines[number][2:]]
        number += 1
        while number < len(lines) and (lines[number] == ">" or lines[number].startswith("> ")):
            typed.append(lines[number][2:])
            number += 1
        printed = number
        while number < len(lines) and not lines[number].startswith("$ "):
            number += 1
        yield Command(first + start, "\n".join(typed), "\n".join(lines[printed:number]), is_script=False)


def _commands_of_script(first: int, lines: list[str]) -> Iterator[Command]:
    """Yield a script: in one piece, but for the lines that run until they are stopped."""
    part: list[str] = []
    for number, line in enumerate([*lines, f"# {_UNTIL_STOPPED}"]):
        part.append(line)
        if _UNTIL_STOPPED in line:
            before, last = "\n".join(part[:-1]), part[-1]
            if before.strip():
                yield Command(first + number - len(part) + 1, before, "", is_script=True)
            if not last.startswith("#"):
                yield Command(first + number, last, "", is_script=True)
            part = []


@dataclass(frozen=True)
class Shell:
    """A place to run pages in: a folder with the examples, what is installed here on the path, and no other settings."""

    folder: Path
    variables: Mapping[str, str]
    ports: Mapping[str, int]
    """A port that pages name -> the free one that takes its place."""
    seconds_max: float = 600.0
    """How long all commands of a page may take."""

    def run(self, page: str) -> list[tuple[Command, str]]:
        """Run the commands of a page, and return each with what it printed.

        Raises:
            AssertionError: one of them failed, or came to no end; the message has what it printed.
        """
        for named, free in self.ports.items():
            page = re.sub(rf"\b{named}\b", str(free), page)
        commands = commands_of(page)
        script = self.folder / "page.sh"
        script.write_text(self._script(commands), encoding="utf-8")
        with subprocess.Popen(
            ["bash", script],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as shell:
            in_time = ""
            try:
                output, _ = shell.communicate(timeout=self.seconds_max)
            except subprocess.TimeoutExpired:
                in_time = f" (not within {self.seconds_max:g} s)"
                _end_session(shell.pid)
                output, _ = shell.communicate()
        printed = output.split(_MARK)[1:]
        if shell.returncode != 0:
            stopped_at = commands[min(len(printed), len(commands)) - 1]
            raise AssertionError(
                f"line {stopped_at.line}: {stopped_at.text}{in_time}\n{''.join(printed[-1:])}"
            )
        return list(zip(commands, printed, strict=False))

    def _script(self, commands: list[Command]) -> str:
        lines = [
            "set -m -u -o pipefail",
            "started=()",
            "trap 'kill -INT -- ${started[@]/#/-} 2>/dev/null' EXIT",
        ]
        for command in commands:
            lines.append(f"printf '{_MARK}'")
            if _UNTIL_STOPPED in command.text:
                text, _, _ = command.text.partition("#")
                # What it says comes at any time, and would stand among what the others print.
                lines += [f"{text.rstrip()} >>beside.log 2>&1 &", "started+=($!)"]
                if listens := re.search("|".join(LISTENING), text):
                    port = self.ports[LISTENING[listens[0]]]
                    wait = f"until (: >/dev/tcp/127.0.0.1/{port}) 2>/dev/null"
                    lines.append(f"{wait}; do kill -0 $! || {{ cat beside.log; exit 1; }}; sleep 0.05; done")
            elif command.is_script:
                lines += ["set -e", command.text, "set +e"]
            else:
                lines += [command.text, "result=$?; [ $result = 0 ] || exit $result"]
        lines += [
            f"printf '{_MARK}'",
            "trap - EXIT",
            'for pid in "${started[@]}"; do kill -INT -- -$pid; wait $pid; result=$?',
            "  [ $result = 0 ] || [ $result = 130 ] || exit $result; done",
        ]
        return "\n".join(lines) + "\n"

    def _environment(self) -> dict[str, str]:
        (self.folder / "examples").symlink_to(PROJECT / "examples")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNG_")}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
            # Standard output and standard error come in the order in which a terminal shows them.
            "PYTHONUNBUFFERED": "1",
            "RUNG_API_PORT": str(self.ports["8080"]),
            "RUNG_CONSOLE_PORT": str(self.ports["8090"]),
            **self.variables,
        }


def _end_session(leader: int) -> None:
    """Kill all processes of a session, those in groups of their own, too."""
    for process in Path("/proc").iterdir():
        with suppress(ValueError, ProcessLookupError):
            if os.getsid(number := int(process.name)) == leader:
                os.kill(number, signal.SIGKILL)


def agrees(printed: str, said: str) -> bool:
    """Return whether what was printed is what a page says; blanks may differ in number."""
    parts = [re.escape(" ".join(part.split())) for part in said.split("...")]
    return (
        re.fullmatch(r"\s*" + r".*?".join(parts) + r"\s*", " ".join(printed.split()), re.DOTALL) is not None
    )
