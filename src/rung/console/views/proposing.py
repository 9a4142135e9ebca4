"""To write a proposal, and to change it: a text that is checked before it is kept."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from rung.campaign.catalog import Catalog, CatalogRefused
from rung.campaign.spec import InvalidSpec
from rung.console.console import Asked, Console, see
from rung.console.forms import Mistake
from rung.console.proposals import (
    Candidate,
    Proposal,
    ProposalState,
    candidate_in,
    first_period,
)
from rung.console.views.one_change import open_one
from rung.dated import dated_id
from rung.operations.errors import OperationRefused
from rung.status.evaluate import UnknownCampaign

_EXAMPLE: Final = """\
  - version: {number}
    measures:
      # what is counted
    reward:
      base_percent: "1"
      steps:
        - {{name: example, when: "payments >= 3", add_percent: "0.5"}}
"""


def new_form(console: Console, asked: Asked) -> Response:
    """Ask for the text of a new version."""
    catalog = console.catalog()
    name = asked.query.text("campaign")
    campaign = catalog.campaigns.get(name)
    serves_from = number = ""
    if campaign is not None:
        serves_from = str(campaign.calendar.period_at(asked.now).next())
        number = str(max((version.number for version in campaign.versions), default=-1) + 1)
    return console.page(
        asked,
        "change-form.html",
        proposal=None,
        typed={"serves_from": serves_from, "spec": ""},
        campaign=name,
        campaigns=sorted(catalog.campaigns),
        example=_EXAMPLE.format(number=number or "N"),
        spec_mistakes=(),
    )


def propose(console: Console, asked: Asked) -> Response:
    """Keep a proposal, if its text is right."""
    catalog = console.catalog()
    checked = _checked(console, asked, catalog, None)
    if isinstance(checked, Response):
        return checked
    now = asked.now
    proposal_id = dated_id(now)
    proposal = Proposal(
        proposal_id,
        checked.campaign.name,
        checked.version.number,
        checked.version.identity,
        asked.form.raw("spec"),
        asked.form.text("serves_from"),
        asked.form.text("reason"),
        (asked.who,),
    ).done(now, asked.who, "proposed it")
    with console.changing:
        for other in console.proposals.all():
            same = (other.campaign, other.version) == (proposal.campaign, proposal.version)
            if same and other.state is ProposalState.OPEN:
                raise OperationRefused(
                    f"{other.authors[0]} has an open proposal for version {other.version} of "
                    f"{other.campaign} already: change that one, or take it back first"
                )
        console.proposals.put(proposal_id, proposal)
    asked.say("The text is right. Nothing was applied yet.")
    return see(f"/changes/{proposal_id}")


def edit_form(console: Console, asked: Asked) -> Response:
    """Show the text of a proposal, to be changed."""
    proposal = open_one(console, asked)
    return console.page(
        asked,
        "change-form.html",
        proposal=proposal,
        typed={
            "spec": proposal.spec,
            "serves_from": proposal.serves_from,
            "reason": proposal.reason,
        },
        campaign=proposal.campaign,
        campaigns=[proposal.campaign],
        example="",
        spec_mistakes=(),
    )


def edit(console: Console, asked: Asked) -> Response:
    """Change a proposal: whoever changes it is one of its authors, and no approval of before holds."""
    catalog = console.catalog()
    checked = _checked(console, asked, catalog, open_one(console, asked))
    if isinstance(checked, Response):
        return checked
    with console.changing:
        proposal = open_one(console, asked)
        if checked.campaign.name != proposal.campaign:
            raise OperationRefused(
                f"the text is of campaign {checked.campaign.name}, and this proposal of {proposal.campaign}: "
                "make another proposal"
            )
        same_rules = checked.version.identity == proposal.identity
        changed = msgspec.structs.replace(
            proposal,
            version=checked.version.number,
            identity=checked.version.identity,
            spec=asked.form.raw("spec"),
            serves_from=asked.form.text("serves_from"),
            reason=asked.form.text("reason"),
            authors=tuple(dict.fromkeys((*proposal.authors, asked.who))),
            diff=proposal.diff if same_rules and checked.version.number == proposal.version else "",
        ).done(asked.now, asked.who, "changed it")
        console.proposals.put(proposal.id, changed)
    asked.say("Changed. Approvals of what it was before hold no more.")
    return see(f"/changes/{proposal.id}")


def _checked(
    console: Console, asked: Asked, catalog: Catalog, proposal: Proposal | None
) -> Candidate | Response:
    """Return what a form's text says, or the form again with all that is wrong with it."""
    form = asked.form
    mistakes: list[Mistake] = []
    spec_mistakes: list[Any] = []
    candidate: Candidate | None = None
    if not form.text("spec"):
        mistakes.append(
            Mistake("spec", "Paste the campaign's spec with the new version, or choose its file.")
        )
    else:
        try:
            candidate = candidate_in(
                form.raw("spec"), catalog, None if proposal is None else proposal.version
            )
        except InvalidSpec as invalid:
            spec_mistakes = list(invalid.errors)
            mistakes += [
                Mistake("spec", f"Line {one.line}, column {one.column}: {one.message}")
                for one in spec_mistakes
            ]
        except (CatalogRefused, OperationRefused, UnknownCampaign) as error:
            mistakes += [Mistake("spec", line) for line in str(error).splitlines()]
    if candidate is not None:
        try:
            first_period(candidate.campaign, form.text("serves_from"))
        except OperationRefused as error:
            mistakes.append(Mistake("serves_from", str(error)))
    if not form.text("reason"):
        mistakes.append(Mistake("reason", "Say why, for those who approve it and read the audit list."))
    if not mistakes and candidate is not None:
        return candidate
    return console.form_again(
        asked,
        "change-form.html",
        mistakes,
        proposal=proposal,
        campaign=form.text("campaign"),
        campaigns=sorted(catalog.campaigns),
        example="",
        spec_mistakes=spec_mistakes,
    )
