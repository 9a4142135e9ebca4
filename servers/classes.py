"""The servers' classes as Java loads them, written once: a start then takes a third less of the processor.

See "Class Data Sharing" in Java's own guide. Java itself sees to it that an archive is of its own version
and of this class path, and loads the classes as ever if it is not, or if there is none.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from servers.process import ServerProcess

_STOP_SECONDS_MAX: Final = 60.0


def archive(java: Path, class_path: str, jars: Path) -> Path:
    """Return where the archive of a class path is for a Java, whether it is there or not."""
    digest = hashlib.sha256(f"{java.resolve()}\n{class_path}".encode()).hexdigest()
    return jars / f"classes-{digest[:16]}.jsa"


def with_archive(java: Path, class_path: str, jars: Path) -> tuple[str, ...]:
    """Return the options of Java for a class path, with its archive if that is there."""
    path = archive(java, class_path, jars)
    shared = (f"-XX:SharedArchiveFile={path}",) if path.exists() else ()
    return (*shared, "-cp", class_path)


def write_archive(path: Path, server: Callable[[Path, str], ServerProcess]) -> bool:
    """Let a server run once and write down what it loads, unless that was done; return whether it was now.

    Args:
        path: The archive.
        server: Returns a server in an empty folder, with an option for its Java.

    Raises:
        ServerError: the server does not start.
    """
    if path.exists():
        return False
    # In the archive's own folder, so that giving it its name is a rename.
    with tempfile.TemporaryDirectory(prefix=".running-", dir=path.parent) as folder:
        written = Path(folder) / path.name
        with server(Path(folder) / "server", f"-XX:ArchiveClassesAtExit={written}") as running:
            running.launch()
            running.stop(_STOP_SECONDS_MAX)
        if not written.exists():
            return False
        written.replace(path)
    return True
