"""`rung status`: the status of the API, for people and for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.command import Rung, purchase, write_lines
from rung.cli.errors import ExitCode


@pytest.fixture
def bought(small: Rung, tmp_path: Path) -> Rung:
    """Return a home where ann has bought twice in August, once below the minimum."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1"), purchase("t2", amount=499)))
    return small


def test_for_people(bought: Rung) -> None:
    """Both periods, the figures and what is missing stand in a table."""
    out = bought.fine("status", "ann", "--at", "2021-08-15").out
    assert "user ann (as of event " in out
    assert "payments 1, total 1,499" in out
    assert "2021-08, earned in 2021-07" in out
    assert "+0.5% three: not yet: payments >= 3 (1 so far, 2 to go)" in out


def test_for_programs(bought: Rung) -> None:
    """--json is the status of the API."""
    status = bought.fine("status", "ann", "--at", "2021-09-01", "--json").json
    assert status["user_id"] == "ann"
    (campaign,) = status["campaigns"]
    assert campaign["counting"]["measures"] == {"payments": 0, "total": 0}
    assert campaign["effective"]["earned_in"] == "2021-08"
    assert campaign["effective"]["measures"] == {"payments": 1, "total": 1_499}
    assert campaign["effective"]["rate_percent"] == "1.0"


def test_a_user_without_transactions(bought: Rung) -> None:
    """An unknown user has zero progress and the base rate."""
    (campaign,) = bought.fine("status", "bob", "--at", "2021-08-15", "--json").json["campaigns"]
    assert campaign["counting"]["measures"] == {"payments": 0, "total": 0}
    assert campaign["counting"]["rate_percent"] == "1.0"


def test_outside_the_campaign(bought: Rung) -> None:
    """A period outside the campaign is none for people and null for programs."""
    assert "none: outside the campaign" in bought.fine("status", "ann", "--at", "2020-01-15").out
    (campaign,) = bought.fine("status", "ann", "--at", "2020-01-15", "--json").json["campaigns"]
    assert (campaign["counting"], campaign["effective"]) == (None, None)


@pytest.mark.parametrize(
    ("at", "period"),
    [
        ("2021-08-31", "2021-08"),
        ("2021-08-31T23:59:59Z", "2021-08"),
        ("2021-09-01T08:59:59+09:00", "2021-08"),
        ("2021-09-01T09:00:00+09:00", "2021-09"),
    ],
)
def test_at(bought: Rung, at: str, period: str) -> None:
    """--at takes dates and RFC 3339."""
    (campaign,) = bought.fine("status", "ann", "--at", at, "--json").json["campaigns"]
    assert campaign["counting"]["period"] == period


@pytest.mark.parametrize(
    "at", ["yesterday", "2021-02-30", "2021-08-31T10:00:00", "1960-01-01", "2200-01-01", ""]
)
def test_wrong_at(bought: Rung, at: str) -> None:
    """Any other text is refused with an example; exit code 2."""
    ran = bought("status", "ann", "--at", at)
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err.startswith("error: --at: expected an RFC 3339 time with an offset")
    assert repr(at) in ran.err


def test_one_campaign(bought: Rung) -> None:
    """--campaign chooses one, and an unknown one is refused."""
    assert bought.fine("status", "ann", "--campaign", "small").code == 0
    ran = bought("status", "ann", "--campaign", "smal")
    assert (ran.code, ran.err) == (
        ExitCode.BAD_INPUT,
        "error: no campaign is named 'smal'; did you mean small?\n",
    )
    ran = bought("status", "ann", "--campaign", "zzz")
    assert ran.err == "error: no campaign is named 'zzz'; there are: small\n"


def test_without_campaigns(rung: Rung) -> None:
    """Without a campaign there is nothing to show, and it says how to change that."""
    ran = rung.fine("status", "ann")
    assert "user ann (no event was applied yet)" in ran.out
    assert "No campaign is in force" in ran.err
    ran = rung("status", "ann", "--campaign", "small")
    assert "there is none: apply one" in ran.err


def test_control_characters_stay_out_of_the_terminal(small: Rung, tmp_path: Path) -> None:
    """What users send cannot steer the terminal of whoever looks at it."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("\x1b[31mred", user="eve")))
    out = small.fine("explain", "eve", "small", "2021-08").out
    assert "\x1b" not in out
    assert "\\x1b[31mred" in out
