"""One batch job at a time for each home."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


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
    with (folder / "job.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise BatchRuns(
                f"another batch job runs in {folder} ({holder}): wait for its end, or stop it; "
                "whatever it had not finished is done again"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}: {what}\n")
        file.flush()
        yield
