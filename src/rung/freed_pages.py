"""What LMDB leaves in its file of records that are gone, and how to have it overwritten.

LMDB does not touch a page that is free until it uses it again, and a key may stay in the inner pages of a
tree after its record. So what must not be found any more is gone only when free pages were used once more,
and the trees were made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

import lmdb

_PREFIX: Final = b"\x00overwriting-"
_VALUE: Final = bytes(1_900)
"""Two of them fill a page."""
_AT_ONCE: Final = 1_000
_GROWN_PAGES: Final = 64


def overwrite_freed(environment: lmdb.Environment) -> None:
    """Use every free page once, and free it again; others may read and write meanwhile.

    The file grows by some megabytes at most. Pages that an open read still needs stay as they are. The
    environment must have been opened after the records were removed: memory that it has used may hold them.
    """
    main = environment.open_db(None)
    _empty(environment, main)
    try:
        for number in count():
            before = environment.info()["last_pgno"]
            with environment.begin(write=True, db=main) as writing:
                for place in range(number * _AT_ONCE, (number + 1) * _AT_ONCE):
                    writing.put(_PREFIX + place.to_bytes(8), _VALUE)
            if environment.info()["last_pgno"] >= before + _GROWN_PAGES:
                break
    except lmdb.MapFullError:
        # No free page is left then, either.
        pass
    finally:
        _empty(environment, main)


def rewrite(environment: lmdb.Environment) -> None:
    """Write every record of all named databases once more, some at a time.

    The unused part of a page may hold what the memory had before it: a page that is written anew has none.
    """
    main = environment.open_db(None)
    with environment.begin(db=main) as reading, reading.cursor() as cursor:
        names = [bytes(key) for key in cursor.iternext(values=False)]
    for name in names:
        database = environment.open_db(name)
        last: bytes | None = b""
        while last is not None:
            last = _rewritten(environment, database, last)


def _rewritten(environment: lmdb.Environment, database: lmdb._Database, first: bytes) -> bytes | None:
    """Write some records from a key on once more, and return the key that follows them, None if none does."""
    with environment.begin(write=True, db=database) as writing, writing.cursor() as cursor:
        found = cursor.set_range(first) if first else cursor.first()
        for _ in range(_AT_ONCE):
            if not found:
                return None
            cursor.put(bytes(cursor.key()), bytes(cursor.value()))
            found = cursor.next()
        return bytes(cursor.key()) if found else None


def _empty(environment: lmdb.Environment, main: lmdb._Database) -> None:
    with environment.begin(write=True, db=main) as writing, writing.cursor() as cursor:
        found = cursor.set_range(_PREFIX)
        while found and bytes(cursor.key()).startswith(_PREFIX):
            found = cursor.delete()


def rebuild(environment: lmdb.Environment, databases: Sequence[lmdb._Database]) -> None:
    """Make the trees of databases anew from their records: no key that is gone is left in them."""
    for database in databases:
        with environment.begin(write=True, db=database) as writing:
            with writing.cursor() as cursor:
                records = [(bytes(key), bytes(value)) for key, value in cursor]
            writing.drop(database, delete=False)
            with writing.cursor() as cursor:
                cursor.putmulti(records, append=True)
