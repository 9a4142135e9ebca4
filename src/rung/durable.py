"""Files that are there whole or not at all, whatever ends the process or the machine."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Make durable what a file holds, or that a folder lists the files in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file durably, in place of the one that may be there; its folder has to be.

    `mode` says who may read and write it, from its first byte on; without it the process's umask does.
    """
    part = path.with_name(f"{path.name}.part")
    if mode is not None:
        # A part that was left behind may be readable by others.
        part.unlink(missing_ok=True)
        part.touch(mode)
    part.write_bytes(content)
    sync(part)
    part.rename(path)
    sync(path.parent)
