"""The jars of the servers: what the lock says, and that nothing else is taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from servers import sources
from servers.errors import ServerError
from servers.jars import CACHE, LOCK, Jar, class_path, fetch, read_lock, sha256, verified
from servers.lock import ROOTS

CONTENT = b"a jar"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Return a lock of one jar that no repository has."""
    sample = tmp_path / "sample"
    sample.write_bytes(CONTENT)
    lock = tmp_path / "jars.lock"
    lock.write_text(f"# one\n\n[one]\nno.such.group:thing:1.0  {sha256(sample)}\n")
    return lock


def _only(monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    """Let one source bring this content for every jar, None nothing at all, and all others nothing."""

    def bring(jars: Sequence[Jar], staging: Path) -> list[str]:
        for jar in jars:
            if content is not None:
                (staging / jar.file_name).write_bytes(content)
        return ["here: nothing found"]

    def nothing(_jars: Sequence[Jar], _staging: Path) -> list[str]:
        return []

    monkeypatch.setattr(sources, "from_repository", bring)
    monkeypatch.setattr(sources, "with_jgo", nothing)
    monkeypatch.setattr(sources, "with_mvn", nothing)


def test_the_lock() -> None:
    """Each jar of the lock is there once, with a version and a SHA-256; the file names no address."""
    sets = read_lock()
    assert sets.keys() == ROOTS.keys()
    for name, jars in sets.items():
        coordinates = [jar.coordinate for jar in jars]
        assert len(coordinates) == len(set(coordinates))
        assert set(ROOTS[name]) <= set(coordinates)
    assert re.search(r"://|\bwww\.", LOCK.read_text(encoding="utf-8")) is None


@pytest.mark.parametrize(
    "line", ["group:artifact  " + "a" * 64, "group:artifact:1  abc", "group:artifact:1 " + "a" * 64, "x"]
)
def test_a_lock_that_is_not_understood(tmp_path: Path, line: str) -> None:
    """A line without version, checksum or the two spaces is refused, with its number."""
    lock = tmp_path / "jars.lock"
    lock.write_text(f"[one]\n{line}\n")
    with pytest.raises(ServerError, match="jars.lock:2: not `group:artifact:version  sha256`"):
        read_lock(lock)


def test_a_fetched_jar(tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes with the locked checksum is in the cache, alone, and is not fetched again."""
    _only(monkeypatch, CONTENT)
    cache = tmp_path / "cache"
    assert [fetch("one", cache=cache, lock=lock) for _ in range(2)] == [1, 0]
    assert [file.name for file in cache.iterdir()] == ["thing-1.0.jar"]
    assert class_path(verified("one", cache=cache, lock=lock)) == str(cache / "thing-1.0.jar")


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"another jar", "what came has another SHA-256 than the lock"), (None, "here: nothing found")],
)
def test_a_jar_that_does_not_come(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, why: str
) -> None:
    """What comes with another checksum, or not at all, leaves nothing behind; the error says what to do."""
    _only(monkeypatch, content)
    cache = tmp_path / "cache"
    with pytest.raises(ServerError, match=f"1 jars could not be fetched .*thing:1.0.*(?s:.*){why}"):
        fetch("one", cache=cache, lock=lock)
    assert list(cache.iterdir()) == []


def test_a_damaged_jar(tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jar that was changed in the cache is refused by name before any start."""
    _only(monkeypatch, CONTENT)
    cache = tmp_path / "cache"
    fetch("one", cache=cache, lock=lock)
    (cache / "thing-1.0.jar").write_bytes(CONTENT[:-1])
    with pytest.raises(ServerError, match=r"thing-1\.0\.jar is damaged or was replaced.* Remove it"):
        verified("one", cache=cache, lock=lock)


def test_a_repository_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jar that Maven has brought before is copied from where Maven keeps it."""
    jar = Jar("org.some", "thing", "1.0", "so", "")
    file = tmp_path / "repository" / "org" / "some" / "thing" / "1.0" / "thing-1.0.so"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))
    assert sources.from_repository([jar], tmp_path) == []
    assert (tmp_path / "thing-1.0.so").read_bytes() == CONTENT


def test_no_mvn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mvn, that is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sources.with_mvn([], tmp_path) == ["mvn: not on the PATH"]


def test_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that DynamoDB Local has no library for, the error names another way."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ServerError, match=r"this machine is aarch64: use deploy/compose\.yaml"):
        verified("dynamodb", cache=CACHE)
