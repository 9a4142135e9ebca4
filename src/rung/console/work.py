"""What the console's jobs do, in a process of their own, with what the command line does it with, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from rung.batch.forecast.simulate import simulate
from rung.batch.proof.backfill import backfill
from rung.batch.proof.examined import Examined
from rung.batch.proof.repair import Repaired, plan_repair, repair, suspect, suspects_of
from rung.batch.proof.report import Reports
from rung.batch.settlement.close import Closing, Grace, close
from rung.batch.settlement.grants import grant
from rung.batch.workshop import Workshop
from rung.campaign.spec import load
from rung.console.tasks import Task, TaskKind, Told
from rung.operations.catalog import campaign_of, period_of, version_of
from rung.operations.errors import OperationRefused
from rung.operations.forecasting import compare_versions, run_candidate, snapshot_of, version_in
from rung.operations.verifying import verify_and_report

SHOWN_MAX = 100
"""The most users of one repair that a page shows."""

Forget = Callable[[Sequence[tuple[int, int]]], None]


def perform(workshop: Workshop, forget: Forget, task: Task, told: Callable[[Told], object]) -> dict[str, Any]:
    """Do what a task says, and return what the pages show of it.

    Args:
        workshop: What to work with; its lease is held.
        forget: Takes events out of the quarantine's mirror.
        task: What to do.
        told: Is told how far it is.

    Raises:
        Exception: one that is expected (`rung.operations.expected`), or a bug.
    """

    def say(text: str) -> None:
        told(Told(text))

    match task.kind:
        case TaskKind.VERIFY:
            report, _ = verify_and_report(workshop, say)
            return {"report": report.id, "clean": report.is_clean, "users": report.users}
        case TaskKind.PLAN_REPAIR:
            return _repaired(plan_repair(workshop, suspects_of(Reports(workshop.folder).read(task.report))))
        case TaskKind.REPAIR:
            suspects = suspects_of(Reports(workshop.folder).read(task.report))
            total = len(suspects.users)
            return _repaired(
                repair(workshop, suspects, task.who, lambda done: told(Told("users healed", done, total)))
            )
        case TaskKind.PLAN_REPLAY:
            return _repaired(plan_repair(workshop, suspect(task.user, workshop.clock())))
        case TaskKind.REPLAY:
            return _repaired(repair(workshop, suspect(task.user, workshop.clock()), task.who, lambda _: None))
        case TaskKind.BACKFILL:
            done = backfill(
                workshop,
                task.campaign,
                _version(task),
                task.who,
                task.reason,
                lambda count, total: told(Told("users have their past", count, total)),
                forget,
            )
            return {"users": done.users, "before": done.before}
        case TaskKind.DIFF:
            return _difference(workshop, task, say)
        case TaskKind.SIMULATE:
            say("reading the archived events")
            candidate = load(task.spec, "spec")
            version = version_in(candidate, task.version, "spec")
            return _plain(run_candidate(workshop, candidate, version, task.period))
        case TaskKind.COUNT:
            say("reading the archived events")
            counted = version_of(workshop.catalog(), task.campaign, _version(task))
            period = period_of(counted.campaign, task.period)
            snapshot = snapshot_of(workshop, newest=False)
            return _plain(simulate(workshop, snapshot, counted.campaign, counted.version, [period], None))
        case TaskKind.CLOSE | TaskKind.GRANT:
            return _settled(workshop, task, say)


def _version(task: Task) -> int:
    if task.version is None:
        raise OperationRefused(f"{task.title}: which version is not told")
    return task.version


def _difference(workshop: Workshop, task: Task, say: Callable[[str], None]) -> dict[str, Any]:
    say("comparing both versions for every user")
    if task.against is None:
        raise OperationRefused(f"{task.title}: which version to compare with is not told")
    found = compare_versions(workshop, task.campaign, task.against, _version(task), task.period)
    return {
        "digest": found.digest,
        "notes": found.notes,
        "compared": _plain(found.report.compared),
        "up": _plain(found.examples.up),
        "down": _plain(found.examples.down),
    }


def _settled(workshop: Workshop, task: Task, say: Callable[[str], None]) -> dict[str, Any]:
    campaign = campaign_of(workshop.catalog(), task.campaign)
    period = period_of(campaign, task.period)
    if task.kind is TaskKind.CLOSE:
        closing = Closing(task.who, Grace(days=task.grace))
        closed, is_new = close(workshop, campaign, period, closing, lambda _: None, say)
        return {"new": is_new, **_plain(closed.manifest)}
    say("computing the cash back of every purchase")
    granted = grant(workshop, campaign, period, task.who)
    return {
        "new": granted.added,
        "currency": campaign.currency,
        "cash_back": sum(one.cash_back for one in granted.manifests),
        "grants": sum(one.grants for one in granted.manifests),
        "settlements": [_plain(one) for one in granted.manifests],
    }


def _repaired(done: Repaired) -> dict[str, Any]:
    return {
        "users": len(done.healed),
        "clean": done.clean,
        "strangers": len(done.strangers),
        "shown": [_healed(one) for one in done.healed[:SHOWN_MAX]],
    }


def _healed(one: Examined) -> dict[str, Any]:
    return {
        "user_id": one.user_id,
        "causes": [cause.value for cause in one.causes],
        "figures": list(one.drift.values())[:SHOWN_MAX],
        "transactions": list(one.transactions[:SHOWN_MAX]),
    }


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)
