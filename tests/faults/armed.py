"""Runs the command line of Rung with fault points armed: the only place where anything happens at them.

    python -m faults.armed TOLD_FILE [POINT:NTH:ACTION ...] -- RUNG_ARGUMENTS ...

Every passing of an armed point from its NTH on is told: a line with its name is added to TOLD_FILE. At the NTH
itself the ACTION follows: `kill` (SIGKILL), `stop` (SIGSTOP), or `tell`, which is nothing more.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from rung.cli.main import main
from rung.faultpoints import arm

_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "tell": None}


class Arm(NamedTuple):
    """What happens at one point, and at which passing of it, from 1."""

    point: str
    nth: int
    action: str

    @classmethod
    def parse(cls, text: str) -> Arm:
        """Read POINT:NTH:ACTION.

        Raises:
            KeyError: there is no such action.
        """
        point, nth, action = text.split(":")
        if action not in _SIGNALS:
            raise KeyError(action)
        return cls(point, int(nth), action)


def passed(name: str, arms: Sequence[Arm], told: Path, passings: Counter[str]) -> None:
    """Tell that a point is passed, and do what is due."""
    passings[name] += 1
    due = [one for one in arms if passings[name] >= one.nth]
    if not due:
        return
    # Written at once and by one call: the process may be gone after it.
    with told.open("ab", buffering=0) as file:
        file.write(f"{name}\n".encode())
    for one in due:
        number = _SIGNALS[one.action]
        if number is not None and passings[name] == one.nth:
            # To this thread: one that is sent to the process lets it run on for a moment.
            signal.pthread_kill(threading.get_ident(), number)


def armed(arguments: Sequence[str]) -> list[str]:
    """Arm the points that arguments name, and return those of the command line."""
    end = arguments.index("--")
    told, arms = Path(arguments[0]), [Arm.parse(text) for text in arguments[1:end]]
    passings = Counter[str]()
    for name in {one.point for one in arms}:
        of_point = [one for one in arms if one.point == name]
        action: Callable[[], object] = partial(passed, name, of_point, told, passings)
        arm(name, action)
    return list(arguments[end + 1 :])


if __name__ == "__main__":
    sys.argv[1:] = armed(sys.argv[1:])
    main()
