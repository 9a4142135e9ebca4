"""What a verification found, as metrics in a file: the job is over before anybody could ask it.

The file is for the textfile collector of Prometheus's node exporter, whose
`--collector.textfile.directory` names its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest, write_to_textfile

from rung.batch.proof.examined import Cause
from rung.batch.proof.report import Report

_FILE: Final = "rung_verify.prom"


def write_metrics(report: Report, folder: Path) -> Path:
    """Write the metrics of the last verification in place of those before, and return the file."""
    path = folder / "metrics" / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), _registry(report))
    return path


def exposition(report: Report) -> str:
    """Return the metrics in Prometheus's text format."""
    return generate_latest(_registry(report)).decode()


def _registry(report: Report) -> CollectorRegistry:
    registry = CollectorRegistry()

    def tell(name: str, meaning: str, value: float) -> None:
        Gauge(f"rung_verify_{name}", meaning, registry=registry).set(value)

    tell("timestamp_seconds", "When the last verification ended.", report.ended_at / 1e6)
    tell("duration_seconds", "How long it took.", (report.ended_at - report.started_at) / 1e6)
    tell("users", "Users that it compared.", report.users)
    tell("figures", "Figures that it compared.", report.figures)
    tell("transactions", "Transactions that it compared.", report.transactions)
    tell("differing_users", "Users that differ.", len(report.findings))
    tell("unknown_transactions", "Transactions in the store without an event.", len(report.strangers))
    causes = Gauge("rung_verify_causes", "Users that differ, by cause.", ["cause"], registry=registry)
    for cause in Cause:
        causes.labels(cause.value).set(report.causes.get(cause.value, 0))
    return registry
