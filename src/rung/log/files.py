"""Events from files: NDJSON, plain or compressed, and Parquet.

Nothing is validated here. A line that is no event goes into the log like any other, and the worker
puts it into quarantine with its position, so that nothing is dropped in silence.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import zstandard

from rung.log.block import EVENT_BYTES_MAX
from rung.log.parquet import UnreadableParquet, parquet_events

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 22
# A zstandard frame can hold 32,000 times its size: small bites keep what comes out in bounds.
_ZSTANDARD_BITE_BYTES = 1 << 13


class UnreadableFile(Exception):
    """A file of events cannot be read, or not to its end; the text names the file and the cause."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file has been read, in events and in bytes of the file as it is stored.

    `bytes_total` is None for a pipe.
    """

    events: int
    bytes_read: int
    bytes_total: int | None


def events(
    source: str | Path, on_progress: Callable[[Progress], None] | None = None
) -> Generator[list[bytes]]:
    """Yield the events of a file in chunks, in the file's order; `-` is the standard input.

    The first bytes tell what kind of file it is. In NDJSON every line is an event, the last one
    also without a line end; blank lines are left out, and so are carriage returns before line
    ends. `on_progress` is called when a chunk has been used, and at the end.

    Raises:
        UnreadableFile: the file is missing, damaged, cut short, or not what its suffix says. The
            events yielded before that are good.
    """
    path = None if str(source) == "-" else Path(source)
    name = "standard input" if path is None else str(path)
    count = 0
    with _translated(name, count):
        file = _Source(path)
    with file:
        chunks = _chunks(path, file)
        while True:
            with _translated(name, count):
                chunk = next(chunks, None)
            if chunk:
                yield chunk
                count += len(chunk)
            if on_progress is not None and (chunk or chunk is None):
                on_progress(Progress(count, file.bytes_read, file.bytes_total))
            if chunk is None:
                return


class _Kind(Enum):
    """A kind of file: its suffix, and the bytes that it starts with."""

    GZIP = (".gz", b"\x1f\x8b")
    XZ = (".xz", b"\xfd7zXZ\x00")
    ZSTANDARD = (".zst", b"\x28\xb5\x2f\xfd")
    PARQUET = (".parquet", b"PAR1")
    NDJSON = ("", b"")  # the last one: every file starts with no bytes

    @property
    def suffix(self) -> str:
        """The suffix of such a file's name."""
        return self.value[0]

    @property
    def magic(self) -> bytes:
        """The first bytes of such a file."""
        return self.value[1]


_MAGIC_BYTES_MAX = max(len(kind.magic) for kind in _Kind)


class _WrongContent(Exception):
    """What is read is not what it should be."""


class _Source(io.RawIOBase):
    """The bytes of a file, or of the standard input (no path), counted as they are read."""

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._raw = io.FileIO(sys.stdin.fileno() if path is None else path, closefd=path is not None)
        status = os.fstat(self._raw.fileno())
        self.bytes_total = status.st_size if stat.S_ISREG(status.st_mode) else None
        self.bytes_read = 0
        # A pipe cannot be rewound, so what was read to tell its kind is handed out again.
        self.head = b""
        while len(self.head) < _MAGIC_BYTES_MAX and (
            more := self._raw.read(_MAGIC_BYTES_MAX - len(self.head))
        ):
            self.head += more
        self._again = self.head

    def readable(self) -> bool:
        """Say that this is for reading."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer as far as one read does, and return how far; 0 at the end."""
        if self._again:
            room = memoryview(buffer)
            count = min(len(self._again), len(room))
            room[:count] = self._again[:count]
            self._again = self._again[count:]
        else:
            count = self._raw.readinto(buffer) or 0
        self.bytes_read += count
        return count

    def close(self) -> None:
        """Close the file. The standard input stays open."""
        self._raw.close()
        super().close()


@contextmanager
def _translated(name: str, count: int) -> Generator[None]:
    try:
        yield
    except (
        EOFError,
        OSError,
        _WrongContent,
        UnreadableParquet,
        lzma.LZMAError,
        zlib.error,
        zstandard.ZstdError,
    ) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        place = f"after {count:,} events" if count else "at its start"
        raise UnreadableFile(f"{name}: reading stopped {place}: {cause}") from error


def _chunks(path: Path | None, file: _Source) -> Iterator[list[bytes]]:
    kind = next(kind for kind in _Kind if file.head.startswith(kind.magic))
    suffix = path.suffix.lower() if path is not None else ""
    if suffix in {named.suffix for named in _Kind} - {kind.suffix, ""}:
        raise _WrongContent(f"its name ends in {suffix}, but its content does not start like that")
    buffered = io.BufferedReader(file, 1 << 16)
    match kind:
        case _Kind.GZIP:
            with gzip.GzipFile(fileobj=buffered) as unpacked:
                yield from _lines(_pieces(unpacked))
        case _Kind.XZ:
            with lzma.LZMAFile(buffered) as unpacked:
                yield from _lines(_pieces(unpacked))
        case _Kind.ZSTANDARD:
            yield from _lines(_zstandard_pieces(buffered))
        case _Kind.PARQUET:
            if path is None or file.bytes_total is None:
                raise _WrongContent(
                    "Parquet needs a file that can be read from its end; save it to one first"
                )
            for chunk, share in parquet_events(path):
                file.bytes_read = int(file.bytes_total * share)
                yield chunk
        case _Kind.NDJSON:
            # One read, not a full chunk: the events of a slow pipe are passed on as they come.
            yield from _lines(iter(lambda: buffered.read1(CHUNK_BYTES), b""))


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _pieces(file: _Readable) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK_BYTES), b"")


def _zstandard_pieces(file: _Readable) -> Iterator[bytes]:
    """Yield what a sequence of frames holds. (The package's own reader takes a cut frame for a whole one.)"""
    frame = zstandard.ZstdDecompressor().decompressobj()
    begun = False
    pieces: list[bytes] = []
    size_bytes = 0
    while bite := file.read(_ZSTANDARD_BITE_BYTES):
        while bite:
            begun = True
            pieces.append(frame.decompress(bite))
            size_bytes += len(pieces[-1])
            bite = b""
            if frame.eof:
                bite = frame.unused_data
                frame = zstandard.ZstdDecompressor().decompressobj()
                begun = False
        if size_bytes >= CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, size_bytes = [], 0
    yield b"".join(pieces)
    if begun:
        raise _WrongContent("it ends in the middle of a zstandard frame")


def _lines(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    begun: list[bytes] = []
    begun_bytes = 0
    first = True
    for piece in pieces:
        text = _without_mark(piece) if first else piece
        first = False
        end = text.rfind(b"\n")
        if end >= 0:
            begun.append(text[:end])
            yield _events_in(b"".join(begun))
            begun, begun_bytes = [], 0
        begun.append(text[end + 1 :])
        begun_bytes += len(begun[-1])
        if begun_bytes > EVENT_BYTES_MAX:
            raise _WrongContent(f"a line of more than {EVENT_BYTES_MAX:,} bytes; is this NDJSON?")
    yield _events_in(b"".join(begun))


def _without_mark(text: bytes) -> bytes:
    """Return text without the byte order mark that some programs put before UTF-8."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _WrongContent("it is UTF-16 text; convert it to UTF-8")
    return text.removeprefix(b"\xef\xbb\xbf")


def _events_in(text: bytes) -> list[bytes]:
    lines = (line.removesuffix(b"\r") for line in text.split(b"\n"))
    return [line for line in lines if line and not line.isspace()]
