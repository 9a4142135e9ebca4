"""Proposals: which texts are taken, whose approval holds, and what makes it void."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cli.command import SPEC
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog, CatalogRefused
from rung.campaign.spec import InvalidSpec, load
from rung.console.proposals import (
    Approval,
    Proposal,
    StageState,
    approval_of,
    candidate_in,
    check_may_approve,
    covered,
    first_period,
    stages,
)
from rung.operations.errors import OperationRefused
from rung.status.evaluate import UnknownCampaign

ADDED = """\
  - version: 1
    measures:
      payments: {count: "amount >= 300"}
      total: {sum: amount}
    reward:
      base_percent: "1"
      steps:
        - {name: two, when: "payments >= 2", add_percent: "0.5"}
"""
BOTH = SPEC + ADDED
TWICE = BOTH + ADDED.replace("version: 1", "version: 2")
CATALOG = Catalog().apply(load(SPEC, "spec"), {0: 5})


def proposal(text: str = BOTH, **changed: object) -> Proposal:
    """Return a proposal of bob's that was compared."""
    found = candidate_in(text, CATALOG)
    made = Proposal(
        "p",
        "small",
        found.version.number,
        found.version.identity,
        text,
        "2026-12",
        "because",
        ("bob",),
        "d" * 64,
    )
    return msgspec.structs.replace(made, **changed)


def approved(one: Proposal, catalog: Catalog = CATALOG, who: str = "ann") -> Proposal:
    """Return a proposal that somebody approves of as it is."""
    return msgspec.structs.replace(one, approvals=(*one.approvals, Approval(who, 1, covered(catalog, one))))


def test_a_text_with_one_new_version() -> None:
    """The new version is found beside those that are applied."""
    found = candidate_in(BOTH, CATALOG)
    assert (found.campaign.name, found.version.number) == ("small", 1)
    assert candidate_in(BOTH, CATALOG.apply(load(BOTH, "spec"), {}), 1).version.number == 1


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        (
            SPEC,
            OperationRefused,
            "the text has no new version: keep the versions that are applied as they are, and add version 1",
        ),
        (TWICE, OperationRefused, "the text has 2 new versions"),
        (BOTH.replace("campaign: small", "campaign: other"), UnknownCampaign, "no campaign is named 'other'"),
        (
            BOTH.replace("version: 1\n", "version: 1\n    counts_from: 2026-12\n"),
            OperationRefused,
            "version 1 has counts_from: leave it out",
        ),
        (
            BOTH.replace("currency: EUR", "currency: EUR\ncounts_until: 2027-01"),
            OperationRefused,
            "the text changes counts_until from nothing to 2027-01",
        ),
        (
            BOTH.replace("currency: EUR", "currency: EUR\nkeep: 24 months"),
            OperationRefused,
            "the text changes keep from 13 to 24",
        ),
        (BOTH.replace("amount >= 500", "amount >= 501"), CatalogRefused, "version 0 has other rules"),
        (BOTH.replace("currency: EUR", "currency: USD"), CatalogRefused, "currency changes from EUR to USD"),
        (BOTH.replace("currency", "currencie"), InvalidSpec, "did you mean currency"),
        ("", InvalidSpec, "the spec is empty"),
    ],
)
def test_other_texts(text: str, error: type[Exception], told: str) -> None:
    """A text that does anything but add one shadow is refused, with what to do instead."""
    with pytest.raises(error) as raised:
        candidate_in(text, CATALOG)
    assert told in str(raised.value)


def test_the_first_period() -> None:
    """The start is a counting period of the campaign, and not behind its end."""
    campaign = load(SPEC.replace("currency: EUR", "currency: EUR\ncounts_until: 2026-12"), "spec")
    assert first_period(campaign, "2026-12") == Period.parse("2026-12", PeriodKind.MONTH)
    for text, told in (
        ("2027-01", "counts until 2026-12"),
        ("soon", "is not a month"),
        ("", "is not a month"),
    ):
        with pytest.raises(OperationRefused, match=told):
            first_period(campaign, text)


def test_an_approval_holds() -> None:
    """An approval of somebody else holds as long as nothing changes."""
    found = approval_of(CATALOG, approved(proposal()))
    assert found is not None
    assert found.who == "ann"


