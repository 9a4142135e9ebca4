"""Which errors an operation is expected to end in: what people are told of them, and of what kind each is."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from rung.access.keys import KeysDamaged, KeysRefused
from rung.batch.export import ExportRefused
from rung.batch.forecast.diffs import DiffRefused
from rung.batch.forecast.simulate import SimulationRefused
from rung.batch.lease import BatchRuns
from rung.batch.monitoring.monitor import NotFillable
from rung.batch.monitoring.payment_list import ListUnreadable
from rung.batch.proof.examine import ReadTwice
from rung.batch.proof.gates import NotProven
from rung.batch.proof.report import ReportUnreadable
from rung.batch.proof.verify import CatalogMoved
from rung.batch.retention.erase import EraseRefused
from rung.batch.retention.prune import PruneRefused
from rung.batch.settlement.settled import SettledDamaged, SettleRefused
from rung.batch.snapshots import SnapshotDamaged
from rung.batch.spark.java import JavaMissing
from rung.batch.spark.session import SparkFailed, SparkMissing
from rung.campaign.catalog import CatalogRefused, CatalogUnreadable
from rung.lake.port import LakeError, LakeOvertaken
from rung.log.files import UnreadableFile
from rung.log.port import LogError
from rung.operations.errors import OperationRefused, ScheduleMoved
from rung.operations.explaining import EventsGone
from rung.speed.figures import FigureOverflow
from rung.status.evaluate import UnknownCampaign
from rung.status.key_file import KeysBusy
from rung.store.port import ChangeTooLarge, Overtaken, StoreBusy, StoreError


class Kind(StrEnum):
    """What an expected error is about."""

    BAD_INPUT = "bad_input"
    """What was given is wrong."""
    PROBLEMS = "problems"
    """What was looked at has problems, which stand against it."""
    BUSY = "busy"
    """Another one holds, or has just changed, what is needed."""
    FAILED = "failed"
    """The log, the store, the lake or the machine refused."""


class Expected(NamedTuple):
    """An error that is no bug: its kind, and the text for people, which names the fix."""

    kind: Kind
    text: str


_KINDS: Final[tuple[tuple[type[Exception], Kind], ...]] = (
    (CatalogRefused, Kind.BAD_INPUT),
    (OperationRefused, Kind.BAD_INPUT),
    (KeysRefused, Kind.BAD_INPUT),
    (KeysBusy, Kind.BUSY),
    (KeysDamaged, Kind.FAILED),
    (ScheduleMoved, Kind.BUSY),
    (EventsGone, Kind.FAILED),
    (CatalogUnreadable, Kind.FAILED),
    (UnreadableFile, Kind.BAD_INPUT),
    (BatchRuns, Kind.BUSY),
    (CatalogMoved, Kind.BUSY),
    (NotProven, Kind.PROBLEMS),
    (ExportRefused, Kind.BAD_INPUT),
    (ReadTwice, Kind.BUSY),
    (ReportUnreadable, Kind.BAD_INPUT),
    (ListUnreadable, Kind.BAD_INPUT),
    (NotFillable, Kind.BAD_INPUT),
    (DiffRefused, Kind.BAD_INPUT),
    (SimulationRefused, Kind.BAD_INPUT),
    (SettleRefused, Kind.PROBLEMS),
    (PruneRefused, Kind.PROBLEMS),
    (EraseRefused, Kind.PROBLEMS),
    (SettledDamaged, Kind.FAILED),
    (SnapshotDamaged, Kind.FAILED),
    (SparkMissing, Kind.BAD_INPUT),
    (JavaMissing, Kind.BAD_INPUT),
    (SparkFailed, Kind.FAILED),
    (LakeError, Kind.FAILED),
    (LakeOvertaken, Kind.BUSY),
    (Overtaken, Kind.BUSY),
    (FigureOverflow, Kind.FAILED),
    (LogError, Kind.FAILED),
    (StoreError, Kind.FAILED),
    (StoreBusy, Kind.FAILED),
    (ChangeTooLarge, Kind.FAILED),
)


def expected(error: Exception) -> Expected | None:
    """Return what people are told of an error, None for one that is a bug."""
    if isinstance(error, UnknownCampaign):
        return Expected(Kind.BAD_INPUT, f"{error}; {_hint(error.suggestion, error.known)}")
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return Expected(Kind.FAILED, f"{place}{error.strerror or error}")
    for kind_of, kind in _KINDS:
        if isinstance(error, kind_of):
            return Expected(kind, str(error))
    return None


def _hint(suggestion: str | None, known: tuple[str, ...]) -> str:
    if suggestion is not None:
        return f"did you mean {suggestion}?"
    if known:
        return f"there are: {', '.join(known)}"
    return "there is none: apply one with `rung campaign apply SPEC...`"
