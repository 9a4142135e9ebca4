"""A version serves only after a recent clean verification of it, and a diff that somebody has accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaign.step_spec import STEP
from rung.batch.proof.gates import AGE_MAX_SECONDS, NotProven, check_activation
from rung.batch.proof.report import FORMAT, Finding, Report, Reports
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load

NOW = 1_600_000_000_000_000
FINDING = Finding("ann", 0, 5, ["sum_mismatch"], [], [])


@pytest.fixture
def catalog() -> Catalog:
    return Catalog().apply(load(STEP, "spec"), {})


def report(**changes: object) -> Report:
    """Return a clean report of all three versions, made now."""
    values: dict[str, object] = {
        "format": FORMAT,
        "id": "20200913",
        "started_at": NOW,
        "ended_at": NOW,
        "catalog_revision": 1,
        "positions": {0: 1},
        "users": 1,
        "figures": 1,
        "transactions": 1,
        "candidates": 0,
        "versions": ["step/0", "step/1", "step/2"],
        "incomplete": [],
        "causes": {},
        "findings": [],
        "strangers": [],
    }
    return Report(**{**values, **changes})  # pyright: ignore[reportArgumentType]


def check(folder: Path, catalog: Catalog, period: str = "2021-09", digest: str | None = None) -> None:
    first = Period.parse(period, PeriodKind.MONTH)
    check_activation(folder, catalog, "step", 2, first, digest, NOW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"findings": [FINDING]}, "found differences: .* `rung batch repair 20200913`, heal them with --yes"),
        ({"strangers": ["t"]}, "found differences"),
        ({"versions": ["step/0"], "incomplete": ["step/2"]}, "has not compared version 2 of step"),
        (
            {"ended_at": NOW - AGE_MAX_SECONDS * 1_000_000 - 1},
            "is older than 24 hours: run `rung batch verify`",
        ),
        ({}, "would take over from version 1: .* `rung campaign diff step 1 2 --period 2021-08`.*--diff"),
    ],
)
def test_what_is_missing(tmp_path: Path, catalog: Catalog, changes: dict[str, object], message: str) -> None:
    """Whatever is missing is named, with the command that brings it."""
    Reports(tmp_path).write(report(**changes))
    with pytest.raises(NotProven, match=message):
        check(tmp_path, catalog)


def test_no_verification(tmp_path: Path, catalog: Catalog) -> None:
    """Without any verification, the command for one is named."""
    with pytest.raises(
        NotProven, match="no verification has compared version 2 of step: run `rung batch verify`"
    ):
        check(tmp_path, catalog)


def test_only_the_last_verification_counts(tmp_path: Path, catalog: Catalog) -> None:
    """A clean report from before one with differences proves nothing."""
    Reports(tmp_path).write(report(id="1"))
    Reports(tmp_path).write(report(id="2", findings=[FINDING]))
    with pytest.raises(NotProven, match=r"the last verification \(2\) found differences"):
        check(tmp_path, catalog)


def test_nothing_to_take_over_from(tmp_path: Path, catalog: Catalog) -> None:
    """Where no version serves, there is nothing to compare with: the verification is enough."""
    Reports(tmp_path).write(report())
    check(tmp_path, catalog, "2022-04")
