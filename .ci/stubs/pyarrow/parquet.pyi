from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyarrow import Table

class ParquetFile:
    def __init__(self, source: object, *, page_checksum_verification: bool = ...) -> None: ...
    def read(self, columns: list[str] | None = ...) -> Table: ...
    def iter_batches(self) -> Iterator[Table]: ...

def write_table(
    table: Table,
    where: object,
    *,
    compression: str = ...,
    compression_level: int | None = ...,
    row_group_size: int | None = ...,
    write_page_checksum: bool = ...,
) -> None: ...
def read_table(source: str | Path | list[Path], *, columns: list[str] | None = ...) -> Table: ...
def __getattr__(name: str) -> Any: ...
