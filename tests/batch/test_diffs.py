"""Reports of diffs: known by their hash, the same for the same question, and accepted for what they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from batch.scenes import opened_scene
from campaign_pairs import LADDER, VERSIONS
from rung.batch.forecast.diffs import DiffRefused, DiffReport, accepted_diff, diff, write_diff
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog
from strategies import StepData, TransactionData

EVENTS = [
    TransactionData(f"t{number}", user, {"lines": 1}, (StepData("COMPLETED", at, amount),)).event()
    for number, (user, at, amount) in enumerate(
        [
            ("alice", "2011-04-05T10:00:00Z", 20_000),
            ("alice", "2011-04-06T10:00:00Z", 20_000),
            ("bob", "2011-04-06T10:00:00Z", 400),
            ("bob", "2011-05-06T10:00:00Z", 10_000),
            ("carol", "2011-05-07T10:00:00Z", 5_000),
            ("carol", "2011-07-07T10:00:00Z", 5_000),
        ]
    )
]


def made(folder: Path, events: list[bytes] | None = None) -> tuple[Path, DiffReport, str, Catalog]:
    """Compare versions 0 and 1 in April, of which version 1 counts only what comes after June."""
    with opened_scene(folder, [VERSIONS, LADDER]) as scene:
        scene.append(EVENTS if events is None else events)
        workshop = scene.workshop
        snapshot = workshop.aggregate_to(dict(scene.log.ends())).snapshot
        catalog = workshop.catalog()
        versions = catalog.versions_of("versions")
        april = Period.parse("2011-04", PeriodKind.MONTH)
        report, examples = diff(workshop, snapshot, versions[0], versions[1], april)
        assert [one.user_id for one in examples.up] == []
        # The greatest difference comes first: alice had 1.0 %, the others 0.5 %, and now all have 0.25 %.
        assert [one.user_id for one in examples.down] == ["alice", "bob", "carol"]
        return workshop.folder, report, write_diff(workshop.folder, report), catalog


def test_a_report(tmp_path: Path) -> None:
    """The file's hash is its name, it names no user, and its numbers are what the two versions give."""
    folder, report, digest, catalog = made(tmp_path)
    content = (folder / "diffs" / f"{digest}.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert b"alice" not in content
    compared = report.compared
    moves = compared.moves
    assert moves is not None
    assert (compared.period, compared.whole, compared.users) == ("2011-04", True, 3)
    assert (moves.up, moves.down, moves.same) == (0, 3, 0)
    assert [(one.percent, one.users) for one in moves.rates] == [("-0.75", 1), ("-0.25", 2)]
    assert [(one.step, one.gained, one.lost, one.kept) for one in moves.steps] == [("often", 0, 1, 0)]
    assert compared.before is not None
    # May: 0.5 % of bob's 10,000 and carol's 5,000, and then 0.25 %; halves are rounded down.
    assert (compared.before.cash_back.amount, compared.after.cash_back.amount) == (75, 37)
    assert moves.cash_back.amount == -38
    assert accepted_diff(folder, digest, catalog, "versions", 1, 0) == report
    assert accepted_diff(folder, digest[:12], catalog, "versions", 1) == report


def test_the_same_diff_has_the_same_hash(tmp_path: Path) -> None:
    """What it says depends on the events and versions alone; but it says which log it looked at."""
    _, one, _, _ = made(tmp_path / "one")
    _, other, _, _ = made(tmp_path / "two")
    assert one.log != other.log
    assert write_diff(tmp_path, replace_log(one)) == write_diff(tmp_path, replace_log(other))
    _, fewer, _, _ = made(tmp_path / "three", [*EVENTS, EVENTS[0]])
    assert write_diff(tmp_path, replace_log(fewer)) != write_diff(tmp_path, replace_log(one))


def replace_log(report: DiffReport) -> DiffReport:
    return DiffReport(
        report.format, report.campaign, report.before, report.after, "", report.positions, report.compared
    )


def other_rules(catalog: Catalog, number: int) -> Catalog:
    """Return a catalog in which a version has another identity."""
    versions = tuple(
        replace(one, version=replace(one.version, identity="0" * 64))
        if (one.campaign.name, one.version.number) == ("versions", number)
        else one
        for one in catalog.versions
    )
    return replace(catalog, versions=versions)


Refused = Callable[[Path, str, Catalog], object]


REFUSED: list[tuple[Refused, str]] = [
    (lambda f, _, c: accepted_diff(f, "0" * 64, c, "versions", 1), "there is no diff 000000"),
    (lambda f, _, c: accepted_diff(f, "0" * 64, c, "versions", 1), "the last ones: "),
    (lambda f, _, c: accepted_diff(f / "none", "0" * 64, c, "versions", 1), "(none): run `rung campaign diff versions V1 1"),
    (lambda f, d, c: accepted_diff(f, d[:11], c, "versions", 1), "is no hash of a diff"),
    (lambda f, _, c: accepted_diff(f, "../secret", c, "versions", 1), "is no hash of a diff"),
    (lambda f, d, c: accepted_diff(f, d, c, "ladder", 1), "compares versions 0 and 1 of versions, and this is about campaign ladder"),
    (lambda f, d, c: accepted_diff(f, d, c, "versions", 2), "and this is about version 2: run `rung campaign diff versions V1 2"),
    (lambda f, d, c: accepted_diff(f, d, c, "versions", 1, 2), "version 1 would take over from 2: run `rung campaign diff versions 2 1"),
    (lambda f, d, c: accepted_diff(f, d, other_rules(c, 0), "versions", 1), "version 0 of versions has other rules now"),
    (lambda f, d, c: accepted_diff(f, d, other_rules(c, 1), "versions", 1), "version 1 of versions has other rules now"),
    (lambda f, d, _: accepted_diff(f, d, Catalog(), "versions", 1), "version 0 of versions is not applied"),
]  # fmt: skip


@pytest.mark.parametrize(("accept", "message"), REFUSED)
def test_what_is_not_accepted(tmp_path: Path, accept: Refused, message: str) -> None:
    """A report is for one campaign, two versions and their rules; every refusal says what to run."""
    folder, _, digest, catalog = made(tmp_path)
    with pytest.raises(DiffRefused) as refused:
        accept(folder, digest, catalog)
    assert message in str(refused.value)


def test_a_report_that_was_changed(tmp_path: Path) -> None:
    """A file that is not what was written is no report, nor is one of an unknown format."""
    folder, report, digest, catalog = made(tmp_path)
    path = folder / "diffs" / f"{digest}.json"
    path.write_bytes(path.read_bytes().replace(b'"up":0', b'"up":9'))
    with pytest.raises(DiffRefused, match="is not what was written: delete it"):
        accepted_diff(folder, digest, catalog, "versions", 1)
    later = DiffReport(
        9, report.campaign, report.before, report.after, report.log, report.positions, report.compared
    )
    with pytest.raises(DiffRefused, match="was written by another release"):
        accepted_diff(folder, write_diff(folder, later), catalog, "versions", 1)
    content = b'{"format":1}'
    strange = hashlib.sha256(content).hexdigest()
    (folder / "diffs" / f"{strange}.json").write_bytes(content)
    with pytest.raises(DiffRefused, match="was written by another release"):
        accepted_diff(folder, strange, catalog, "versions", 1)


def test_two_reports_that_begin_alike(tmp_path: Path) -> None:
    """A beginning that two hashes share is not enough."""
    folder, _, digest, catalog = made(tmp_path)
    (folder / "diffs" / f"{digest[:20]}{'0' * 44}.json").write_bytes(b"{}")
    with pytest.raises(DiffRefused, match="2 diffs in .* begin with"):
        accepted_diff(folder, digest[:20], catalog, "versions", 1)
