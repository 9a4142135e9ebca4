"""The file of keys: for its owner alone, read again when it has changed, and never lost."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from callers import KEY, KEYS, key_of, put_key
from rung.access.keys import Keys, KeysDamaged
from rung.access.permissions import Scope
from rung.status.key_file import LOOK_EVERY_SECONDS, KeyFile, KeysBusy, changing_keys, read_keys

NEVER_REVOKED = 1


class Monotonic:
    """A clock in seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += LOOK_EVERY_SECONDS
        return self.now


def test_written_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody but the owner may read the file, whatever the umask and what stood there before."""
    path = tmp_path / "keys.json"
    path.with_name("keys.json.part").write_text("left behind", encoding="ascii")
    for _ in range(2):
        with changing_keys(path) as (_before, put):
            put(KEYS)
        assert path.stat().st_mode & 0o777 == 0o600
    assert read_keys(path).stored == KEYS.stored


def test_one_change_at_a_time(tmp_path: Path) -> None:
    """While a command changes the keys another one is refused, and nothing is lost."""
    path = tmp_path / "keys.json"
    with (
        changing_keys(path) as (_before, put),
        pytest.raises(KeysBusy, match="changed by another command"),
        changing_keys(path),
    ):
        raise AssertionError("two at once")
    with changing_keys(path) as (_before, put):
        put(KEYS)
    assert read_keys(path).caller(KEY, NEVER_REVOKED) is not None


def test_changes_are_seen(tmp_path: Path) -> None:
    """A key that is made, revoked or taken away shows with the next look."""
    keys = KeyFile(tmp_path / "keys.json", Monotonic()).keys
    assert keys().caller(KEY, NEVER_REVOKED) is None
    put_key(tmp_path)
    assert keys().caller(KEY, NEVER_REVOKED) is not None
    revoked, _ = KEYS.revoke(KEYS.stored[0].id, 5)
    with changing_keys(tmp_path / "keys.json") as (_before, put):
        put(revoked)
    assert keys().caller(KEY, NEVER_REVOKED) is None
    put_key(tmp_path)
    assert keys().caller(KEY, NEVER_REVOKED) is not None
    (tmp_path / "keys.json").unlink()
    assert keys().caller(KEY, NEVER_REVOKED) is None


@pytest.mark.parametrize(
    ("content", "mode"), [(b"{", 0o600), (KEYS.encode(), 0o640), (b" " * 5_000_000, 0o600)]
)
def test_a_file_that_cannot_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, mode: int
) -> None:
    """Keys that cannot be read refuse a start; in a server that runs the last good ones go on, and it says so."""
    path = tmp_path / "keys.json"
    put_key(tmp_path)
    keys = KeyFile(path, Monotonic()).keys
    path.write_bytes(content)
    path.chmod(mode)
    with caplog.at_level(logging.ERROR):
        assert keys().caller(KEY, NEVER_REVOKED) is not None
    assert "keys_unreadable" in caplog.text
    with pytest.raises(KeysDamaged, match=str(path)):
        KeyFile(path)


def test_it_is_seldom_looked_at(tmp_path: Path) -> None:
    """Between two looks the keys are those of the last one: a request costs no look at the disk."""
    at = [0.0]
    keys = KeyFile(tmp_path / "keys.json", lambda: at[0]).keys
    put_key(tmp_path)
    at[0] = 0.99 * LOOK_EVERY_SECONDS
    assert keys() is keys()
    assert keys().caller(KEY, NEVER_REVOKED) is None
    at[0] = LOOK_EVERY_SECONDS
    assert keys().caller(KEY, NEVER_REVOKED) is not None


def test_keys_of_several_services(tmp_path: Path) -> None:
    """Each key stands for its own service and scopes."""
    (one, first), (two, second) = (
        key_of(number, scope) for number, scope in ((2, Scope.STATUS_READ), (3, Scope.EVENTS_WRITE))
    )
    with changing_keys(tmp_path / "keys.json") as (_before, put):
        put(Keys((*one.stored, *two.stored)))
    keys = read_keys(tmp_path / "keys.json")
    names = [getattr(keys.caller(text, NEVER_REVOKED), "name", None) for text in (first, second, KEY)]
    assert names == ["key:020202020202", "key:030303030303", None]
