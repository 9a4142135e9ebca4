"""A change of rules over HTTP, on a real home, by two people: each step in its turn, and nothing out of turn."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest

from cli.command import SPEC, purchase
from console.console_rig import PASSWORD, Person, Rig, current, day_of, made_home, purchases, running, send
from rung import bootstrap
from rung.campaign.spec import load
from rung.operations.author import Author
from rung.operations.catalog import apply_campaigns
from rung.store.audit import decode_entry

ADDED = """\
  - version: %d
    measures:
      payments: {count: "amount >= 500"}
      total: {sum: amount}
    reward:
      base_percent: "1"
      steps:
        - {name: two, when: "payments >= 2", add_percent: "0.5"}
"""
TYPED = {"typed": "small", "password": PASSWORD, "reason": "as announced"}


@pytest.fixture
def real(tmp_path: Path) -> Generator[Rig]:
    """Run a console with real jobs, on a home with purchases of this month and the last one."""
    home = made_home(tmp_path)
    send(home, *purchases(current()), *purchases(current().previous()))
    with running(home, None) as found:
        yield found


def following(person: Person, page: str) -> str:
    """Return what a proposal's page says is next."""
    found = re.search(r"<h2>Next: ([^<]+)</h2>", person.get(page).text)
    return "" if found is None else found[1]


def hidden(person: Person, page: str, name: str) -> str:
    """Return the value of a field that the page fills in."""
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', person.get(page).text)
    assert found is not None
    return found[1]


def proposed(person: Person, number: int = 1, **changed: str) -> str:
    """Propose a version, and return its page."""
    fields = {
        "spec": SPEC + ADDED % number,
        "serves_from": str(current().next()),
        "reason": "fairer",
        **changed,
    }
    return person.fine("/changes", fields)


def audited(rig: Rig) -> list[tuple[str, str]]:
    """Return who did what, as the audit list has it."""
    store = rig.console.services.store
    return [(entry.who, entry.action) for entry in map(decode_entry, store.audit(0, store.audit_end()[0]))]


