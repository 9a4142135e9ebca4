"""What a job of the console is to do, and what it tells of it: plain values that pass between processes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class TaskKind(StrEnum):
    """What a job does."""

    VERIFY = "verify"
    PLAN_REPAIR = "plan-repair"
    REPAIR = "repair"
    PLAN_REPLAY = "plan-replay"
    REPLAY = "replay"
    BACKFILL = "backfill"
    DIFF = "diff"
    SIMULATE = "simulate"
    COUNT = "count"
    CLOSE = "close"
    GRANT = "grant"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One job, asked for by `who`. What its kind does not need stays empty.

    Attributes:
        kind, who, reason: What, who asks for it, and why.
        campaign, version, against, period: What it is about; `against` is the version to compare with.
        report: The verification to repair.
        user: The user to replay.
        spec: The text of a candidate.
        grace: How many days late events are waited for before a period is closed.
        change: The proposal that it is a step of.
    """

    kind: TaskKind
    who: str
    reason: str = ""
    campaign: str = ""
    version: int | None = None
    against: int | None = None
    period: str = ""
    report: str = ""
    user: str = ""
    spec: str = ""
    grace: int = 3
    change: str = ""

    @property
    def title(self) -> str:
        """What it does, in words."""
        version = "" if self.version is None else f" version {self.version}"
        match self.kind:
            case TaskKind.VERIFY:
                return "Verify every user"
            case TaskKind.PLAN_REPAIR:
                return f"Dry run of the repair of {self.report}"
            case TaskKind.REPAIR:
                return f"Repair what {self.report} found"
            case TaskKind.PLAN_REPLAY:
                return f"Dry run of the replay of user {self.user}"
            case TaskKind.REPLAY:
                return f"Replay user {self.user}"
            case TaskKind.BACKFILL:
                return f"Add the past to {self.campaign}{version}"
            case TaskKind.DIFF:
                return f"Compare {self.campaign} version {self.against} and {self.version} in {self.period}"
            case TaskKind.SIMULATE:
                return f"Simulate {self.campaign}{version} over {self.period}"
            case TaskKind.COUNT:
                return f"Count the users of {self.campaign} by step in {self.period}"
            case TaskKind.CLOSE:
                return f"Close {self.period} of {self.campaign}"
            case TaskKind.GRANT:
                return f"Grant {self.period} of {self.campaign}"


class Told(msgspec.Struct, frozen=True, tag=True):
    """How far a job is: in words, and counted if it can be."""

    text: str
    done: int | None = None
    total: int | None = None


class Finished(msgspec.Struct, frozen=True, tag=True):
    """A job did what it was to do."""

    result: dict[str, Any]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A job could not do it; the text names the fix."""

    text: str
