"""Proposed changes of rules: what is proposed, what was found about it, who approves, and what is left to do.

    HOME/console/proposals/ID.json

A proposal holds only what nobody else knows: the text, who changed it, and who approves of what. Whether a
version is applied, complete, verified and compared is read from where that is kept, whenever it is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from rung.batch.forecast.diffs import DiffRefused, accepted_diff
from rung.batch.proof.gates import NotProven, check_verified
from rung.batch.proof.report import ReportUnreadable
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog, CatalogRefused, CountedVersion
from rung.campaign.model import Campaign, Version
from rung.campaign.spec import InvalidSpec, load
from rung.operations.catalog import campaign_of, period_of
from rung.operations.errors import OperationRefused

SPEC_NAME: Final = "spec"
"""What a text that came from a form is called where its mistakes are told."""


class ProposalState(StrEnum):
    """Where a proposal is."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"
    ACTIVATED = "activated"


class Approval(msgspec.Struct, frozen=True):
    """Somebody approves of just what `covers` is the hash of."""

    who: str
    at: int
    covers: str


class Deed(msgspec.Struct, frozen=True):
    """What somebody did to a proposal."""

    at: int
    who: str
    what: str


class Proposal(msgspec.Struct, frozen=True):
    """A version that is to serve from a period on.

    Attributes:
        id: Names it.
        campaign, version, identity: The new version, as the text has it.
        spec: The text, with all earlier versions.
        serves_from: The first counting period that it is to serve.
        reason: Why.
        authors: Whoever wrote or changed it, the first one first: none of them approves.
        diff: The hash of the comparison that was made for it; "" while there is none.
        approvals, history: Who approves of what, and what was done.
        state: Where it is.
    """

    id: str
    campaign: str
    version: int
    identity: str
    spec: str
    serves_from: str
    reason: str
    authors: tuple[str, ...]
    diff: str = ""
    approvals: tuple[Approval, ...] = ()
    history: tuple[Deed, ...] = ()
    state: ProposalState = ProposalState.OPEN

    def done(self, at: int, who: str, what: str) -> Proposal:
        """Return the proposal with a deed added to its history."""
        return msgspec.structs.replace(self, history=(*self.history, Deed(at, who, what)))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that was read and checked against what is applied: the campaign, and its one new version."""

    campaign: Campaign
    version: Version


def candidate_in(text: str, catalog: Catalog, applied_version: int | None = None) -> Candidate:
    """Read a text that adds one version, as a shadow, to a campaign that is applied.

    Args:
        text: The spec.
        catalog: What is applied.
        applied_version: A version that may be applied already, because this is its proposal.

    Raises:
        InvalidSpec: the text has mistakes, all of them told by their places.
        UnknownCampaign: the campaign is not applied.
        CatalogRefused: the text would change what was counted.
        OperationRefused: it adds no version, or more than one, or does something else besides.
    """
    campaign = load(text, SPEC_NAME)
    applied = campaign_of(catalog, campaign.name)
    known = {version.number for version in applied.versions} - {applied_version}
    added = [version for version in campaign.versions if version.number not in known]
    following = max((version.number for version in applied.versions), default=-1) + 1
    if len(added) != 1:
        what = "no new version" if not added else f"{len(added)} new versions"
        raise OperationRefused(
            f"the text has {what}: keep the versions that are applied as they are, and add version "
            f"{following}"
        )
    version = added[0]
    if version.counts_from is not None and version.number != applied_version:
        raise OperationRefused(
            f"version {version.number} has counts_from: leave it out, so that it starts as a shadow; from "
            "when on it serves stands in the proposal"
        )
    for what, before, after in (
        ("counts_until", applied.counts_until, campaign.counts_until),
        ("keep", applied.keep_months, campaign.keep_months),
    ):
        if before != after:
            raise OperationRefused(
                f"the text changes {what} from {before or 'nothing'} to {after or 'nothing'}, which would "
                "hold at once: keep it, and change it apart from the rules with `rung campaign apply`"
            )
    catalog.apply(campaign, {})
    return Candidate(campaign, version)


def first_period(campaign: Campaign, text: str) -> Period:
    """Read the period from which on a version is to serve.

    Raises:
        OperationRefused: it is none, or lies behind the campaign's end.
    """
    period = period_of(campaign, text)
    if campaign.counts_until is not None and period > campaign.counts_until:
        raise OperationRefused(
            f"campaign {campaign.name} counts until {campaign.counts_until}: choose that or earlier"
        )
    return period


def base_of(catalog: Catalog, proposal: Proposal) -> str:
    """Return the hash of what a proposal builds on: the schedule, and the versions beside its own."""
    campaign = campaign_of(catalog, proposal.campaign)
    entries = [f"{entry.period}={entry.version}" for entry in campaign.schedule.entries]
    versions = [
        f"{version.number}:{version.identity}"
        for version in campaign.versions
        if version.number != proposal.version
    ]
    return _hashed([proposal.campaign, str(campaign.counts_until), *entries, *versions])


def covered(catalog: Catalog, proposal: Proposal) -> str:
    """Return the hash of all that an approval is of: the rules, their start, their effect, and the base."""
    return _hashed(
        [
            proposal.campaign,
            str(proposal.version),
            proposal.identity,
            proposal.serves_from,
            proposal.diff,
            base_of(catalog, proposal),
        ]
    )


def approval_of(catalog: Catalog, proposal: Proposal) -> Approval | None:
    """Return the approval that holds: of what the proposal is now, by nobody who wrote it."""
    now = covered(catalog, proposal)
    for approval in reversed(proposal.approvals):
        if approval.covers == now and approval.who not in proposal.authors:
            return approval
    return None


def check_may_approve(catalog: Catalog, proposal: Proposal, who: str) -> None:
    """See to it that somebody may approve.

    Raises:
        OperationRefused: it is one of the authors, or the comparison is missing.
    """
    if who in proposal.authors:
        raise OperationRefused(f"{who} wrote this proposal: somebody else approves it, whatever the role")
    if not proposal.diff and replaced_by(catalog, proposal) is not None:
        raise OperationRefused("nobody has seen yet what it changes for whom: compare the versions first")
    if approval_of(catalog, proposal) is not None:
        raise OperationRefused("it is approved already, and nothing has changed since")


class StageState(StrEnum):
    """Whether a stage is done, is next, or waits for those before it."""

    DONE = "done"
    NEXT = "next"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the way: its name, where it is, and what is to be said of it."""

    key: str
    title: str
    state: StageState
    text: str


