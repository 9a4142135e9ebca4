"""`rung simulate`: a candidate over past periods, against what is in force; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.command import SPEC, Rung, purchase, write_lines
from rung.cli.errors import ExitCode

CANDIDATE = SPEC.replace("payments >= 3", "payments >= 2").replace('base_percent: "1"', 'base_percent: "1.5"')
EVENTS = [
    purchase("t1", "ann", 1_000, "2021-08-03T10:00:00Z"),
    purchase("t2", "ann", 1_000, "2021-08-04T10:00:00Z"),
    purchase("t3", "ann", 1_000, "2021-08-05T10:00:00Z"),
    purchase("t4", "bob", 1_000, "2021-08-05T10:00:00Z"),
    purchase("t5", "bob", 1_000, "2021-08-06T10:00:00Z"),
    purchase("t6", "ann", 20_000, "2021-09-05T10:00:00Z"),
    purchase("t7", "bob", 10_000, "2021-09-06T10:00:00Z"),
    purchase("t8", "cat", 600, "2021-10-06T10:00:00Z"),
]


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    """Return a file with the candidate of the small campaign."""
    file = tmp_path / "candidate.yaml"
    file.write_text(CANDIDATE, encoding="utf-8")
    return file


@pytest.fixture
def bought(small: Rung, tmp_path: Path) -> Rung:
    """Return a command line on a home with purchases of three months."""
    small.fine("ingest", write_lines(tmp_path / "events", *EVENTS))
    return small


def test_against_what_is_in_force(bought: Rung, candidate: Path) -> None:
    """Users per step, moves and cash back of each period, before and after; nothing is changed."""
    ran = bought.fine("simulate", candidate, "--periods", "2021-08..2021-10", "--json").json
    assert (ran["campaign"], ran["version"], ran["against"]) == ("small", 0, "small")
    august, september, october = ran["periods"]
    assert [one["period"] for one in ran["periods"]] == ["2021-08", "2021-09", "2021-10"]
    # 1.5 % of 20,000 and 1 % of 10,000; then 2 % of both.
    assert august["before"]["cash_back"]["amount"] == 300 + 100
    assert august["after"]["cash_back"]["amount"] == 400 + 200
    assert august["after"]["basis"] == "measured"
    assert august["moves"]["up"] == august["users"] == 2
    assert august["moves"]["steps"] == [{"step": "three", "gained": 1, "lost": 0, "kept": 1}]
    assert [one["percent"] for one in august["moves"]["rates"]] == ["+0.5", "+1.0"]
    (near,) = august["after"]["thresholds"]
    assert (near["threshold"], near["below"], near["above"]) == (2, 0, 1)
    # October is not over: September's purchases stand for its.
    assert (september["after"]["basis"], september["after"]["purchases_in"]) == ("projected", "2021-09")
    assert (september["whole"], october["whole"]) == (True, False)
    assert [note.split(":")[0].split(" is ")[0] for note in ran["notes"]] == ["2021-09", "2021-10", "2021-10"]
    assert bought.fine("campaign", "show", "small", "--json").json["versions"][0]["reward"][
        "base_percent"
    ] in {"1", "1.0"}


def test_for_people(bought: Rung, candidate: Path) -> None:
    """Tables and charts of block characters; what is projected is said."""
    ran = bought.fine("simulate", candidate, "--periods", "2021-08..2021-09")
    assert "Candidate: campaign small, version 0" in ran.err
    assert "Note: 2021-09: the cash back is projected from the purchases of 2021-09" in ran.err
    assert "█" in ran.out
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "2021-08 three payments >= 2 1 2 1 0" in lines
    assert any(line.startswith("2021-08 2 version 0 400 (") for line in lines)
    one = bought.fine("simulate", candidate, "--periods", "2021-08")
    assert "Users by rate:" in one.err
    assert "+0.5 points" in one.out


def test_a_campaign_that_is_not_applied(bought: Rung, candidate: Path) -> None:
    """A campaign of another name is compared with nothing, or with what --campaign and --against name."""
    candidate.write_text(CANDIDATE.replace("campaign: small", "campaign: new"), encoding="utf-8")
    alone = bought.fine("simulate", candidate, "--periods", "2021-08", "--json").json
    assert (alone["against"], alone["periods"][0]["before"], alone["periods"][0]["moves"]) == (None,) * 3
    assert "compared with nothing" in bought.fine("simulate", candidate, "--periods", "2021-08").err
    named = bought.fine(
        "simulate", candidate, "--periods", "2021-08", "--campaign", "small", "--against", "0", "--json"
    ).json
    assert named["periods"][0]["before"]["campaign"] == "small"


def test_without_any_campaign(rung: Rung, candidate: Path, tmp_path: Path) -> None:
    """A home with events and no campaign can be asked as well."""
    rung.fine("ingest", write_lines(tmp_path / "events", *EVENTS))
    ran = rung.fine("simulate", candidate, "--periods", "2021-08", "--json").json
    assert ran["periods"][0]["after"]["cash_back"]["amount"] == 600


def test_as_of_the_newest_snapshot(bought: Rung, candidate: Path, tmp_path: Path) -> None:
    """Later events are left out until a snapshot has them; without a snapshot there is nothing to use."""
    arguments = ("simulate", candidate, "--periods", "2021-08", "--json")
    ran = bought(*arguments, "--as-of-snapshot")
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err == "error: there is no snapshot yet: leave out --as-of-snapshot, which makes one\n"
    bought.fine("batch", "aggregate")
    bought.fine("ingest", write_lines(tmp_path / "more", purchase("t9", "dan", 900)))
    assert bought.fine(*arguments, "--as-of-snapshot").json["periods"][0]["users"] == 2
    assert bought.fine(*arguments).json["periods"][0]["users"] == 3


def test_a_bad_spec(bought: Rung, candidate: Path) -> None:
    """Errors of the spec are told as `campaign check` tells them."""
    candidate.write_text(CANDIDATE.replace("{sum: amount}", "{sum: amont}"), encoding="utf-8")
    ran = bought("simulate", candidate, "--periods", "2021-08")
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err.startswith(f"{candidate}:9:20: ")
    told = bought("simulate", candidate, "--periods", "2021-08", "--json")
    assert (told.code, len(told.json["error"]["places"])) == (ExitCode.BAD_INPUT, 1)
    missing = bought("simulate", candidate.with_name("none.yaml"), "--periods", "2021-08")
    assert (missing.code, "cannot be read" in missing.err) == (ExitCode.BAD_INPUT, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--periods", "2021-8"], "'2021-8' is not a month such as 2021-08 (campaign small counts by month)"),
        (["--periods", "2021-09..2021-08"], "--periods: 2021-09 comes after 2021-08: write the earlier one first"),
        (["--periods", "2021-07..2021-08"], "2021-07 is outside of the lake's data: it has purchases from 2021-08 to 2021-10"),
        (["--periods", "2022-01"], "2022-01 is outside of the lake's data: it has purchases from 2021-08 to 2021-10"),
        (["--periods", "2021-08", "--version", "7"], "campaign small has no version 7; there are: 0"),
        (["--periods", "2021-08", "--against", "7"], "campaign small has no version 7; there are: 0"),
        (["--periods", "2021-08", "--campaign", "smal"], "no campaign is named 'smal'; did you mean small?"),
    ],
)  # fmt: skip
def test_bad_arguments(bought: Rung, candidate: Path, arguments: list[str], message: str) -> None:
    """Each has one clear line with what to write instead."""
    ran = bought("simulate", candidate, *arguments)
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err.startswith("error: ")
    assert ran.err.endswith(f"{message}\n")


def test_against_a_version_of_nothing(bought: Rung, candidate: Path) -> None:
    """A version needs an applied campaign."""
    candidate.write_text(CANDIDATE.replace("campaign: small", "campaign: new"), encoding="utf-8")
    ran = bought("simulate", candidate, "--periods", "2021-08", "--against", "0")
    assert (ran.code, "name an applied one with --campaign" in ran.err) == (ExitCode.BAD_INPUT, True)


def test_another_kind_of_period(bought: Rung, candidate: Path) -> None:
    """Weeks and months cannot be compared."""
    weekly = CANDIDATE.replace("2021-01", "2021-W01").replace("versions:", "period: week\nversions:")
    candidate.write_text(weekly, encoding="utf-8")
    ran = bought("simulate", candidate, "--periods", "2021-W31")
    assert ran.code == ExitCode.BAD_INPUT
    assert "campaign small counts by month and the candidate by week: they cannot be compared" in ran.err


def test_an_attribute_that_events_do_not_have(bought: Rung, candidate: Path, tmp_path: Path) -> None:
    """It would count nothing without a word: it is named, with the attributes that there are."""
    event = json.loads(purchase("t9", "dan", 900))
    event["attributes"] = {"shop": "mall"}
    bought.fine("ingest", write_lines(tmp_path / "more", json.dumps(event)))
    declared = CANDIDATE.replace("versions:", "attributes: {shopp: string, shop: string}\nversions:")
    candidate.write_text(
        declared.replace('{count: "amount >= 500"}', "{count: \"shopp = 'mall'\"}"), encoding="utf-8"
    )
    ran = bought("simulate", candidate, "--periods", "2021-08")
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err == (
        "error: campaign small: attribute shopp: no transaction of the lake has it; they have shop. "
        "Use one of those, or wait until events carry it\n"
    )
    candidate.write_text(
        declared.replace('{count: "amount >= 500"}', "{count: \"shop = 'mall'\"}"), encoding="utf-8"
    )
    assert bought.fine("simulate", candidate, "--periods", "2021-08", "--json").json["periods"]


def test_without_a_home(rung: Rung, candidate: Path, tmp_path: Path) -> None:
    """It needs a home with events."""
    ran = rung.bare("--home", tmp_path / "none", "simulate", candidate, "--periods", "2021-08")
    assert ran.code == ExitCode.NOT_INITIALISED
    empty = rung("simulate", candidate, "--periods", "2021-08")
    assert (empty.code, "the lake has no purchase yet" in empty.err) == (ExitCode.BAD_INPUT, True)
