"""`rung campaign activate`, `rollback`, `retire`: what serves is moved, with who did it and why."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from cli.command import SPEC, Rung, purchase, write_lines
from rung import bootstrap
from rung.cli import author
from rung.cli.errors import ExitCode
from rung.store.audit import AuditEntry, check_chain, decode_entry
from rung.transaction.times import parse_time

SHADOW = """\
  - version: 1
    measures:
      payments: {count: "amount >= 300"}
    reward: {base_percent: "2"}
"""
AUGUST = parse_time("2021-08-20T12:00:00Z") or 0
WHY = ("--reason", "the new rules")


@pytest.fixture
def two(rung: Rung, spec: Path, monkeypatch: pytest.MonkeyPatch) -> Rung:
    """Return a command line in August 2021, on a home whose campaign has a version and a shadow."""
    monkeypatch.setattr(bootstrap, "clock", lambda: AUGUST)
    spec.write_text(SPEC + SHADOW, encoding="utf-8")
    rung.fine("campaign", "apply", spec)
    return rung


def activate(period: str, *arguments: str) -> list[str]:
    return ["campaign", "activate", "small", "1", "--from", period, "--unproven", *(arguments or WHY)]


def audit(rung: Rung) -> list[AuditEntry]:
    with bootstrap.opened_store(bootstrap.open_home(rung.home), read_only=True) as store:
        entries = [decode_entry(record) for record in store.audit(0, 100)]
    assert check_chain(entries) is None
    return entries


def versions_shown(rung: Rung) -> tuple[int, int]:
    """Return the versions of the counting and of the effective period, in August."""
    shown = rung.fine("status", "ann", "--at", "2021-08-04", "--json").json["campaigns"][0]
    return shown["counting"]["version"], shown["effective"]["version"]


def test_activate_and_roll_back(two: Rung, spec: Path) -> None:
    """A version serves from a period on, in the status at once, until that is taken back."""
    assert versions_shown(two) == (0, 0)
    ran = two.fine(*activate("2021-08"))
    assert (ran.out, ran.err.splitlines()) == (
        "",
        [
            "Activated small: version 1 serves from 2021-08 on",
            "before:",
            "  2021-01 on  version 0, complete, counts 2021-01 on",
            "  shadow      version 1, complete, counts every period",
            "after:",
            "  2021-01 to 2021-07  version 0, complete, counts 2021-01 on",
            "  2021-08 on          version 1, complete, counts every period",
            f"To take it back: rung --home {two.home} campaign rollback small --reason TEXT",
        ],
    )
    assert versions_shown(two) == (1, 0)
    assert two.fine("campaign", "apply", spec).err == "Unchanged: small\n"
    assert versions_shown(two) == (1, 0)
    ran = two.fine("campaign", "rollback", "small", "--reason", "wrong after all", "--by", "bob")
    assert ran.err.startswith(
        "Rolled back small: the last activation is taken back\nbefore:\n  2021-01 to 2021-07"
    )
    assert versions_shown(two) == (0, 0)
    ran = two("campaign", "rollback", "small", *WHY)
    assert (ran.code, ran.err) == (
        ExitCode.BAD_INPUT,
        "error: campaign small: there is no activation that could be taken back\n",
    )
    assert [(one.who, one.action, one.subject, one.reason) for one in audit(two)] == [
        (getpass.getuser(), "campaign.apply", "small", ""),
        (getpass.getuser(), "campaign.activate-unproven", "small 1", "the new rules"),
        ("bob", "campaign.rollback", "small", "wrong after all"),
    ]


def test_as_json(two: Rung) -> None:
    """With --json the schedules before and after, and the later entries that stay in force, are values."""
    old = [{"version": 0, "first": "2021-01", "last": None}]
    new = [
        {"version": 0, "first": "2021-01", "last": "2021-09"},
        {"version": 1, "first": "2021-10", "last": None},
    ]
    assert two.fine(*activate("2021-10"), "--json").json == {
        "ok": True,
        "campaign": "small",
        "version": 1,
        "from": "2021-10",
        "before": old,
        "after": new,
        "later": [],
    }
    assert two.fine("campaign", "show", "small", "--json").json["schedule"] == new
    ran = two.fine(*activate("2021-08"), "--json").json
    assert (ran["later"], ran["before"]) == ([{"version": 1, "from": "2021-10"}], new)
    assert two.fine("campaign", "rollback", "small", *WHY, "--json").json["after"] == new


def test_later_entries_are_named(two: Rung) -> None:
    """What takes over later is told, because it stays in force."""
    two.fine(*activate("2021-06"))
    two.fine("campaign", "activate", "small", "0", "--from", "2021-10", "--unproven", *WHY)
    ran = two.fine("campaign", "activate", "small", "0", "--from", "2021-06", "--unproven", *WHY)
    assert "Later entries stay in force: version 0 from 2021-10\n" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal", "1", "--from", "2021-08"], "no campaign is named 'smal'; did you mean small?"),
        (["small", "7", "--from", "2021-08"], "campaign small has no version 7; there are: 0, 1"),
        (
            ["small", "1", "--from", "August"],
            "'August' is not a month such as 2021-08 (campaign small counts by month)",
        ),
        (
            ["small", "0", "--from", "2021-08"],
            "campaign small: version 0 serves from 2021-08 on already: nothing would change",
        ),
        (
            ["small", "0", "--from", "2020-12"],
            (
                "campaign small: version 0 counts 2021-01 on, and would serve 2020-12 on: add version 2 with the same "
                "rules and without counts_from, and activate that"
            ),
        ),
    ],
)
def test_refused(two: Rung, arguments: list[str], message: str) -> None:
    """What cannot be is refused with the reason and exit code 2, and neither done nor audited."""
    ran = two("campaign", "activate", *arguments, "--unproven", *WHY)
    assert (ran.code, ran.err) == (ExitCode.BAD_INPUT, f"error: {message}\n")
    assert versions_shown(two) == (0, 0)
    assert len(audit(two)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reason", " "], "--reason is empty: say why, for those who read the audit list"),
        (["--reason", "why", "--by", ""], "--by is empty: say who does it"),
        (["--by", "ann"], "Missing option '--reason'; see rung campaign activate --help"),
    ],
)
def test_who_and_why(two: Rung, arguments: list[str], message: str) -> None:
    """Nobody changes what serves without a name and a reason."""
    ran = two("campaign", "activate", "small", "1", "--from", "2021-08", "--unproven", *arguments)
    assert (ran.code, ran.err) == (ExitCode.BAD_INPUT, f"error: {message}\n")
    assert len(audit(two)) == 1


def test_a_system_without_a_name(two: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system's user has no name, one has to be given."""

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(author.getpass, "getuser", nobody)
    ran = two(*activate("2021-08"))
    assert ran.err == "error: the system's user has no name: say who does it with --by NAME\n"
    two.fine(*activate("2021-08", *WHY, "--by", "ann"))
    assert audit(two)[-1].who == "ann"


