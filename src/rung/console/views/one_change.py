"""The proposals as they are now: each with the comparison that was made for it last."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from rung.console.console import Asked, Console
from rung.console.forms import Refused
from rung.console.proposals import Proposal, ProposalState
from rung.console.tasks import TaskKind


def every(console: Console) -> list[Proposal]:
    """Return all proposals, the oldest first."""
    return [_taken_up(console, proposal) for proposal in console.proposals.all()]


def one(console: Console, asked: Asked) -> Proposal:
    """Return the proposal that the path names.

    Raises:
        Refused: there is none.
    """
    found = console.proposals.find(asked.parameters["change"])
    if found is None:
        raise Refused(HTTPStatus.NOT_FOUND, "No such change", "Nobody has proposed this.")
    return _taken_up(console, found)


def open_one(console: Console, asked: Asked) -> Proposal:
    """Return the proposal that the path names, if something can still be done with it.

    Raises:
        Refused: there is none, or it is activated or taken back.
    """
    proposal = one(console, asked)
    if proposal.state is not ProposalState.OPEN:
        raise Refused(HTTPStatus.CONFLICT, "Not open any more", f"This change is {proposal.state} already.")
    return proposal


def noted(console: Console, asked: Asked, what: str) -> None:
    """Add what was done to the history of the proposal that the path names."""
    with console.changing:
        proposal = one(console, asked).done(asked.now, asked.who, what)
        console.proposals.put(proposal.id, proposal)


def _taken_up(console: Console, proposal: Proposal) -> Proposal:
    """Return a proposal with the hash of the newest comparison that was made for it."""
    if proposal.state is not ProposalState.OPEN:
        return proposal
    for job in console.jobs.recent():
        if job.task.kind is TaskKind.DIFF and job.task.change == proposal.id and job.result is not None:
            digest = str(job.result["digest"])
            if digest == proposal.diff or job.task.version != proposal.version:
                return proposal
            with console.changing:
                now = console.proposals.find(proposal.id) or proposal
                found = msgspec.structs.replace(now, diff=digest)
                console.proposals.put(found.id, found)
            return found
    return proposal