@pytest.mark.timeout(400)
def test_from_text_to_roll_back(real: Rig) -> None:
    """Bob proposes, applies, completes, verifies and compares; ann approves and activates, and takes it back."""
    bob, ann = real.person("bob"), real.person("ann")
    page = proposed(bob)
    assert following(bob, page) == "Apply as a shadow"
    for step in ("run/backfill", "run/verify"):
        answer = bob.post(f"{page}/{step}")
        assert (answer.status_code, "Apply as a shadow is next" in answer.text) == (422, True)
    answer = ann.post(f"{page}/approve", {"covers": ""})
    assert "compare the versions first" in answer.text

    assert bob.fine(f"{page}/apply") == page
    assert following(bob, page) == "Add its past"
    bob.job(f"{page}/run/backfill")
    assert following(bob, page) == "Verify"
    bob.job(f"{page}/run/verify")
    assert following(bob, page) == "Compare"
    answer = bob.post(f"{page}/run/diff", {"period": "soon"})
    assert "&#39;soon&#39; is not a month" in answer.text
    bob.job(f"{page}/run/diff", {"period": str(current().previous())})
    assert "bob proposes version 1 of small" in ann.get("/").text
    assert "bob proposes" not in bob.get("/").text
    assert following(bob, page) == "Approve"
    text = ann.get(page).text
    assert re.search(r"\d+ up, \d+ down", text)
    assert "Cash back differs by" in text

    # A second person, and only one who saw what is there now.
    assert bob.post(f"{page}/approve", {"covers": hidden(ann, page, "covers")}).status_code == 403
    assert (
        "it has changed since you opened the page" in ann.post(f"{page}/approve", {"covers": "0" * 64}).text
    )
    ann.fine(f"{page}/approve", {"covers": hidden(ann, page, "covers"), "reason": "looked at all users"})
    assert following(ann, page) == "Activate"
    assert "it is approved already" in ann.post(f"{page}/approve", {"covers": hidden(ann, page, "diff")}).text

    digest = hidden(ann, page, "diff")
    for wrong, told in (
        ({"typed": "smal"}, "Type the campaign&#39;s name, to the letter: small"),
        ({"password": "wrong"}, "That is not your password."),
        ({"reason": " "}, "Say why, for those who read the audit list."),
        ({"diff": "0" * 64}, "This is not the hash of the comparison that was approved."),
    ):
        answer = ann.post(f"{page}/activate", {**TYPED, "diff": digest, **wrong})
        assert (answer.status_code, told in answer.text) == (422, True), answer.text
        assert PASSWORD not in answer.text
    assert bob.post(f"{page}/activate", {**TYPED, "diff": digest}).status_code == 403
    assert real.console.catalog().campaigns["small"].schedule.version_at(current().next()) == 0
    ann.fine(f"{page}/activate", {**TYPED, "diff": digest})
    assert real.console.catalog().campaigns["small"].schedule.version_at(current().next()) == 1
    assert real.console.catalog().campaigns["small"].schedule.version_at(current()) == 0
    assert f"Serves from {current().next()} on." in bob.get(page).text
    assert "is activated already" in ann.post(f"{page}/activate", {**TYPED, "diff": digest}).text

    answer = ann.post("/campaigns/small/roll-back", {"typed": "", "password": "", "reason": ""})
    assert [
        answer.status_code,
        *(text in answer.text for text in ("to the letter: small", "not your password", "Say why")),
    ] == [422, True, True, True]
    assert ann.fine("/campaigns/small/roll-back", TYPED) == "/campaigns/small"
    assert real.console.catalog().campaigns["small"].schedule.version_at(current().next()) == 0
    assert "There is no activation that could be taken back." in ann.get("/campaigns/small/roll-back").text
    assert audited(real) == [
        ("ann", "campaign.apply"),
        ("bob", "campaign.apply"),
        ("bob", "batch.backfill"),
        ("ann", "change.approve"),
        ("ann", "campaign.activate"),
        ("ann", "campaign.rollback"),
    ]
    last = decode_entry(real.console.services.store.audit(4, 1)[0])
    assert "approved by ann" in last.reason


@pytest.mark.timeout(400)
def test_what_voids_an_approval(real: Rig) -> None:
    """An edit and a moved base void an approval: the change waits for another one, and does not serve."""
    bob, ann, cat = real.person("bob"), real.person("ann"), real.person("cat")
    page = proposed(bob)
    bob.fine(f"{page}/apply")
    bob.job(f"{page}/run/backfill")
    bob.job(f"{page}/run/verify")
    bob.job(f"{page}/run/diff", {"period": str(current().previous())})
    ann.fine(f"{page}/approve", {"covers": hidden(ann, page, "covers")})
    assert following(ann, page) == "Activate"

    fields = {
        "spec": SPEC + ADDED % 1,
        "serves_from": str(current().next().next()),
        "reason": "a month later",
    }
    cat.fine(f"{page}/edit", fields)
    assert following(ann, page) == "Approve"
    assert "that approval holds no more" in ann.get(page).text
    answer = ann.post(f"{page}/activate", {**TYPED, "diff": hidden_diff(real)})
    assert (answer.status_code, "Approve is next" in answer.text) == (422, True)
    assert (
        "cat wrote this proposal" in cat.post(f"{page}/approve", {"covers": hidden(ann, page, "covers")}).text
    )
    ann.fine(f"{page}/approve", {"covers": hidden(ann, page, "covers")})
    assert following(ann, page) == "Activate"

    third = load(SPEC + ADDED % 1 + ADDED % 2, "spec")
    apply_campaigns(real.console.services.store, [third], bootstrap.clock, Author("eve", "beside"))
    assert following(ann, page) == "Check"
    mended = {**fields, "spec": SPEC + ADDED % 1 + ADDED % 2}
    assert "the text has no new version" in bob.post(f"{page}/edit", {**mended, "spec": SPEC}).text
    assert bob.post(f"{page}/edit", mended).status_code == 303
    assert following(ann, page) == "Approve"
    assert real.console.catalog().campaigns["small"].schedule.version_at(current().next().next()) == 0


