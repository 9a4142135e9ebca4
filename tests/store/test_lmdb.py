"""The LMDB store passes the contract, and keeps its own promises."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import lmdb
import pytest

from harness import user_records
from rung.store.lmdb import LmdbStore
from rung.store.port import Applied, StoreError
from store.contract import AT, Open, StoreContract, change, entries


class TestLmdbStore(StoreContract):
    """The contract, over a directory."""

    def opener(self, tmp_path_factory: pytest.TempPathFactory) -> Open:
        """Return a function that opens one directory."""
        directory = tmp_path_factory.mktemp("store")
        return lambda: LmdbStore(directory)


def test_nothing_to_read(tmp_path: Path) -> None:
    """A reader of a store that is not there is told what to do."""
    with pytest.raises(StoreError, match=r"there is no store in .*; run `rung init` first"):
        LmdbStore(tmp_path, read_only=True)


def test_another_format(tmp_path: Path) -> None:
    """A store of another format is refused by name, not read."""
    LmdbStore(tmp_path).close()
    environment = lmdb.open(str(tmp_path), max_dbs=8)
    with environment.begin(write=True, db=environment.open_db(b"meta")) as writing:
        writing.put(b"format", b"rung-store-9")
    environment.close()
    with pytest.raises(
        StoreError, match=r"has the format b'rung-store-9'; this release reads b'rung-store-1'"
    ):
        LmdbStore(tmp_path)


def test_a_full_store(tmp_path: Path) -> None:
    """A change that does not fit is refused with the fix, and what was stored stays readable."""
    store = LmdbStore(tmp_path, map_bytes=512 * 1024)
    store.commit(change(users=entries((b"u", b"small"))))
    with pytest.raises(StoreError, match=r"is full: raise `store.map_bytes`"):
        store.commit(
            change(expected={0: Applied(4, AT)}, users=entries((b"u", b"x" * 600 * 1024), u=b"small"))
        )
    assert list(store.users([b"u"])) == [b"small"]
    store.commit(change(expected={0: Applied(4, AT)}, users=entries((b"u", b"next"), u=b"small")))
    assert list(store.users([b"u"])) == [b"next"]
    store.close()


WRITER = """
    import sys
    from pathlib import Path
    from rung.store.lmdb import LmdbStore
    from rung.store.port import NOTHING_APPLIED, Applied, Change, Counters, Entries

    store = LmdbStore(Path(sys.argv[1]))
    before = store.applied().get(0, NOTHING_APPLIED)
    while True:
        after = Applied(before.offset + 1, None)
        value = str(after.offset).encode()
        keys = [b"%d" % k for k in range(200)]
        users = Entries(keys, store.users(keys), [value] * 200, keys)
        store.commit(Change(0, {0: before}, {0: after}, users=users, counters=Counters(events=1)))
        print(after.offset, flush=True)
        before = after
"""


def test_killed_between_any_two_instructions(tmp_path: Path) -> None:
    """After a kill -9 every acknowledged change is there, and the last one whole or not at all."""
    acknowledged = -1
    for lines in (3, 1, 7, 2, 5):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        store = LmdbStore(tmp_path)
        applied = store.applied()[0].offset
        assert applied >= acknowledged
        assert store.counters().events == applied + 1
        assert set(user_records(store).values()) == {str(applied).encode()}
        store.close()


def test_a_moment_is_never_ahead_of_what_is_read(tmp_path: Path) -> None:
    """While another process commits, what is read at a moment holds every change up to it."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        store = LmdbStore(tmp_path)
        seen: set[tuple[int, int]] = set()
        deadline = time.monotonic() + 60
        while len(seen) < 50:
            moment = store.moment()
            assert moment is not None
            seen.add((moment, store.applied()[0].offset))
            assert time.monotonic() < deadline, f"{len(seen)} moments in a minute"
        writer.kill()
    # What the writer was about to show when it was killed is shown once nobody has the store open.
    store.close()
    store = LmdbStore(tmp_path)
    moment, offset = store.moment(), store.applied()[0].offset
    assert moment is not None
    # Each change of the writer moves both by one.
    assert max(moment - offset for moment, offset in seen) <= moment - offset
    store.close()


def test_read_beside_the_writer(tmp_path: Path) -> None:
    """A reader in another process sees each change as soon as it is committed."""
    store = LmdbStore(tmp_path)
    reader = """
        import sys
        from pathlib import Path
        from rung.store.lmdb import LmdbStore
        store = LmdbStore(Path(sys.argv[1]), read_only=True)
        for line in sys.stdin:
            print(store.standing(b"u", 0).figures, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(reader), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for offset in range(5):
            before = {0: store.applied().get(0, Applied(-1, None))}
            users = entries((b"u", b"%d" % offset), **({"u": b"%d" % (offset - 1)} if offset else {}))
            store.commit(change(expected=before, applied={0: Applied(offset, None)}, users=users))
            process.stdin.write("read\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{str(offset).encode()!r}\n"
        process.stdin.close()
    store.close()
