"""Where a worker's time goes: its phases, timed from outside, a few clock readings per batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest import mock

import rung.speed.decide as deciding
from rung.log.embedded_consumer import EmbeddedConsumer
from rung.plan.run import Plans
from rung.store.lmdb import LmdbStore

_PHASES: Final[tuple[tuple[object, str, str], ...]] = (
    (EmbeddedConsumer, "poll", "poll the log"),
    (deciding, "decode_judged", "decode and validate events"),
    (deciding, "distinct", "group by id"),
    (LmdbStore, "transactions", "read histories"),
    (deciding, "decode_transactions", "decode histories"),
    (deciding, "merge", "merge histories"),
    (deciding, "histories_table", "build the plan's columns"),
    (Plans, "contributions", "run the plans"),
    (LmdbStore, "users", "read figures"),
    (deciding, "add_figures", "add figures"),
    (deciding, "_transaction_entries", "encode histories"),
    (deciding, "_applied_after", "positions"),
    (LmdbStore, "commit", "commit, durable"),
)
"""Where each phase starts and ends; none of them is within another."""


@contextmanager
def timed() -> Generator[dict[str, float]]:
    """Give the seconds spent in each phase, by all workers of this process meanwhile."""
    seconds = {name: 0.0 for _, _, name in _PHASES}

    def timing(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                seconds[name] += time.perf_counter() - started

        return call

    with ExitStack() as patched:
        for owner, attribute, name in _PHASES:
            replacement = timing(getattr(owner, attribute), name)
            patched.enter_context(mock.patch.object(owner, attribute, replacement))
        yield seconds


def as_profile(seconds: dict[str, float], whole_seconds: float, events: int) -> dict[str, str]:
    """Return the microseconds per event and the share of each phase, and of what is in none."""
    rest = whole_seconds - sum(seconds.values())
    return {
        name: f"{spent / events * 1e6:6.2f} us {spent / whole_seconds:6.1%}"
        for name, spent in (*seconds.items(), ("the rest", rest), ("all", whole_seconds))
    }
