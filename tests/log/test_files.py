from __future__ import annotations

import gzip
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from rung.log import files
from rung.log.files import Progress, UnreadableFile, events


def plain(data: bytes) -> bytes:
    return data


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": plain,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zst,
}
COMPRESSED = [suffix for suffix in PACKERS if suffix]


def lines(count: int, seed: int = 1) -> list[bytes]:
    """Return lines that do not compress well, so that a cut falls between events."""
    chance = random.Random(seed)
    return [
        b'{"user_id":"%d","n":"%s"}' % (number, chance.randbytes(30).hex().encode())
        for number in range(count)
    ]


def read(path: Path | str) -> list[bytes]:
    return [payload for chunk in events(path) for payload in chunk]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 1_000)


class TestLines:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b"", []),
            (b"\n", []),
            (b"a", [b"a"]),
            (b"a\n", [b"a"]),
            (b"a\nb", [b"a", b"b"]),
            (b"a\n\n  \n\t\nb\n\n", [b"a", b"b"]),
            (b"a\r\nb\r\n\r\nc\r", [b"a", b"b", b"c"]),
            (b" a \nb\rb\n", [b" a ", b"b\rb"]),
            (b"\xef\xbb\xbf{}\n{}", [b"{}", b"{}"]),
            (b"\xef\xbb\xbf", []),
            (b"\x00\xff\nnot json\n", [b"\x00\xff", b"not json"]),
            ("é\u2028x\n".encode(), ["é\u2028x".encode()]),
        ],
    )
    def test_table(self, tmp_path: Path, text: bytes, expected: list[bytes]) -> None:
        """Every line that is not blank is an event, byte for byte, whatever it holds."""
        assert read(write(tmp_path / "events.ndjson", text)) == expected

    @given(
        st.lists(st.binary(min_size=1, max_size=30).filter(lambda line: bool(line.strip()))),
        st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
        st.integers(1, 20),
    )
    def test_any_pieces(self, payloads: list[bytes], line_end: bytes, piece_bytes: int) -> None:
        """The lines do not depend on how the bytes come in."""
        payloads = [b"{" + payload.replace(b"\n", b"").replace(b"\r", b"") for payload in payloads]
        text = line_end.join(payloads)
        pieces = [text[low : low + piece_bytes] for low in range(0, len(text), piece_bytes)]
        assert [line for chunk in files._lines(iter(pieces)) for line in chunk] == payloads

    def test_long_line(self, tmp_path: Path, small_chunks: None) -> None:
        """A line may be longer than a chunk."""
        payloads = [b"a", b"b" * 10_500, b"c"]
        assert read(write(tmp_path / "events.ndjson", b"\n".join(payloads))) == payloads

    def test_endless_line(self, tmp_path: Path, small_chunks: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line beyond what the log takes is refused before memory runs out."""
        monkeypatch.setattr(files, "EVENT_BYTES_MAX", 5_000)
        with pytest.raises(UnreadableFile, match="a line of more than 5,000 bytes; is this NDJSON"):
            read(write(tmp_path / "events.ndjson", b"x" * 10_000))

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_utf_16(self, tmp_path: Path, encoding: str) -> None:
        """Text in UTF-16 is refused at its start, not put into quarantine line by line."""
        with pytest.raises(UnreadableFile, match="it is UTF-16 text; convert it to UTF-8"):
            read(write(tmp_path / "events.ndjson", "\ufeff{}\n".encode(encoding)))


class TestKinds:
    @pytest.mark.parametrize("suffix", PACKERS)
    def test_by_suffix(self, tmp_path: Path, suffix: str) -> None:
        """Every kind gives the events in the file's order."""
        sent = lines(500)
        path = write(tmp_path / f"events.ndjson{suffix}", PACKERS[suffix](b"\n".join(sent)))
        assert read(path) == sent
        assert read(str(path)) == sent

    @pytest.mark.parametrize("suffix", PACKERS)
    def test_by_content(self, tmp_path: Path, suffix: str) -> None:
        """A file of another name is known by its content."""
        sent = lines(50)
        assert read(write(tmp_path / "events.log", PACKERS[suffix](b"\n".join(sent)))) == sent

    @pytest.mark.parametrize("suffix", COMPRESSED)
    def test_concatenated(self, tmp_path: Path, suffix: str) -> None:
        """Compressed files that were put together with `cat` are read to the end of the last."""
        sent = lines(50)
        packed = PACKERS[suffix](b"\n".join(sent[:20]) + b"\n") + PACKERS[suffix](b"\n".join(sent[20:]))
        assert read(write(tmp_path / f"events{suffix}", packed)) == sent

    @pytest.mark.parametrize("suffix", COMPRESSED)
    def test_empty(self, tmp_path: Path, suffix: str) -> None:
        """A compressed file of nothing holds no events; a file of no bytes is no compressed file."""
        assert read(write(tmp_path / f"events{suffix}", PACKERS[suffix](b""))) == []
        with pytest.raises(UnreadableFile, match=f"its name ends in {suffix}"):
            read(write(tmp_path / f"events{suffix}", b""))

    @pytest.mark.parametrize("suffix", [*COMPRESSED, ".parquet"])
    def test_wrong_suffix(self, tmp_path: Path, suffix: str) -> None:
        """A file that is not what its name says is refused."""
        with pytest.raises(UnreadableFile, match=f"events{suffix}: .*its name ends in {suffix}"):
            read(write(tmp_path / f"events{suffix}", b'{"user_id":"1"}\n'))


def test_head_is_read_again(tmp_path: Path) -> None:
    """The bytes that tell a file's kind are read once more, in steps of any size, and counted once."""
    with files._Source(write(tmp_path / "events.ndjson", b"0123456789")) as source:
        assert source.head == b"012345"
        assert [source.read(4), source.read(4), source.read(4), source.read(4)] == [
            b"0123",
            b"45",
            b"6789",
            b"",
        ]
        assert source.bytes_read == 10


class TestFaults:
    def test_missing(self, tmp_path: Path) -> None:
        """A missing file is named."""
        with pytest.raises(UnreadableFile, match=f"{tmp_path}/none.ndjson: .*No such file"):
            read(tmp_path / "none.ndjson")

    def test_folder(self, tmp_path: Path) -> None:
        """A folder is no file of events."""
        with pytest.raises(UnreadableFile, match="Is a directory"):
            read(tmp_path)

    @pytest.mark.parametrize("suffix", COMPRESSED)
    @pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
    def test_cut_short(self, tmp_path: Path, small_chunks: None, suffix: str, share: float) -> None:
        """A file without its end is an error, and the events before it were good and are counted."""
        sent = lines(8_000)
        packed = PACKERS[suffix](b"\n".join(sent))
        path = write(tmp_path / f"events{suffix}", packed[: int(len(packed) * share)])
        found: list[bytes] = []
        with pytest.raises(UnreadableFile) as caught:
            found.extend(payload for chunk in events(path) for payload in chunk)
        assert 0 < len(found) < len(sent)
        assert found == sent[: len(found)]
        assert f"{path}: reading stopped after {len(found):,} events: " in str(caught.value)

    @pytest.mark.parametrize("suffix", COMPRESSED)
    def test_last_byte_missing(self, tmp_path: Path, suffix: str) -> None:
        """One byte too few is an error: a cut file never passes for a whole one."""
        packed = PACKERS[suffix](b"\n".join(lines(10)))
        with pytest.raises(UnreadableFile, match="reading stopped"):
            read(write(tmp_path / f"events{suffix}", packed[:-1]))

    @pytest.mark.parametrize("suffix", COMPRESSED)
    def test_damaged(self, tmp_path: Path, suffix: str) -> None:
        """A changed byte in the middle is an error."""
        packed = bytearray(PACKERS[suffix](b"\n".join(lines(5_000))))
        packed[len(packed) // 2] ^= 0x10
        with pytest.raises(UnreadableFile, match=f"events{suffix}: reading stopped"):
            read(write(tmp_path / f"events{suffix}", bytes(packed)))

    @pytest.mark.parametrize("suffix", [".gz", ".zst"])
    def test_rubbish_after_the_end(self, tmp_path: Path, suffix: str) -> None:
        """Something else after the compressed data is an error."""
        packed = PACKERS[suffix](b"\n".join(lines(10))) + b"rubbish"
        with pytest.raises(UnreadableFile, match="reading stopped"):
            read(write(tmp_path / f"events{suffix}", packed))

    def test_callers_error(self, tmp_path: Path) -> None:
        """An error of whoever uses the events is not taken for one of the file."""

        def fail(progress: Progress) -> None:
            raise BrokenPipeError("the terminal is gone")

        with pytest.raises(BrokenPipeError):
            list(events(write(tmp_path / "events.ndjson", b"{}\n"), fail))


class TestProgress:
    @pytest.mark.parametrize("suffix", PACKERS)
    def test_progress(self, tmp_path: Path, small_chunks: None, suffix: str) -> None:
        """Progress never goes back, counts used events, and ends with the whole file."""
        path = write(tmp_path / f"events{suffix}", PACKERS[suffix](b"\n".join(lines(5_000))))
        steps: list[Progress] = []
        used = 0
        for chunk in events(path, steps.append):
            assert sum(step.events for step in steps[-1:]) == used
            used += len(chunk)
        assert steps[-1] == Progress(5_000, path.stat().st_size, path.stat().st_size)
        assert [step.bytes_read for step in steps] == sorted(step.bytes_read for step in steps)
        assert len({step.bytes_read for step in steps}) > 2

    def test_empty_file(self, tmp_path: Path) -> None:
        """An empty file is done at once."""
        steps: list[Progress] = []
        assert not list(events(write(tmp_path / "events.ndjson", b""), steps.append))
        assert steps == [Progress(0, 0, 0)]


READ_STANDARD_INPUT = """
import sys
from rung.log.files import UnreadableFile, events
try:
    for chunk in events("-", lambda progress: print(progress.bytes_total, file=sys.stderr)):
        for payload in chunk:
            print(payload.decode(), flush=True)
except UnreadableFile as error:
    print(error, flush=True)
"""


def start_reading(stdin: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", READ_STANDARD_INPUT],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


class TestStandardInput:
    def test_live(self) -> None:
        """Events from a pipe are passed on as they come, before the pipe ends."""
        process = start_reading(subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        for payload in (b'{"a":1}\n', b'{"b":2}\n'):
            process.stdin.write(payload)
            process.stdin.flush()
            assert process.stdout.readline() == payload
        output, errors = process.communicate(b'{"c":3}')
        assert output == b'{"c":3}\n'
        assert set(errors.split()) == {b"None"}

    def test_compressed(self) -> None:
        """A compressed pipe is known by its first bytes."""
        output, _ = start_reading(subprocess.PIPE).communicate(zst(b"a\nb"))
        assert output == b"a\nb\n"

    def test_parquet(self) -> None:
        """Parquet cannot come through a pipe, because it is read from its end."""
        output, _ = start_reading(subprocess.PIPE).communicate(b"PAR1 and so on")
        assert b"standard input: reading stopped at its start: Parquet needs a file" in output
