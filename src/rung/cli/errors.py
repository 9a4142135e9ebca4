"""How a command ends: exit codes, and expected errors as one clear line."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees; the numbers are part of the interface."""

    OK = 0
    PROBLEMS = 1
    """The command worked, and what it looked at has problems (`doctor`)."""
    BAD_INPUT = 2
    """An argument, a file, a spec or a setting is wrong."""
    NOT_INITIALISED = 3
    """There is no Rung home there: `rung init` makes one."""
    BUSY = 4
    """Another process holds what the command needs."""
    FAILED = 5
    """The log, the store or the machine refused; the text says what to do."""
    INTERRUPTED = 130


class CommandError(Exception):
    """An expected error: one clear line with the fix, and how to exit."""

    def __init__(self, message: str, code: ExitCode = ExitCode.BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


def explained(error: Exception) -> CommandError | None:
    """Return an expected error as a `CommandError`, or None for one that is a bug.

    The rooms' errors are looked up only once something has gone wrong, so that a command which
    needs no room loads none.
    """
    if isinstance(error, CommandError):
        return error
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return CommandError(f"{place}{error.strerror or error}", ExitCode.FAILED)

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
    from rung.bootstrap import NotInitialised, WorkerRuns
    from rung.campaign.catalog import CatalogRefused, CatalogUnreadable
    from rung.lake.port import LakeError, LakeOvertaken
    from rung.log.files import UnreadableFile
    from rung.log.port import LogError
    from rung.settings import SettingsError
    from rung.speed.figures import FigureOverflow
    from rung.status.evaluate import UnknownCampaign
    from rung.status.serve import ServeError
    from rung.store.port import ChangeTooLarge, Overtaken, StoreBusy, StoreError

    if isinstance(error, UnknownCampaign):
        return CommandError(f"{error}; {_hint(error.suggestion, error.known)}")
    codes: tuple[tuple[type[Exception], ExitCode], ...] = (
        (NotInitialised, ExitCode.NOT_INITIALISED),
        (WorkerRuns, ExitCode.BUSY),
        (SettingsError, ExitCode.BAD_INPUT),
        (CatalogRefused, ExitCode.BAD_INPUT),
        (CatalogUnreadable, ExitCode.FAILED),
        (UnreadableFile, ExitCode.BAD_INPUT),
        (BatchRuns, ExitCode.BUSY),
        (CatalogMoved, ExitCode.BUSY),
        (NotProven, ExitCode.PROBLEMS),
        (ExportRefused, ExitCode.BAD_INPUT),
        (ReadTwice, ExitCode.BUSY),
        (ReportUnreadable, ExitCode.BAD_INPUT),
        (ListUnreadable, ExitCode.BAD_INPUT),
        (NotFillable, ExitCode.BAD_INPUT),
        (DiffRefused, ExitCode.BAD_INPUT),
        (SimulationRefused, ExitCode.BAD_INPUT),
        (SettleRefused, ExitCode.PROBLEMS),
        (PruneRefused, ExitCode.PROBLEMS),
        (EraseRefused, ExitCode.PROBLEMS),
        (SettledDamaged, ExitCode.FAILED),
        (SnapshotDamaged, ExitCode.FAILED),
        (SparkMissing, ExitCode.BAD_INPUT),
        (JavaMissing, ExitCode.BAD_INPUT),
        (SparkFailed, ExitCode.FAILED),
        (LakeError, ExitCode.FAILED),
        (LakeOvertaken, ExitCode.BUSY),
        (Overtaken, ExitCode.BUSY),
        (FigureOverflow, ExitCode.FAILED),
        (LogError, ExitCode.FAILED),
        (StoreError, ExitCode.FAILED),
        (StoreBusy, ExitCode.FAILED),
        (ChangeTooLarge, ExitCode.FAILED),
        (ServeError, ExitCode.FAILED),
    )
    for kind, code in codes:
        if isinstance(error, kind):
            return CommandError(str(error), code)
    return None


def _hint(suggestion: str | None, known: tuple[str, ...]) -> str:
    if suggestion is not None:
        return f"did you mean {suggestion}?"
    if known:
        return f"there are: {', '.join(known)}"
    return "there is none: apply one with `rung campaign apply SPEC...`"
