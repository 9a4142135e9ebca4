"""The servers' jars: pinned with their SHA-256 in `jars.lock`, fetched once, verified before every start.

A jar comes from this machine's Maven repository if it is there, else through jgo, else through mvn. Each of
these knows by itself where jars are served. Whatever comes is only taken if its checksum is the locked one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servers.errors import ServerError

PROJECT: Final = Path(__file__).parents[1]
CACHE: Final = PROJECT / ".servers" / "jars"
LOCK: Final = Path(__file__).with_name("jars.lock")
NATIVE_MACHINE: Final = "x86_64"
"""The machine that DynamoDB Local's own libraries are locked for."""

_line: Final = re.compile(
    r"(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+)(?::(?P<kind>\w+))?"
    r"  (?P<sha256>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of a server. `kind` is `jar`, or `so` for a native library."""

    group: str
    artifact: str
    version: str
    kind: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """Return the name that Maven knows it by, as in the lock."""
        kind = "" if self.kind == "jar" else f":{self.kind}"
        return f"{self.group}:{self.artifact}:{self.version}{kind}"

    @property
    def file_name(self) -> str:
        """Return the name of its file."""
        return f"{self.artifact}-{self.version}.{self.kind}"

    @property
    def repository_path(self) -> Path:
        """Return where it is in a Maven repository."""
        return Path(*self.group.split("."), self.artifact, self.version, self.file_name)


def read_lock(lock: Path = LOCK) -> dict[str, tuple[Jar, ...]]:
    """Return the jars of each server.

    Raises:
        ServerError: a line is not understood; the text names it.
    """
    sets: dict[str, list[Jar]] = {}
    jars: list[Jar] | None = None
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            jars = sets.setdefault(line[1:-1], [])
            continue
        parts = _line.fullmatch(line)
        if parts is None or jars is None:
            raise ServerError(
                f"{lock.name}:{number}: not `group:artifact:version  sha256` in a [set]: {line!r}. "
                "`python -m servers lock` writes the file again"
            )
        jars.append(
            Jar(parts["group"], parts["artifact"], parts["version"], parts["kind"] or "jar", parts["sha256"])
        )
    return {name: tuple(found) for name, found in sets.items()}


def sha256(file: Path) -> str:
    """Return the checksum of a file's content, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def fetch(name: str, *, cache: Path = CACHE, lock: Path = LOCK) -> int:
    """Bring the jars of a server that are not in the cache, and return how many those were.

    Jars that are there are verified. A file gets its name in the cache only once its checksum is right.

    Raises:
        ServerError: a jar in the cache is damaged, or one cannot be fetched; the text names it.
    """
    from servers import sources

    cache.mkdir(parents=True, exist_ok=True)
    jars = read_lock(lock)[name]
    missing = [jar for jar in jars if not (cache / jar.file_name).exists()]
    _verify([jar for jar in jars if jar not in missing], cache)
    total = len(missing)
    if missing:
        # In the cache's own folder, so that taking a file into it is a rename.
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache) as staging:
            problems: list[str] = []
            for source in (sources.from_repository, sources.with_jgo, sources.with_mvn):
                problems += source(missing, Path(staging))
                missing, refused = _take(missing, Path(staging), cache)
                problems += refused
                if not missing:
                    break
            else:
                raise ServerError(_not_fetched(missing, problems))
    return total


def verified(name: str, *, cache: Path = CACHE, lock: Path = LOCK) -> tuple[Path, ...]:
    """Return the files of a server, fetched if need be, each with the locked checksum.

    Raises:
        ServerError: as `fetch`, or the server does not run on this kind of machine.
    """
    jars = read_lock(lock)[name]
    if any(jar.kind != "jar" for jar in jars) and platform.machine() != NATIVE_MACHINE:
        raise ServerError(
            f"the {name} server has a native library for {NATIVE_MACHINE} only, and this machine is "
            f"{platform.machine()}: use deploy/compose.yaml"
        )
    fetch(name, cache=cache, lock=lock)
    return tuple(cache / jar.file_name for jar in jars)


def class_path(files: Sequence[Path]) -> str:
    """Return what `java -cp` takes: all of the files that are jars."""
    return os.pathsep.join(str(file) for file in files if file.suffix == ".jar")


def _verify(jars: Sequence[Jar], cache: Path) -> None:
    for jar in jars:
        file = cache / jar.file_name
        if sha256(file) != jar.sha256:
            raise ServerError(
                f"{file} is damaged or was replaced: it is not {jar.coordinate} with the locked SHA-256. "
                "Remove it, and it is fetched again"
            )


def _take(jars: Sequence[Jar], staging: Path, cache: Path) -> tuple[list[Jar], list[str]]:
    """Move what came and is right into the cache; return what is still missing, and what was refused."""
    missing: list[Jar] = []
    refused: list[str] = []
    for jar in jars:
        file = staging / jar.file_name
        if file.exists() and sha256(file) == jar.sha256:
            file.replace(cache / jar.file_name)
            continue
        missing.append(jar)
        if file.exists():
            refused.append(f"{jar.coordinate}: what came has another SHA-256 than the lock")
            file.unlink()
    return missing, refused


def _not_fetched(missing: Sequence[Jar], problems: Sequence[str]) -> str:
    names = ", ".join(jar.coordinate for jar in missing[:3]) + (" ..." if len(missing) > 3 else "")
    ways = "have the machine reach Maven's central repository or a mirror of it (in ~/.m2/settings.xml)"
    if shutil.which("mvn") is None:
        ways += ", install Maven (on Debian and Ubuntu: apt-get install maven)"
    return "\n  ".join(
        [f"{len(missing)} jars could not be fetched ({names}): {ways}, and try again", *problems]
    )
