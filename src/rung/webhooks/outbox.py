"""What webhooks remember: how far the log is followed, which steps were told, and what is still to be sent.

A SQLite file of the home. What was seen, what it led to, and the position behind it are one durable
change, so that a crash neither forgets a message nor makes one up. What is deleted is overwritten: the
messages name users.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from rung.webhooks.changes import Change

FORMAT: Final = "rung-webhooks-1"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS told (
    ladder BLOB PRIMARY KEY, user BLOB NOT NULL, ends_at INTEGER NOT NULL, counts TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS told_by_user ON told (user);
CREATE INDEX IF NOT EXISTS told_by_end ON told (ends_at);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user BLOB NOT NULL,
    body BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL DEFAULT 0,
    is_parked INTEGER NOT NULL DEFAULT 0,
    cause TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS messages_by_user ON messages (user, number);
CREATE INDEX IF NOT EXISTS messages_by_due ON messages (is_parked, due_at);
"""
_DUE: Final = """
SELECT number, id, body, attempts FROM messages AS one WHERE is_parked = 0 AND due_at <= ?
AND NOT EXISTS (SELECT 1 FROM messages AS other WHERE other.user = one.user AND other.number < one.number)
ORDER BY due_at, number LIMIT ?
"""
_COUNTED: Final = """
SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM messages WHERE is_parked = 1),
(SELECT count(*) FROM messages WHERE user IN (SELECT user FROM messages WHERE is_parked = 1))
"""
_FAILED: Final = """
UPDATE messages SET attempts = attempts + 1, due_at = ?, cause = ?, is_parked = ? WHERE number = ?
"""
_FIX: Final = "Move it away to begin anew: every step that is met is told again then, under the id it had"
_decode_counts: Final = msgspec.json.Decoder(dict[str, int]).decode


class OutboxUnreadable(Exception):
    """The file cannot be used; the text says what to do."""


class Message(NamedTuple):
    """A message that is due, and how often it was tried."""

    number: int
    message_id: str
    body: bytes
    attempts: int


class Waiting(NamedTuple):
    """How many messages wait.

    `parked` are those that are not tried any more, `held` these and the ones behind them, and `cause` is why
    the last one that failed did.
    """

    messages: int
    parked: int
    held: int
    cause: str


class Outbox:
    """The file; for one thread. Another process may look at it, and forget users in it."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it where there is none.

        Raises:
            OutboxUnreadable: it is no such file, or of another release.
        """
        self._path = path
        try:
            self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None)
            path.chmod(0o600)
            for pragma in ("journal_mode=TRUNCATE", "synchronous=FULL", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
        except sqlite3.Error as error:
            raise OutboxUnreadable(f"{path} cannot be used: {error}. {_FIX}") from error
        if (found := self.noted("format")) != FORMAT:
            self._db.close()
            raise OutboxUnreadable(
                f"{path} has the format {found!r}, and this release reads {FORMAT!r}. {_FIX}"
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def change(self) -> Generator[None]:
        """Make what is done inside one durable change."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def noted(self, key: str) -> str | None:
        """Return what was noted, None if nothing was."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, key: str, value: str) -> None:
        """Note something; inside of a change."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def positions(self) -> dict[int, int]:
        """Return the next offset to look at, of each partition that was followed."""
        return dict(self._db.execute("SELECT partition, next_offset FROM positions").fetchall())

    def follow_from(self, positions: Mapping[int, int]) -> None:
        """Note the next offset of partitions; inside of a change."""
        self._db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", positions.items())

    def told(self, ladders: Sequence[bytes]) -> list[dict[str, int]]:
        """Return how often each step of each ladder has changed, as far as it was told."""
        find = "SELECT counts FROM told WHERE ladder = ?"
        rows = [self._db.execute(find, (ladder,)).fetchone() for ladder in ladders]
        return [{} if row is None else _decode_counts(row[0]) for row in rows]

    def tell(
        self, ladder: bytes, ends_at: int, counts: Mapping[str, int], user: bytes, messages: Sequence[Change]
    ) -> None:
        """Note how often the steps of a ladder have changed, and add the messages; inside of a change."""
        encoded = msgspec.json.encode(counts).decode()
        self._db.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?)", (ladder, user, ends_at, encoded))
        self._db.executemany(
            "INSERT OR IGNORE INTO messages (id, user, body) VALUES (?, ?, ?)",
            [(one.message_id, user, one.body) for one in messages],
        )

    def forget_before(self, ends_at: int) -> None:
        """Forget the ladders of periods that ended before a time; inside of a change."""
        self._db.execute("DELETE FROM told WHERE ends_at < ?", (ends_at,))

    def forget_user(self, user: bytes) -> int:
        """Forget a user, and return how many messages about the user were left; inside of a change."""
        self._db.execute("DELETE FROM told WHERE user = ?", (user,))
        return self._db.execute("DELETE FROM messages WHERE user = ?", (user,)).rowcount

    def due(self, at: int, count_max: int) -> list[Message]:
        """Return messages that may be sent now, at most one of each user: the user's oldest."""
        found = self._db.execute(_DUE, (at, count_max))
        return [Message(*row) for row in found.fetchall()]

    def delivered(self, message: Message) -> None:
        """Delete a message that was taken; inside of a change."""
        self._db.execute("DELETE FROM messages WHERE number = ?", (message.number,))

    def failed(self, message: Message, due_at: int, cause: str, *, is_parked: bool) -> None:
        """Note that a message was not taken, and when it is due again; inside of a change."""
        self._db.execute(_FAILED, (due_at, cause, is_parked, message.number))

    def retry(self) -> int:
        """Make every message due now, those that are parked among them; return how many were parked."""
        with self.change():
            parked = self.waiting().parked
            self._db.execute("UPDATE messages SET attempts = 0, due_at = 0, is_parked = 0")
        return parked

    def waiting(self) -> Waiting:
        """Return how many messages wait."""
        messages, parked, held = self._db.execute(_COUNTED).fetchone()
        last = self._db.execute(
            "SELECT cause FROM messages WHERE cause <> '' ORDER BY due_at DESC, number DESC LIMIT 1"
        ).fetchone()
        return Waiting(messages, parked, held, "" if last is None else str(last[0]))
