"""Opening an LMDB environment, and its errors in this project's words."""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from rung.log.port import LogError

MAP_BYTES_MAX = 1 << 40 if sys.maxsize > 1 << 32 else 1 << 30
"""How large a log can grow. It is address space, not disk space: the file is as large as its content."""
READERS_MAX = 1_024


def open_environment(folder: Path, map_bytes_max: int, *, readonly: bool) -> lmdb.Environment:
    """Open the environment in a folder; unless it is to be read only, make it if there is none.

    Raises:
        LogError: the folder cannot be used, holds something else, or is open in this process.
    """
    with translated(folder, "open"):
        return lmdb.open(
            str(folder),
            map_size=map_bytes_max,
            readonly=readonly,
            create=not readonly,
            mode=0o600,
            max_readers=READERS_MAX,
            max_dbs=2,
        )


@contextmanager
def translated(folder: Path, doing: str) -> Generator[None]:
    """Turn LMDB's errors into `LogError`s that say what was being done, where, and the fix."""
    try:
        yield
    except lmdb.Error as error:
        raise LogError(f"cannot {doing} the log in {folder}: {_explain(error, folder)}") from error


def _explain(error: lmdb.Error, folder: Path) -> str:
    match error:
        case lmdb.MapFullError():
            return (
                "it has reached its size limit; trim it, or raise the limit for every process that opens it"
            )
        case lmdb.MapResizedError():
            return "another process gave it a larger size limit; use one limit and start this process again"
        case lmdb.ReadersFullError():
            return f"more than {READERS_MAX:,} reads at once; run fewer processes on it"
        case lmdb.InvalidError() | lmdb.VersionMismatchError():
            return f"data.mdb is not the file of a log ({error}); choose another folder"
        case lmdb.CorruptedError() | lmdb.PageNotFoundError():
            return f"it is damaged ({error}); restore it from a copy"
        case lmdb.PanicError():
            return f"a write has failed before ({error}); mend the disk and start this process again"
        # Errors that LMDB returns have a code, those that its binding finds have none.
        case _ if getattr(error, "code", 0) in (errno.EIO, errno.ENOSPC, errno.EFBIG):
            # LMDB reports a write that was cut short as an input/output error, also on a full disk.
            free = shutil.disk_usage(folder).free
            return f"{error}; nothing of it was kept. Is the disk full? It has {free:,} bytes free"
        case _:
            return str(error)
