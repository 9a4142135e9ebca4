"""What every test shares: a Hypothesis profile, repeatable and without a clock; signals; and what runs first."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest
from hypothesis import settings

LONGEST: Sequence[str] = (
    "documentation/test_commands.py",
    "batch/test_spark.py",
    "faults/test_chaos.py",
    "faults/test_workers.py",
    "browser/test_console.py",
    "end_to_end/test_kill.py",
)
"""The modules that take minutes. They begin first, so that none of them is left over at the end."""

# Examples come from a fixed seed, so that a failure seen once is seen again; a slow machine is
# no failure, so there is no deadline.
settings.register_profile("rung", deadline=None, derandomize=True)
settings.load_profile("rung")


# A script's command in the background ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first, whatever the order of the others."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get("/".join(item.path.parts[-2:]), len(places)))
