"""A verification, with its report and its metrics written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rung.batch.proof.metrics import write_metrics
from rung.batch.proof.report import Report, Reports
from rung.batch.proof.verify import verify
from rung.batch.workshop import Workshop
from rung.dated import dated_id


def verify_and_report(workshop: Workshop, told: Callable[[str], object]) -> tuple[Report, Path]:
    """Compare every user with what all events give, and return the report and its folder.

    Raises:
        LakeError: the lake cannot be read, or lacks what the log no longer has.
        CatalogMoved: the campaigns changed meanwhile.
    """
    report = verify(workshop, dated_id(workshop.clock()), told)
    folder = Reports(workshop.folder).write(report)
    write_metrics(report, workshop.folder)
    return report, folder
