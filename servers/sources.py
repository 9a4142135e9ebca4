"""Where jars come from. Each source puts what it finds into a folder, and says in words what it could not do.

Nothing here judges a file: `servers.jars` takes it by its checksum, or not at all.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from servers.jars import Jar

_AT_ONCE: Final = 8
_JGO_TIMEOUT_SECONDS: Final = 60
_MVN_TIMEOUT_SECONDS: Final = 600


def from_repository(jars: Sequence[Jar], staging: Path) -> list[str]:
    """Copy from the Maven repository of this user; what is not there is no problem."""
    repository = Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")
    for jar in jars:
        file = repository / jar.repository_path
        if file.is_file():
            shutil.copyfile(file, staging / jar.file_name)
    return []


def with_jgo(jars: Sequence[Jar], staging: Path) -> list[str]:
    """Download with jgo, each coordinate for itself: nothing is resolved, so nothing else is chosen."""
    if importlib.util.find_spec("jgo") is None:
        return ["jgo: not installed (it is among the test tools: `make test` brings it)"]
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    context = MavenContext(
        repo_cache=staging / "jgo",
        remote_repos=GlobalSettings.load().repositories or None,
        timeout=_JGO_TIMEOUT_SECONDS,
    )

    def download(jar: Jar) -> list[str]:
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            file = component.artifact(packaging=jar.kind).resolve()
        except Exception as error:
            # Told to the user, if the next source has no better luck.
            return [f"jgo: {jar.coordinate}: {type(error).__name__}"]
        file.replace(staging / jar.file_name)
        return []

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return [problem for problems in threads.map(download, jars) for problem in problems]


def with_mvn(jars: Sequence[Jar], staging: Path) -> list[str]:
    """Download with mvn, if it is on the PATH."""
    pom = staging / "pom.xml"
    pom.write_text(
        project([(jar.group, jar.artifact, jar.version, jar.kind) for jar in jars]), encoding="utf-8"
    )
    return run_mvn(
        pom, "dependency:copy-dependencies", "-DexcludeTransitive=true", f"-DoutputDirectory={staging}"
    )


def run_mvn(pom: Path, *arguments: str) -> list[str]:
    """Run a goal of a project; return what went wrong."""
    mvn = shutil.which("mvn")
    if mvn is None:
        return ["mvn: not on the PATH"]
    try:
        ended = subprocess.run(
            [mvn, "--quiet", "--batch-mode", "--file", str(pom), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_MVN_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return [f"mvn: took longer than {_MVN_TIMEOUT_SECONDS} seconds"]
    errors = [line for line in ended.stdout.splitlines() if "ERROR" in line]
    return [f"mvn: {errors[0] if errors else ended.stderr[-500:]}"] if ended.returncode else []


def project(dependencies: Sequence[tuple[str, str, str, str]]) -> str:
    """Return the text of a Maven project that depends on (group, artifact, version, kind)."""
    listed = "\n".join(
        f"<dependency><groupId>{escape(group)}</groupId><artifactId>{escape(artifact)}</artifactId>"
        f"<version>{escape(version)}</version><type>{escape(kind)}</type></dependency>"
        for group, artifact, version, kind in dependencies
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion>\n"
        "<groupId>rung</groupId><artifactId>servers</artifactId><version>1</version>\n"
        f"<dependencies>\n{listed}\n</dependencies></project>\n"
    )
