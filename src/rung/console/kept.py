"""Records of the console, one durable file for each: readable by their owner alone, whole or not there."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Final, Generic, TypeVar

import msgspec

from rung.durable import put

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}", re.ASCII)
_MODE: Final = 0o600

_Record = TypeVar("_Record", bound=msgspec.Struct)

_log = logging.getLogger(__name__)


class Kept(Generic[_Record]):
    """The records of one kind in a folder, FOLDER/ID.json; the order of their ids is theirs."""

    def __init__(self, folder: Path, kind: type[_Record]) -> None:
        """Use a folder, which need not be there yet."""
        self._folder = folder
        self._decode = msgspec.json.Decoder(kind).decode
        self._lock = Lock()

    def put(self, record_id: str, record: _Record) -> None:
        """Write a record durably, in place of the one that may be there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            put(self._path(record_id), msgspec.json.format(msgspec.json.encode(record), indent=1), _MODE)

    def find(self, record_id: str) -> _Record | None:
        """Return a record, None if there is none; an id that is none names none."""
        if not _ID.fullmatch(record_id):
            return None
        try:
            return self._decode(self._path(record_id).read_bytes())
        except FileNotFoundError:
            return None

    def all(self) -> list[_Record]:
        """Return all records in the order of their ids; one that is damaged is left out, and logged."""
        return [record for _, record in self._found()]

    def keep(self, count: int) -> None:
        """Delete all but the newest ones."""
        for record_id in self._ids()[:-count]:
            self._path(record_id).unlink(missing_ok=True)

    def drop(self, is_dropped: Callable[[_Record], bool]) -> int:
        """Delete the records that a test is true of, and return how many there were."""
        dropped = [record_id for record_id, record in self._found() if is_dropped(record)]
        for record_id in dropped:
            self._path(record_id).unlink(missing_ok=True)
        return len(dropped)

    def _found(self) -> Iterator[tuple[str, _Record]]:
        for record_id in self._ids():
            try:
                record = self.find(record_id)
            except msgspec.MsgspecError as error:
                _log.warning("record_damaged", extra={"cause": f"{self._path(record_id)}: {error}"})
                continue
            if record is not None:
                yield record_id, record

    def _ids(self) -> list[str]:
        if not self._folder.exists():
            return []
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def _path(self, record_id: str) -> Path:
        return self._folder / f"{record_id}.json"
