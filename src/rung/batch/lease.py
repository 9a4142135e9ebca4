"""One batch job at a time for each home."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from rung.exclusive import Held, exclusive, holder

_LOCK: Final = "job.lock"


class BatchRuns(Exception):
    """Another batch job has the lease."""


@contextmanager
def only_job(folder: Path, what: str) -> Generator[None]:
    """Hold the right to write the batch layer's files; the operating system takes it back at the end.

    Args:
        folder: Where those files are.
        what: What the job does, for whoever comes second.

    Raises:
        BatchRuns: another process has it; the text says which, and what it does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(folder / _LOCK, f"process {os.getpid()}: {what}"))
        except Held as error:
            raise BatchRuns(
                f"another batch job runs in {folder} ({error}): wait for its end, or stop it; "
                "whatever it had not finished is done again"
            ) from error
        yield


def running_job(folder: Path) -> str | None:
    """Return what the batch job that has the lease does, with its process id; None if none runs."""
    return holder(folder / _LOCK)
