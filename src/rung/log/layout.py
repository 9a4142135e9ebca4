"""What stands where in the embedded log's environment, and how to change it.

Two tables: `blocks` (see `rung.log.block`) and `meta`, which holds one record of the log, its name, and
one record of each partition, its start and its end. The end outlives the blocks: after a trim of
everything the offsets go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_bytes
from struct import Struct

import lmdb

from rung.log.block import Block, count_of, decode, encode, encode_key, split
from rung.log.port import LogError, PositionOutOfRange

FORMAT = 1
_LOG = b"log"
_NAME = b"name"
_NAME_BYTES = 16
_log_record = Struct(">HH")
_bounds_record = Struct(">QQ")


def create_tables(environment: lmdb.Environment, partitions: int) -> None:
    """Make the tables of a log, unless the environment holds something already; see to its name."""
    with environment.begin(write=True, buffers=True) as transaction:
        if transaction.stat()["entries"]:
            _name_what_has_no_name(environment, transaction)
            return
        meta = environment.open_db(b"meta", txn=transaction)
        environment.open_db(b"blocks", txn=transaction)
        transaction.put(_LOG, _log_record.pack(FORMAT, partitions), db=meta)
        transaction.put(_NAME, token_bytes(_NAME_BYTES), db=meta)
        for partition in range(partitions):
            transaction.put(_bounds_key(partition), _bounds_record.pack(0, 0), db=meta)


def _name_what_has_no_name(environment: lmdb.Environment, transaction: lmdb.Transaction[memoryview]) -> None:
    """Give a log its name that was made by a release which gave none; leave what is no log alone."""
    if transaction.get(b"meta") is None:
        return
    meta = environment.open_db(b"meta", txn=transaction, create=False)
    if transaction.get(_LOG, db=meta) is not None:
        transaction.put(_NAME, token_bytes(_NAME_BYTES), db=meta, overwrite=False)


class Layout:
    """The tables of an open log. Every method works inside the transaction that it is given."""

    def __init__(self, environment: lmdb.Environment) -> None:
        """Find the tables.

        Raises:
            LogError: these are not the tables of a log, or the format is unknown.
        """
        try:
            # Each in a transaction of its own: LMDB forgets what was opened in one that only reads.
            self._meta = environment.open_db(b"meta", create=False)
            self._blocks = environment.open_db(b"blocks", create=False)
            with environment.begin(buffers=True) as transaction:
                record = bytes(transaction.get(_LOG, b"", db=self._meta))
        except lmdb.NotFoundError as error:
            raise LogError("its file is there, but no log is in it; choose another folder") from error
        format_version = int.from_bytes(record[:2])
        if format_version != FORMAT:
            raise LogError(f"it has format {format_version}, this version of Rung reads format {FORMAT}")
        _, self.partitions = _log_record.unpack(record)

    def name(self, transaction: lmdb.Transaction[memoryview]) -> str:
        """Return the log's random name; it is empty until a process opens the log to append."""
        return bytes(transaction.get(_NAME, b"", db=self._meta)).hex()

    def bounds(self, transaction: lmdb.Transaction[memoryview], partition: int) -> tuple[int, int]:
        """Return the offset of a partition's oldest event, and the one that its next event will get."""
        record = transaction.get(_bounds_key(partition), db=self._meta)
        if record is None:
            raise LogError(
                f"there is no partition {partition}: the log has partitions 0 to {self.partitions - 1}"
            )
        start, end = _bounds_record.unpack(record)
        return start, end

    def block(self, transaction: lmdb.Transaction[memoryview], partition: int, offset: int) -> Block:
        """Return the block that holds an event.

        Raises:
            PositionOutOfRange: there is no such event.
            LogError: the block is damaged or missing.
        """
        start, end = self.bounds(transaction, partition)
        if not start <= offset < end:
            raise PositionOutOfRange(
                f"partition {partition} has no event at offset {offset}: "
                f"it starts at {start} and ends before {end}",
                partition,
            )
        key = encode_key(partition, offset)
        with transaction.cursor(db=self._blocks) as cursor:
            # An offset inside a block is found by the key before it.
            at_or_after = cursor.set_range(key)
            exact = at_or_after and bytes(cursor.key()) == key
            if exact or (cursor.prev() if at_or_after else cursor.last()):
                block = decode(bytes(cursor.key()), cursor.value())
                if block.partition == partition and offset < block.next_offset:
                    return block
        raise LogError(
            f"damaged log: partition {partition} has no block with offset {offset}; restore it from a copy"
        )

    def append(
        self,
        transaction: lmdb.Transaction[memoryview],
        partition: int,
        payloads: Sequence[bytes],
        appended_at: int,
    ) -> int:
        """Add events to the end of a partition, and return the offset of the first."""
        start, first = self.bounds(transaction, partition)
        end = first
        for run in split(payloads):
            key, value = encode(partition, end, appended_at, run)
            if not transaction.put(key, value, db=self._blocks, overwrite=False):
                raise LogError(f"damaged log: partition {partition} has a block past its end {end}")
            end += len(run)
        self._put_bounds(transaction, partition, start, end)
        return first

    def trim(self, transaction: lmdb.Transaction[memoryview], partition: int, before_offset: int) -> int:
        """Delete the blocks that lie wholly before an offset, and return where the partition starts then."""
        start, end = self.bounds(transaction, partition)
        if before_offset > end:
            raise PositionOutOfRange(
                f"cannot trim partition {partition} before {before_offset}: it ends at {end}", partition
            )
        with transaction.cursor(db=self._blocks) as cursor:
            while start < before_offset:
                if not cursor.set_key(encode_key(partition, start)):
                    raise LogError(f"damaged log: partition {partition} has no block at its start {start}")
                after = start + count_of(cursor.value())
                if after > before_offset:
                    break
                cursor.delete()
                start = after
        self._put_bounds(transaction, partition, start, end)
        return start

    def size_bytes(self, transaction: lmdb.Transaction[memoryview]) -> int:
        """Return the bytes of all pages that the tables use."""
        stats = (transaction.stat(self._blocks), transaction.stat(self._meta))
        return sum(
            stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
            for stat in stats
        )

    def _put_bounds(
        self, transaction: lmdb.Transaction[memoryview], partition: int, start: int, end: int
    ) -> None:
        transaction.put(_bounds_key(partition), _bounds_record.pack(start, end), db=self._meta)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent state of a log, while its transaction lives."""

    layout: Layout
    transaction: lmdb.Transaction[memoryview]

    @property
    def revision(self) -> int:
        """The number of the commit that made this state."""
        return self.transaction.id()

    def bounds(self, partition: int) -> tuple[int, int]:
        """See `Layout.bounds`."""
        return self.layout.bounds(self.transaction, partition)

    def block(self, partition: int, offset: int) -> Block:
        """See `Layout.block`."""
        return self.layout.block(self.transaction, partition, offset)


def _bounds_key(partition: int) -> bytes:
    return b"bounds%d" % partition
