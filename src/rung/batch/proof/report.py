"""The report of a verification: what was compared, and every difference with its cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from rung.batch.proof.examined import Cause, Examined
from rung.durable import put
from rung.store.marks import MARKS

FORMAT: Final = 1
_SUMMARY: Final = "report.json"
_FINDINGS: Final = "findings.parquet"
_AGAIN: Final = "run `rung batch verify` again"


class ReportUnreadable(Exception):
    """There is no such report, or it cannot be read; the text says which there are."""


class FigureDrift(msgspec.Struct, frozen=True):
    """A figure that differs: what the lake gives and what is stored."""

    campaign: str
    version: int
    measure: str
    period: int
    token: int
    expected: int
    found: int


class Finding(msgspec.Struct, frozen=True):
    """A user with a difference, as of the offset that its record claimed."""

    user_id: str
    partition: int
    offset: int
    causes: list[str]
    figures: list[FigureDrift]
    transactions: list[str]


class Report(msgspec.Struct, frozen=True):
    """What a verification found.

    Attributes:
        id: Names the report, and its folder.
        started_at, ended_at: Microseconds since the epoch.
        catalog_revision: The catalog whose versions were compared.
        positions: For each partition, the offset before which everything was compared.
        users, figures, transactions: How many of each were compared.
        candidates: Users that differed when all were compared; most had only moved on meanwhile.
        versions: The versions that were compared: "campaign/number".
        incomplete: Those that were not, because their past is not added yet.
        causes: How many users have each cause.
        findings: Every user with a difference.
        strangers: Transactions of the store whose user is not known to the lake.
    """

    format: int
    id: str
    started_at: int
    ended_at: int
    catalog_revision: int
    positions: dict[int, int]
    users: int
    figures: int
    transactions: int
    candidates: int
    versions: list[str]
    incomplete: list[str]
    causes: dict[str, int]
    findings: list[Finding]
    strangers: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs."""
        return not self.findings and not self.strangers


def finding_of(examined: Examined, names: dict[int, tuple[str, int, str]]) -> Finding:
    """Return a user's finding; `names` maps a series to its campaign, version and measure."""
    # What is kept of closed periods has its own cause, and is no figure of a measure.
    keys = sorted(key for key in examined.drift if key[0] != MARKS)
    return Finding(
        examined.user_id,
        examined.partition,
        examined.offset,
        [cause.value for cause in examined.causes],
        [
            FigureDrift(
                *names[series],
                period,
                token,
                examined.expected[series, period, token],
                examined.found[series, period, token],
            )
            for series, period, token in keys
        ],
        list(examined.transactions),
    )


def causes_of(findings: Sequence[Finding], strangers: Sequence[str]) -> dict[str, int]:
    """Return how many users have each cause; a transaction of nobody counts for itself."""
    counts = Counter(cause for finding in findings for cause in finding.causes)
    if strangers:
        counts[Cause.TRANSACTION_UNKNOWN.value] += len(strangers)
    return dict(sorted(counts.items()))


class Reports:
    """The reports in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which need not be there yet."""
        self._folder = folder / "reports"

    def write(self, report: Report) -> Path:
        """Write a report as JSON and its findings as Parquet, and return its folder."""
        folder = self._folder / report.id
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(_table(report.findings), folder / _FINDINGS, compression="zstd")
        put(folder / _SUMMARY, msgspec.json.format(msgspec.json.encode(report), indent=1))
        return folder

    def read(self, name: str) -> Report:
        """Return a report by its id; "last" is the newest.

        Raises:
            ReportUnreadable: there is none, or it is damaged.
        """
        ids = self.ids()
        chosen = ids[-1] if name == "last" and ids else name
        path = self._folder / chosen / _SUMMARY
        if chosen not in ids:
            known = f"there are: {', '.join(ids[-5:])}" if ids else "there is none: run `rung batch verify`"
            raise ReportUnreadable(f"there is no report {name!r} in {self._folder}; {known}")
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Report)
        except msgspec.DecodeError as error:
            raise ReportUnreadable(f"{path} cannot be read ({error}); {_AGAIN}") from error
        if found.format != FORMAT:
            raise ReportUnreadable(
                f"{path} has format {found.format}, and this release reads {FORMAT}; {_AGAIN}"
            )
        return found

    def ids(self) -> list[str]:
        """Return the ids of all reports, the oldest first."""
        if not self._folder.exists():
            return []
        return sorted(folder.name for folder in self._folder.iterdir() if (folder / _SUMMARY).exists())


def _table(findings: Sequence[Finding]) -> pa.Table:
    """Return one row for each figure that differs, and one for a user without such a figure."""
    rows = [(finding, drift) for finding in findings for drift in (finding.figures or [None])]
    text, whole = pa.string(), pa.int64()
    return pa.table(
        {
            "user_id": pa.array([one.user_id for one, _ in rows], text),
            "partition": pa.array([one.partition for one, _ in rows], pa.int32()),
            "offset": pa.array([one.offset for one, _ in rows], whole),
            "causes": pa.array([one.causes for one, _ in rows], pa.list_(text)),
            "transactions": pa.array([one.transactions for one, _ in rows], pa.list_(text)),
            "campaign": pa.array([None if drift is None else drift.campaign for _, drift in rows], text),
            "version": pa.array([None if drift is None else drift.version for _, drift in rows], whole),
            "measure": pa.array([None if drift is None else drift.measure for _, drift in rows], text),
            "period": pa.array([None if drift is None else drift.period for _, drift in rows], whole),
            "token": pa.array([None if drift is None else drift.token for _, drift in rows], pa.uint64()),
            "expected": pa.array([None if drift is None else drift.expected for _, drift in rows], whole),
            "found": pa.array([None if drift is None else drift.found for _, drift in rows], whole),
        }
    )