def stages(proposal: Proposal, catalog: Catalog, folder: Path, now: int) -> Sequence[Stage]:
    """Return the way of a proposal. The first stage that is not done is next; those after it wait.

    Args:
        proposal: The proposal.
        catalog: What is applied.
        folder: The batch layer's folder.
        now: Microseconds since the epoch.
    """
    counted = catalog.versions_of(proposal.campaign).get(proposal.version)
    same = counted is not None and counted.version.identity == proposal.identity
    found: list[tuple[str, str, str | None]] = [
        ("check", "Check", _unfit(proposal, catalog)),
        ("apply", "Apply as a shadow", None if same else "it is not counted yet"),
        ("backfill", "Add its past", _incomplete(counted)),
        ("verify", "Verify", _unproven(folder, proposal, now)),
        ("diff", "Compare", _uncompared(folder, catalog, proposal)),
        ("approve", "Approve", _unapproved(catalog, proposal)),
        ("activate", "Activate", None if _serves(catalog, proposal) else "it serves nothing yet"),
    ]
    result: list[Stage] = []
    for key, title, missing in found:
        blocked = any(stage.state is not StageState.DONE for stage in result)
        state = StageState.LATER if blocked else StageState.DONE if missing is None else StageState.NEXT
        result.append(Stage(key, title, state, missing or ""))
    return result


def replaced_by(catalog: Catalog, proposal: Proposal) -> CountedVersion | None:
    """Return the version that a proposal's one takes over from, None if nothing serves then."""
    campaign = campaign_of(catalog, proposal.campaign)
    serving = campaign.version_counting(period_of(campaign, proposal.serves_from))
    if serving is None or serving.number == proposal.version:
        return None
    return catalog.versions_of(proposal.campaign)[serving.number]


def _unfit(proposal: Proposal, catalog: Catalog) -> str | None:
    return _refusal(lambda: candidate_in(proposal.spec, catalog, proposal.version))


def _incomplete(counted: CountedVersion | None) -> str | None:
    if counted is not None and counted.complete:
        return None
    return "what came before it was applied is not counted"


def _unproven(folder: Path, proposal: Proposal, now: int) -> str | None:
    return _refusal(lambda: check_verified(folder, proposal.campaign, proposal.version, now))


def _uncompared(folder: Path, catalog: Catalog, proposal: Proposal) -> str | None:
    replaced = replaced_by(catalog, proposal)
    if replaced is None:
        # Nothing serves then: it takes nobody's place, and there is nothing to compare it with.
        return None
    if not proposal.diff:
        return "nobody has seen yet what it changes for whom"
    return _refusal(
        lambda: accepted_diff(
            folder,
            proposal.diff,
            catalog,
            proposal.campaign,
            proposal.version,
            replaced.version.number,
        )
    )


def _unapproved(catalog: Catalog, proposal: Proposal) -> str | None:
    if approval_of(catalog, proposal) is not None or proposal.state is ProposalState.ACTIVATED:
        return None
    if proposal.approvals:
        return "it was approved, and then it, or what it builds on, has changed: that approval holds no more"
    return "somebody else has to approve it"


def _serves(catalog: Catalog, proposal: Proposal) -> bool:
    campaign = campaign_of(catalog, proposal.campaign)
    serving = campaign.version_counting(period_of(campaign, proposal.serves_from))
    return serving is not None and serving.number == proposal.version


def _refusal(check: Callable[[], object]) -> str | None:
    """Return why a check refuses, None if it does not."""
    try:
        check()
    except InvalidSpec as invalid:
        return str(invalid.errors[0])
    except (OperationRefused, CatalogRefused, NotProven, DiffRefused, ReportUnreadable) as error:
        return str(error)
    except LookupError as error:
        return str(error)
    return None


def _hashed(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