MOVED = CATALOG.apply(load(BOTH, "spec"), {}).with_backfilled("small", 1)
VOIDING: dict[str, Callable[[Proposal], tuple[Proposal, Catalog]]] = {
    "other rules": lambda one: (msgspec.structs.replace(one, identity="x"), CATALOG),
    "another version": lambda one: (msgspec.structs.replace(one, version=2), CATALOG),
    "another start": lambda one: (msgspec.structs.replace(one, serves_from="2027-01"), CATALOG),
    "another comparison": lambda one: (msgspec.structs.replace(one, diff="e" * 64), CATALOG),
    "the approver edits": lambda one: (msgspec.structs.replace(one, authors=("bob", "ann")), CATALOG),
    "the schedule moves": lambda one: (
        one,
        CATALOG.apply(load(TWICE, "spec"), {})
        .with_backfilled("small", 2)
        .activate("small", 2, Period.parse("2026-12", PeriodKind.MONTH)),
    ),
    "another version comes": lambda one: (one, CATALOG.apply(load(TWICE, "spec"), {})),
    "the campaign ends": lambda one: (
        one,
        CATALOG.apply(
            load(SPEC.replace("currency: EUR", "currency: EUR\ncounts_until: 2027-06"), "spec"), {}
        ),
    ),
}


@pytest.mark.parametrize("name", VOIDING)
def test_what_voids_an_approval(name: str) -> None:
    """An edit by anybody, and whatever moves what the proposal builds on, voids the approval."""
    changed, catalog = VOIDING[name](approved(proposal()))
    assert approval_of(catalog, changed) is None


def test_its_own_steps_void_nothing() -> None:
    """That the version is applied and gets its past changes nothing of what was approved."""
    assert approval_of(MOVED, approved(proposal())) is not None


@pytest.mark.parametrize(
    ("one", "who", "told"),
    [
        (proposal(), "bob", "bob wrote this proposal: somebody else approves it, whatever the role"),
        (proposal(authors=("bob", "ann")), "ann", "ann wrote this proposal"),
        (proposal(diff=""), "ann", "compare the versions first"),
        (approved(proposal()), "cat", "it is approved already"),
    ],
)
def test_who_may_not_approve(one: Proposal, who: str, told: str) -> None:
    """No author approves, nobody approves blindly, and once is enough."""
    with pytest.raises(OperationRefused, match=told):
        check_may_approve(CATALOG, one, who)


def test_where_nothing_serves() -> None:
    """A version that takes nobody's place needs no comparison to be approved of."""
    shadows = SPEC.replace("    counts_from: 2021-01\n", "")
    catalog = Catalog().apply(load(shadows, "spec"), {}).apply(load(shadows + ADDED, "spec"), {})
    one = msgspec.structs.replace(proposal(), spec=shadows + ADDED, diff="")
    check_may_approve(catalog, one, "ann")
    with pytest.raises(OperationRefused, match="compare the versions first"):
        check_may_approve(MOVED, proposal(diff=""), "ann")


def test_an_authors_approval_counts_nothing() -> None:
    """Even an approval that is in the record does not hold if it is an author's."""
    assert approval_of(CATALOG, approved(proposal(), who="bob")) is None


@pytest.mark.parametrize(
    ("one", "catalog", "following", "text"),
    [
        (proposal(spec=SPEC), CATALOG, "check", "no new version"),
        (proposal(), CATALOG, "apply", "it is not counted yet"),
        (proposal(identity="x"), MOVED, "apply", "it is not counted yet"),
        (proposal(), CATALOG.apply(load(BOTH, "spec"), {0: 5}), "backfill", "is not counted"),
        (approved(proposal()), MOVED, "verify", "no verification has compared version 1 of small"),
    ],
)
def test_the_way(tmp_path: Path, one: Proposal, catalog: Catalog, following: str, text: str) -> None:
    """The first step that is not done is next, with the reason; none behind it counts as done."""
    way = stages(one, catalog, tmp_path, 10)
    keys = [stage.key for stage in way]
    assert keys == ["check", "apply", "backfill", "verify", "diff", "approve", "activate"]
    place = keys.index(following)
    assert [stage.state for stage in way] == [
        *[StageState.DONE] * place,
        StageState.NEXT,
        *[StageState.LATER] * (len(keys) - place - 1),
    ]
    assert text in way[place].text