def hidden_diff(rig: Rig) -> str:
    """Return the hash of the only proposal's comparison."""
    return rig.console.proposals.all()[0].diff


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"spec": ""}, "Paste the campaign&#39;s spec with the new version, or choose its file."),
        ({"spec": "campaign: small\ntimezon: UTC\n"}, "Line 2, column 1: a campaign has no key timezon"),
        ({"spec": SPEC}, "the text has no new version"),
        (
            {"spec": (SPEC + ADDED % 1).replace("campaign: small", "campaign: smal")},
            "no campaign is named &#39;smal&#39;",
        ),
        ({"serves_from": "December"}, "&#39;December&#39; is not a month"),
        ({"serves_from": ""}, "&#39;&#39; is not a month"),
        ({"reason": " "}, "Say why, for those who approve it and read the audit list."),
    ],
)
def test_proposed_wrongly(own: Rig, changed: dict[str, str], told: str) -> None:
    """What is wrong with a proposal is told by its place; nothing is kept of it, and what was typed is there."""
    fields = {"spec": SPEC + ADDED % 1, "serves_from": str(current().next()), "reason": "fairer", **changed}
    answer = own.person("bob").post("/changes", fields)
    assert (answer.status_code, told in answer.text) == (422, True), answer.text
    assert own.console.proposals.all() == []
    if fields["reason"].strip():
        assert "fairer</textarea>" in answer.text
    assert "two, when:" in answer.text or "two" not in fields["spec"]


def test_a_proposal_is_kept(own: Rig) -> None:
    """A proposal is there after a restart, once for each version, until it is taken back."""
    bob = own.person("bob")
    page = proposed(bob)
    other = bob.post("/changes", {"spec": SPEC + ADDED % 1, "serves_from": str(current()), "reason": "again"})
    assert "has an open proposal for version 1 of small already" in other.text
    assert "fairer" in own.person("vera").get("/changes").text
    assert following(own.person("vera"), page) == "Apply as a shadow"
    assert own.person("ann").fine(f"{page}/withdraw") == "/changes"
    assert "Taken back" in bob.get("/changes").text
    assert "This change is withdrawn already." in bob.post(f"{page}/apply").text
    proposed(bob)


def test_the_wrong_campaign(own: Rig) -> None:
    """A proposal does not become one of another campaign."""
    other = SPEC.replace("campaign: small", "campaign: other")
    apply_campaigns(own.console.services.store, [load(other, "spec")], bootstrap.clock, Author("ann", ""))
    bob = own.person("bob")
    page = proposed(bob)
    fields = {"spec": other + ADDED % 1, "serves_from": str(current().next()), "reason": "x"}
    assert (
        "the text is of campaign other, and this proposal of small" in bob.post(f"{page}/edit", fields).text
    )


@pytest.mark.timeout(400)
def test_simulated_and_counted(real: Rig) -> None:
    """A candidate is run over the past, and users are counted by step, both as jobs that change nothing."""
    bob = real.person("bob")
    before = audited(real)
    page = bob.job("/simulate", {"spec": SPEC + ADDED % 1, "periods": str(current().previous())})
    text = bob.get(page).text
    assert "Users whose rate changes" in text
    assert "two: <code>payments &gt;= 2</code>" in text
    page = bob.job("/campaigns/small/count")
    assert "Users by step" in bob.get(page).text
    text = bob.get("/campaigns/small").text
    assert "by version 0, as of" in text
    assert "data-bars=" in text
    assert audited(real) == before
    later = purchase("new", "user-0", 900, day_of(current(), 1))
    real.console.services.producer.append([later.encode()])
    assert "by version 0, as of" in bob.get("/campaigns/small").text
