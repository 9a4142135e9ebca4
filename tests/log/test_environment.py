from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from rung.log.environment import translated
from rung.log.port import LogError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (lmdb.MapFullError("put"), "reached its size limit; trim it, or raise the limit"),
        (lmdb.MapResizedError("begin"), "larger size limit; use one limit and start this process again"),
        (lmdb.ReadersFullError("begin"), "more than 1,024 reads at once"),
        (lmdb.VersionMismatchError("open"), "data.mdb is not the file of a log"),
        (lmdb.CorruptedError("get"), "it is damaged"),
        (lmdb.PanicError("commit"), "mend the disk and start this process again"),
        (lmdb.Error("something else"), "something else"),
    ],
)
def test_errors(tmp_path: Path, error: lmdb.Error, text: str) -> None:
    """Each error of LMDB names what was done, the folder, and what to do."""
    text = f"cannot read the log in {tmp_path}: .*{text}"
    with pytest.raises(LogError, match=text) as caught, translated(tmp_path, "read"):
        raise error
    assert caught.value.__cause__ is error
