"""The Parquet files of the lake: what stands in one, what it is called, and how damage is found.

A file holds events of one partition and one day, in the order of their offsets. Its name ends with the
checksum of its bytes, so that whoever has the name can tell whether the file is what was written, and its
pages have checksums of their own, so that reading one tells it as well. The columns `day` and `partition`
stand in the folders' names alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from secrets import token_hex
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from rung.durable import sync
from rung.lake.port import LakeDamaged, LakeFile
from rung.lake.rows import SCHEMA

ROW_GROUP_EVENTS: Final = 131_072
_FOLDER_COLUMNS: Final = ("day", "partition")
_CHUNK_BYTES: Final = 1 << 20


class Place(Protocol):
    """Where the files of a lake are; `path` is relative to it."""

    root: str
    """What a path is joined to, for whoever reads a file by its full name."""

    def write(self, path: str, content: pa.Buffer) -> None:
        """Make a file durable, whole or not at all; one of that name has that content."""
        ...

    def open(self, path: str) -> pa.NativeFile:
        """Open a file to read."""
        ...

    def settle(self, paths: Iterable[str]) -> None:
        """Make files durable that others have written; those that are not there are passed over."""
        ...


def place_of(uri: str, storage_options: dict[str, str]) -> Place:
    """Return the place that a URI names; without a scheme it is a folder."""
    return _ObjectStore(uri, storage_options) if "://" in uri else _Folder(Path(uri))


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = str(folder)

    def write(self, path: str, content: pa.Buffer) -> None:
        file = self._folder / path
        missing = [folder for folder in file.parents if not folder.exists()]
        file.parent.mkdir(parents=True, exist_ok=True)
        # Under its name there is nothing or all of it, also for whoever reads one of the same name.
        part = file.with_name(f"{file.name}.{token_hex(4)}.part")
        with part.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
        for folder in (file.parent, *(made.parent for made in missing)):
            sync(folder)

    def open(self, path: str) -> pa.NativeFile:
        return pa.OSFile(str(self._folder / path), "rb")

    def settle(self, paths: Iterable[str]) -> None:
        # The log of the table is written by its library, which leaves the moment to the system.
        folders: set[Path] = set()
        for path in paths:
            file = self._folder / path
            try:
                sync(file)
            except FileNotFoundError:
                # A checkpoint has taken its place meanwhile.
                continue
            folders.add(file.parent)
        for folder in folders:
            sync(folder)


class _ObjectStore:
    """What is written there is durable by the store's own word."""

    def __init__(self, uri: str, storage_options: dict[str, str]) -> None:
        self.root = uri.rstrip("/").removeprefix("file://")
        self._system = fs.PyFileSystem(DeltaStorageHandler(uri, storage_options))

    def write(self, path: str, content: pa.Buffer) -> None:
        # With a buffer in between it is given the bytes that it expects, and never Arrow's own buffer.
        with self._system.open_output_stream(path, buffer_size=_CHUNK_BYTES) as stream:
            for first in range(0, len(content), _CHUNK_BYTES):
                stream.write(content.slice(first, min(_CHUNK_BYTES, len(content) - first)))

    def open(self, path: str) -> pa.NativeFile:
        return self._system.open_input_file(path)

    def settle(self, paths: Iterable[str]) -> None:
        pass


def encoded(rows: pa.Table) -> pa.Buffer:
    """Return events of one folder as the content of a file."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.drop_columns(_FOLDER_COLUMNS),
        sink,
        compression="zstd",
        compression_level=3,
        row_group_size=ROW_GROUP_EVENTS,
        write_page_checksum=True,
    )
    return sink.getvalue()


def path_of(day: date, partition: int, first_offset: int, content: pa.Buffer) -> str:
    """Return the path of a file, relative to the lake."""
    checksum = xxhash.xxh3_128_hexdigest(content)
    return f"day={day.isoformat()}/partition={partition}/{first_offset:020d}-{checksum}.parquet"


def read(place: Place, file: LakeFile) -> pa.Table:
    """Return the events of a file, in the order of their offsets, with all columns of the lake.

    Raises:
        LakeDamaged: the file is missing, cannot be read, or holds something else than the lake says.
    """
    rows = _columns(place, file)
    try:
        rows = (
            rows.append_column("day", pa.array([file.day] * rows.num_rows, pa.date32()))
            .append_column("partition", pa.array([file.partition] * rows.num_rows, pa.int32()))
            .select(SCHEMA.names)
            .cast(SCHEMA)
        )
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise _damaged(file, f"has other columns than the lake ({error})") from error
    if rows.num_rows != file.events:
        raise _damaged(file, f"holds {rows.num_rows} events, not {file.events}")
    return rows


def reasons(place: Place, file: LakeFile) -> list[str]:
    """Return for what reasons events of a file are rejected, each once.

    Raises:
        LakeDamaged: the file is missing, or cannot be read.
    """
    found = pc.unique(_columns(place, file, ["reason"]).column("reason")).to_pylist()
    return [reason for reason in found if reason is not None]


def check(place: Place, file: LakeFile) -> None:
    """Compare the bytes of a file with the checksum in its name.

    Raises:
        LakeDamaged: the file is missing, or is not what was written.
    """
    digest, size = xxhash.xxh3_128(), 0
    try:
        with place.open(_relative(place, file)) as opened:
            while chunk := opened.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError as error:
        raise _missing(file) from error
    except OSError as error:
        raise _damaged(file, f"cannot be read ({error})") from error
    if size != file.bytes:
        raise _damaged(file, f"has {size} bytes, not {file.bytes}")
    if not file.path.endswith(f"-{digest.hexdigest()}.parquet"):
        raise _damaged(file, "is not what was written: its checksum is another one than its name tells")


def _columns(place: Place, file: LakeFile, names: list[str] | None = None) -> pa.Table:
    try:
        with place.open(_relative(place, file)) as opened:
            return pq.ParquetFile(opened, page_checksum_verification=True).read(names)
    except FileNotFoundError as error:
        raise _missing(file) from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(file, f"cannot be read ({error})") from error


def _relative(place: Place, file: LakeFile) -> str:
    return file.path.removeprefix(f"{place.root}/")


def _missing(file: LakeFile) -> LakeDamaged:
    return LakeDamaged(
        f"{file.path} is missing: begin again if a compaction has replaced it meanwhile, else restore it "
        "from a copy"
    )


def _damaged(file: LakeFile, what: str) -> LakeDamaged:
    return LakeDamaged(f"{file.path} {what}: restore it from a copy")