def test_a_shadow_that_came_later(small: Rung, spec: Path, tmp_path: Path) -> None:
    """A shadow that is added among events says where its past comes from, and cannot serve before."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    spec.write_text(SPEC + SHADOW, encoding="utf-8")
    ran = small.fine("campaign", "apply", spec, "--by", "ann", "--reason", "to compare")
    assert ran.err.splitlines() == [
        "Applied small: version 1 added",
        "Events were applied before: what was added counts from here on (state: partial).",
        "Version 1 of small is a shadow: it is counted live, and serves no period.",
        f"To add its past: rung --home {small.home} batch backfill small 1",
        f"To count the past of all as well: rung --home {small.home} replay",
    ]
    assert (audit(small)[-1].who, audit(small)[-1].reason) == ("ann", "to compare")
    shown = small.fine("campaign", "show", "small").out
    assert "  2021-01 on  version 0, complete, counts 2021-01 on\n" in shown
    assert "  shadow      version 1, partial, counts every period\n" in shown
    ran = small(*activate("2021-08"))
    assert (ran.code, ran.err) == (
        ExitCode.BAD_INPUT,
        (
            "error: campaign small: version 1 is partial, because its past has not been added yet: "
            "run `rung batch backfill small 1`\n"
        ),
    )
    small.fine("replay", "--yes")
    small.fine(*activate("2021-08"))
    assert "  2021-08 on          version 1, complete, counts every period\n" in (
        small.fine("campaign", "show", "small").out
    )


def test_a_replaced_version_counts_on_until_it_is_retired(two: Rung, tmp_path: Path) -> None:
    """Going back shows what was counted meanwhile; a retired version counts the current period, and no later."""
    two.fine(*activate("2021-08"))
    two.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    two.fine("campaign", "rollback", "small", *WHY)
    shown = two.fine("status", "ann", "--at", "2021-08-04", "--json").json["campaigns"][0]["counting"]
    assert (shown["version"], shown["measures"]["payments"]) == (0, 1)
    ran = two("campaign", "retire", "small", "0", *WHY)
    assert (
        ran.err
        == "error: campaign small: version 0 serves 2021-01 on: activate another version for that first\n"
    )
    two.fine(*activate("2021-08"))
    ran = two.fine("campaign", "retire", "small", "0", *WHY)
    assert ran.err == "Retired small: version 0 counts 2021-01 to 2021-08, and no later period any more\n"
    two.fine(
        "ingest",
        "--wait",
        write_lines(tmp_path / "f", purchase("t2"), purchase("t3", at="2021-09-01T00:00:00Z")),
    )
    found = two.fine("explain", "ann", "small", "2021-08", "--version", "0", "--json").json
    assert (found["exact"], found["measures"]["payments"]) == (True, 2)
    assert "version 0 of campaign small does not count 2021-09" in (
        two("explain", "ann", "small", "2021-09", "--version", "0").err
    )
    assert two.fine("explain", "ann", "small", "2021-09", "--json").json["version"] == 1
    assert "again: activate a version that counts that" in two("campaign", "rollback", "small", *WHY).err
    assert audit(two)[-1].action == "campaign.retire"


def test_retire_as_json(two: Rung) -> None:
    """With --json what the version counts is a value."""
    counted = two.fine("campaign", "retire", "small", "1", *WHY, "--json").json["counted"]
    assert (counted["version"], counted["first"], counted["last"]) == (1, "1970-01", "2021-08")
