"""A change of rules as a path: check, apply as a shadow, add its past, verify, compare, approve, activate."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.responses import Response

from rung.batch.forecast.numbers import Compared, Example
from rung.campaign.catalog import Catalog, CatalogRefused
from rung.campaign.spec import InvalidSpec
from rung.console.console import Asked, Console, see
from rung.console.forms import Mistake, Refused
from rung.console.jobs import Job, JobState
from rung.console.proposals import (
    Approval,
    Candidate,
    Proposal,
    ProposalState,
    StageState,
    approval_of,
    candidate_in,
    check_may_approve,
    covered,
    first_period,
    replaced_by,
    stages,
)
from rung.console.tasks import Task, TaskKind
from rung.console.views.campaigns import compared_lines
from rung.console.views.confirm import confirmed
from rung.console.views.one_change import every, noted, one, open_one
from rung.console.wording import ladder_of
from rung.operations.author import Author
from rung.operations.catalog import apply_campaigns
from rung.operations.errors import OperationRefused
from rung.operations.serving import activate as activate_version
from rung.operations.wording import rule_lines
from rung.status.evaluate import UnknownCampaign
from rung.store.audit import append_audit

_JOBS: Final = {"backfill": TaskKind.BACKFILL, "verify": TaskKind.VERIFY, "diff": TaskKind.DIFF}


def list_changes(console: Console, asked: Asked) -> Response:
    """List the proposals, those that are open first."""
    catalog, folder = console.catalog(), console.services.batch_folder
    found: list[tuple[Proposal, str]] = []
    for proposal in reversed(every(console)):
        following = ""
        if proposal.state is ProposalState.OPEN and proposal.campaign in catalog.campaigns:
            way = stages(proposal, catalog, folder, asked.now)
            following = next((stage.title for stage in way if stage.state is StageState.NEXT), "")
        found.append((proposal, following))
    found.sort(key=lambda one: one[0].state is not ProposalState.OPEN)
    return console.page(asked, "changes.html", proposals=found, campaigns=sorted(catalog.campaigns))


def show(console: Console, asked: Asked) -> Response:
    """Show a proposal, and what is next on its way."""
    return console.page(asked, "change.html", **_values(console, asked, one(console, asked)))


def apply(console: Console, asked: Asked) -> Response:
    """Apply the version as a shadow: it is counted from here on, and serves nothing."""
    proposal = open_one(console, asked)
    _check_next(console, asked, proposal, "apply")
    candidate = candidate_in(proposal.spec, console.catalog(), proposal.version)
    author = Author(asked.who, f"{proposal.reason} (proposal {proposal.id})")
    apply_campaigns(console.services.store, [candidate.campaign], console.services.clock, author)
    noted(console, asked, "applied it as a shadow")
    asked.say(f"Version {proposal.version} is counted from here on. No user sees anything of it.")
    return see(f"/changes/{proposal.id}")


def run(console: Console, asked: Asked) -> Response:
    """Start the job that is next: to add the past, to verify, or to compare."""
    proposal = open_one(console, asked)
    stage = asked.parameters["stage"]
    kind = _JOBS.get(stage)
    if kind is None:
        raise Refused(HTTPStatus.NOT_FOUND, "No such page", "Nothing is at this address.")
    catalog = console.catalog()
    task = Task(
        kind=kind,
        who=asked.who,
        reason=proposal.reason,
        campaign=proposal.campaign,
        version=proposal.version,
        change=proposal.id,
    )
    # What is compared already may be compared once more, in another period.
    _check_next(console, asked, proposal, stage, *(("approve", "activate") if kind is TaskKind.DIFF else ()))
    if kind is TaskKind.DIFF:
        replaced = replaced_by(catalog, proposal)
        if replaced is None:
            raise OperationRefused(
                f"no version serves {proposal.serves_from}, from when on this one would: there is nothing to "
                "compare it with"
            )
        period = asked.form.text("period")
        first_period(catalog.campaigns[proposal.campaign], period)
        task = msgspec.structs.replace(task, against=replaced.version.number, period=period)
    started = console.jobs.start(task)
    noted(console, asked, f"started: {task.title}")
    return see(f"/changes/{proposal.id}#{started.id}")


def approve(console: Console, asked: Asked) -> Response:
    """Approve of just what the page showed, as somebody who did not write it."""
    with console.changing:
        proposal, catalog = open_one(console, asked), console.catalog()
        check_may_approve(catalog, proposal, asked.who)
        _check_next(console, asked, proposal, "approve")
        now_covers = covered(catalog, proposal)
        if asked.form.text("covers") != now_covers:
            raise OperationRefused(
                "it has changed since you opened the page: nothing was approved. Look at it again"
            )
        approved = msgspec.structs.replace(
            proposal, approvals=(*proposal.approvals, Approval(asked.who, asked.now, now_covers))
        ).done(asked.now, asked.who, "approved of it")
        append_audit(
            console.services.store,
            console.services.clock,
            asked.who,
            "change.approve",
            f"{proposal.campaign} {proposal.version}",
            None,
            {"proposal": proposal.id, "covers": now_covers, "diff": proposal.diff},
            asked.form.text("reason"),
        )
        console.proposals.put(proposal.id, approved)
    asked.say("Approved. It serves once it is activated.")
    return see(f"/changes/{proposal.id}")


def activate(console: Console, asked: Asked) -> Response:
    """Let the version serve: with the approval of somebody else, and all proofs looked at once more."""
    proposal = open_one(console, asked)
    _check_next(console, asked, proposal, "activate")
    mistakes = confirmed(console, asked, proposal.campaign, "the campaign's name")
    if asked.form.text("diff") != proposal.diff:
        mistakes.append(
            Mistake("diff", "This is not the hash of the comparison that was approved. Look at it again.")
        )
    reason = asked.form.text("reason")
    if not reason:
        mistakes.append(Mistake("reason", "Say why, for those who read the audit list."))
    if mistakes:
        return console.form_again(asked, "change.html", mistakes, **_values(console, asked, proposal))
    approval = approval_of(console.catalog(), proposal)
    approver = "nobody" if approval is None else approval.who

    def still_approved(before: Catalog) -> None:
        if approval_of(before, proposal) is None:
            raise OperationRefused("the approval holds no more, because what it builds on has just changed")

    activate_version(
        console.services.store,
        console.services.batch_folder,
        console.services.clock,
        proposal.campaign,
        proposal.version,
        proposal.serves_from,
        proposal.diff or None,
        Author(asked.who, f"{reason} (proposal {proposal.id}, approved by {approver})"),
        checked=still_approved,
    )
    with console.changing:
        now_serves = msgspec.structs.replace(one(console, asked), state=ProposalState.ACTIVATED)
        console.proposals.put(proposal.id, now_serves.done(asked.now, asked.who, "activated it"))
    asked.say(f"Version {proposal.version} of {proposal.campaign} serves from {proposal.serves_from} on.")
    return see(f"/changes/{proposal.id}")


def withdraw(console: Console, asked: Asked) -> Response:
    """Take a proposal back; what was applied goes on being counted."""
    with console.changing:
        proposal = msgspec.structs.replace(open_one(console, asked), state=ProposalState.WITHDRAWN)
        console.proposals.put(proposal.id, proposal.done(asked.now, asked.who, "took it back"))
    asked.say("Taken back. A version that was applied goes on being counted as a shadow.")
    return see("/changes")


def _values(console: Console, asked: Asked, proposal: Proposal) -> dict[str, Any]:
    catalog = console.catalog()
    campaign = catalog.campaigns.get(proposal.campaign)
    if campaign is None:
        raise Refused(
            HTTPStatus.CONFLICT, "Its campaign is gone", f"No campaign is named {proposal.campaign}."
        )
    way = stages(proposal, catalog, console.services.batch_folder, asked.now)
    versions = {version.number: version for version in campaign.versions}
    replaced = replaced_by(catalog, proposal)
    rules = _rules(proposal, catalog)
    earlier = None if replaced is None else versions[replaced.version.number]
    diff_job = next(
        (
            job
            for job in console.jobs.recent()
            if job.task.kind is TaskKind.DIFF
            and job.state is JobState.DONE
            and job.result is not None
            and job.result["digest"] == proposal.diff
        ),
        None,
    )
    current = campaign.calendar.period_at(asked.now)
    return {
        "proposal": proposal,
        "campaign": campaign,
        "stages": way,
        "following": next((stage for stage in way if stage.state is StageState.NEXT), None),
        "replaced": replaced,
        "candidate": rules,
        "ladder": [] if rules is None else ladder_of(rules.campaign, rules.version),
        "lines": []
        if rules is None
        else compared_lines([] if earlier is None else rule_lines(earlier), rule_lines(rules.version)),
        "approval": approval_of(catalog, proposal),
        "covers": covered(catalog, proposal),
        "compared": None if diff_job is None else _compared(diff_job),
        "diff_job": diff_job,
        "diff_period": str(current.previous()),
        "jobs": [job for job in console.jobs.recent() if job.task.change == proposal.id][:5],
        "is_author": asked.who in proposal.authors,
    }


def _rules(proposal: Proposal, catalog: Catalog) -> Candidate | None:
    try:
        return candidate_in(proposal.spec, catalog, proposal.version)
    except (InvalidSpec, CatalogRefused, OperationRefused, UnknownCampaign):
        # The first stage of its way tells what is wrong with it.
        return None


def _compared(job: Job) -> dict[str, Any]:
    assert job.result is not None, "a job that is done has a result"
    return {
        "found": msgspec.convert(job.result["compared"], Compared, str_keys=True),
        "notes": job.result["notes"],
        "up": msgspec.convert(job.result["up"], list[Example], str_keys=True),
        "down": msgspec.convert(job.result["down"], list[Example], str_keys=True),
    }


def _check_next(console: Console, asked: Asked, proposal: Proposal, *keys: str) -> None:
    """See to it that one of these stages is next.

    Raises:
        OperationRefused: another one is; the text says which, and why.
    """
    way = stages(proposal, console.catalog(), console.services.batch_folder, asked.now)
    following = next((stage for stage in way if stage.state is StageState.NEXT), None)
    if following is None or following.key not in keys:
        due = "nothing is left to do" if following is None else f"{following.title} is next: {following.text}"
        raise OperationRefused(f"this step is not next on the way: {due}")
