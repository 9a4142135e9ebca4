"""What is settled for good, asked for by one person and done by another.

HOME/console/requests/ID.json
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from rung.batch.settlement.grants import counting_period
from rung.batch.settlement.settled import (
    ClosedManifest,
    closed_files,
    grants_files,
    read_manifest,
    those_there,
)
from rung.campaign.calendar import Period
from rung.campaign.model import Campaign
from rung.operations.errors import OperationRefused

PERIODS_SHOWN: Final = 12


class RequestState(StrEnum):
    """Where a request is."""

    OPEN = "open"
    STARTED = "started"
    WITHDRAWN = "withdrawn"


class SettlementRequest(msgspec.Struct, frozen=True):
    """Somebody asks that a period is closed (`close`) or granted (`grant`); `grace` is in days."""

    id: str
    kind: str
    campaign: str
    period: str
    grace: int
    reason: str
    who: str
    at: int
    state: RequestState = RequestState.OPEN
    job: str = ""


def check_may_settle(request: SettlementRequest, who: str) -> None:
    """See to it that somebody may do what was asked for.

    Raises:
        OperationRefused: it is the one who asked, or it is done or withdrawn already.
    """
    if request.state is not RequestState.OPEN:
        raise OperationRefused(f"this request is {request.state}: nothing is left to do")
    if request.who == who:
        raise OperationRefused(
            f"{who} asked for it: somebody else looks at it and does it, whatever the role"
        )


class PeriodState(msgspec.Struct, frozen=True):
    """A counting period: whether it has ended, is closed (by whom), and how many settlements grant it."""

    period: str
    effective: str
    ended: bool
    closed: ClosedManifest | None
    grants: int


def periods_shown(folder: Path, campaign: Campaign, now: int) -> list[PeriodState]:
    """Return the counting periods of a campaign up to the current one, the newest first.

    Raises:
        SettledDamaged: a manifest cannot be read.
    """
    calendar = campaign.calendar
    period = calendar.period_at(now)
    if campaign.counts_until is not None and campaign.counts_until < period:
        period = campaign.counts_until
    found: list[PeriodState] = []
    while len(found) < PERIODS_SHOWN and campaign.version_counting(period) is not None:
        found.append(_state(folder, campaign, period, now))
        period = period.previous()
    return found


def _state(folder: Path, campaign: Campaign, period: Period, now: int) -> PeriodState:
    following = period.next()
    effective = period if counting_period(campaign.effective, following) == following else following
    files = closed_files(folder, campaign.name, period)
    grants = those_there(lambda number: grants_files(folder, campaign.name, effective, number))
    return PeriodState(
        str(period),
        str(effective),
        campaign.calendar.ends_at(period) <= now,
        read_manifest(files, ClosedManifest) if files.exists() else None,
        len(grants),
    )
