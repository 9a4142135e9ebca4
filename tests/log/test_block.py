from __future__ import annotations

from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.log import block
from rung.log.block import Block, decode, encode, split
from rung.log.port import LogError

some_payloads = st.lists(st.binary(max_size=20), min_size=1, max_size=20)


@given(st.integers(0, 65_535), st.integers(0, 2**63), st.integers(-(2**62), 2**62), some_payloads)
def test_round_trip(partition: int, first_offset: int, appended_at: int, payloads: list[bytes]) -> None:
    """A decoded block is what was encoded."""
    key, value = encode(partition, first_offset, appended_at, payloads)
    found = decode(key, memoryview(value))
    assert (found.partition, found.first_offset, found.appended_at) == (partition, first_offset, appended_at)
    assert found.payloads == payloads
    assert found.next_offset == first_offset + len(payloads)
    assert block.count_of(memoryview(value)) == len(payloads)


@given(some_payloads, st.data())
def test_changed_bit(payloads: list[bytes], data: st.DataObject) -> None:
    """Whichever bit of a block or of its key changes, the block is refused."""
    key, value = encode(3, 70, 1_000, payloads)
    changed = bytearray(key + value)
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(LogError, match="damaged"):
        decode(bytes(changed[: len(key)]), memoryview(changed)[len(key) :])


@given(some_payloads, st.data())
def test_cut_short(payloads: list[bytes], data: st.DataObject) -> None:
    """A block without its end is refused."""
    key, value = encode(3, 70, 1_000, payloads)
    with pytest.raises(LogError, match=r"damaged log:.* partition 3, block of offset 70"):
        decode(key, memoryview(value)[: data.draw(st.integers(0, len(value) - 1))])


def test_stored_form() -> None:
    """The stored form is this, byte for byte: a log must be readable by later versions."""
    key, value = encode(1, 258, 1_000_000, [b"ab", b"c"])
    assert key == bytes.fromhex("0001 0000000000000102")
    assert value == bytes.fromhex(
        "01 000000 02000000 40420f0000000000"  # format, count, appended_at
        "90b001165dc7c3ca"  # checksum
        "02000000 01000000 61 62 63"  # lengths, payloads
    )


def test_keys_sort() -> None:
    """Keys sort by partition, then by offset."""
    places = [(0, 0), (0, 1), (0, 256), (1, 0), (1, 2**40), (256, 0)]
    assert sorted(block.encode_key(*place) for place in places) == [
        block.encode_key(*place) for place in places
    ]


@given(st.lists(st.integers(0, 60), max_size=40))
def test_split(sizes: list[int]) -> None:
    """Runs keep the order, and stay within both bounds unless they are a single event."""
    payloads = [bytes(size) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "BLOCK_EVENTS_MAX", 5)
        patch.setattr(block, "BLOCK_BYTES_MAX", 50)
        runs = list(split(payloads))
    assert [payload for run in runs for payload in run] == payloads
    for run, after in zip_longest(runs, runs[1:]):
        assert len(run) == 1 or (len(run) <= 5 and sum(map(len, run)) <= 50)
        # No run could have taken the next event, too.
        assert after is None or len(run) == 5 or sum(map(len, run)) + len(after[0]) > 50


@pytest.mark.parametrize(
    ("low", "events_max", "bytes_max", "high"),
    [
        (0, 9, 99, 4),
        (0, 2, 99, 2),
        (0, 9, 5, 3),
        (0, 9, 4, 1),
        (0, 9, 2, 0),
        (1, 9, 2, 3),
        (1, 9, 11, 4),
        (1, 9, 10, 3),
        (3, 1, 1, 3),
        (3, 1, 9, 4),
    ],
)
def test_cut(low: int, events_max: int, bytes_max: int, high: int) -> None:
    """A cut takes as many events as both bounds allow."""
    found = Block(0, 10, 0, [b"abc", b"de", b"", b"fghijklmn"], [3, 5, 5, 14])
    assert found.cut(low, events_max, bytes_max) == high
