"""Chooses the jars again: what each server's own project asks for, with the checksums of what came.

For maintainers, after a version in `ROOTS` was changed. It needs mvn, whose choice of versions is the one
that the servers are built with.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from servers import sources
from servers.errors import ServerError
from servers.jars import LOCK, Jar, sha256

ROOTS: Final[dict[str, tuple[str, ...]]] = {
    "kafka": ("org.apache.kafka:kafka_2.13:4.4.0", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"),
    "dynamodb": (
        "software.amazon.dynamodb:DynamoDBLocal:3.3.1",
        # Builds the server from a description, so on loopback only; its version is that of the other jars.
        "org.eclipse.jetty:jetty-xml:12.1.11",
    ),
}

_LEFT_OUT: Final = frozenset({
    "libsqlite4java-linux-i386", "libsqlite4java-osx", "sqlite4java-win32-x64", "sqlite4java-win32-x86",
    "hamcrest-core", "mockito-core", "objenesis",
})  # fmt: skip
"""Libraries for other machines, and test tools that DynamoDB Local lists among what it runs with."""

_KINDS: Final = frozenset({".jar", ".so"})
"""What is no description of a project, which comes along."""

_HEAD: Final = """\
# The jars of the servers. `python -m servers lock` writes this file; servers/lock.py has the versions.
# A line is group:artifact:version and SHA-256; a native library has its kind behind the version.
"""


def write_lock(lock: Path = LOCK) -> int:
    """Write the lock, and return how many jars are in it.

    Raises:
        ServerError: mvn is not there, or could not resolve a version; the text says which.
    """
    text = _HEAD
    total = 0
    for name, roots in ROOTS.items():
        jars = _resolved(roots)
        total += len(jars)
        text += f"\n[{name}]\n" + "".join(f"{jar.coordinate}  {jar.sha256}\n" for jar in jars)
    lock.write_text(text, encoding="utf-8")
    return total


def _resolved(roots: tuple[str, ...]) -> list[Jar]:
    with tempfile.TemporaryDirectory(prefix="rung-lock-") as folder:
        pom = Path(folder) / "pom.xml"
        wanted = [(group, artifact, version, "jar") for group, artifact, version in map(_split, roots)]
        pom.write_text(sources.project(wanted), encoding="utf-8")
        found = Path(folder) / "jars"
        problems = sources.run_mvn(
            pom,
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-Dmdep.useRepositoryLayout=true",
            f"-DoutputDirectory={found}",
        )
        if problems:
            raise ServerError("\n  ".join(["the jars could not be resolved; this needs mvn", *problems]))
        jars = [_jar(file, found) for file in found.rglob("*") if file.suffix in _KINDS]
    return sorted((jar for jar in jars if jar.artifact not in _LEFT_OUT), key=lambda jar: jar.coordinate)


def _split(coordinate: str) -> tuple[str, str, str]:
    group, artifact, version = coordinate.split(":")
    return group, artifact, version


def _jar(file: Path, repository: Path) -> Jar:
    *group, artifact, version, _ = file.relative_to(repository).parts
    return Jar(".".join(group), artifact, version, file.suffix[1:], sha256(file))
