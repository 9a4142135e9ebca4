"""Changing the stored catalog while others do: one wins, and the other one is told or decides again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import msgspec
import pytest

from cli.command import SPEC
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog, CatalogRefused
from rung.campaign.described import VersionsDescription
from rung.campaign.spans import SpanDescription
from rung.campaign.spec import load
from rung.cli.errors import ExitCode, explained
from rung.operations.author import Author
from rung.operations.catalog import apply_campaigns, change_campaign
from rung.operations.errors import ScheduleMoved
from rung.store.audit import AuditEntry, append_audit, check_chain, decode_entry
from rung.store.lmdb import LmdbStore
from rung.store.memory import MemoryStore
from rung.store.port import Store

ANN, BOB = Author("ann", "the new rules"), Author("bob", "other rules")
THREE = SPEC + "".join(
    SPEC[SPEC.index("  - version: 0") :]
    .replace("version: 0", f"version: {number}")
    .replace("    counts_from: 2021-01\n", "")
    for number in (1, 2)
)
Change = Callable[[Catalog], Catalog]


def clock() -> int:
    return next(_ticks)


_ticks = count(1_600_000_000_000_000)


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    """Give a store with a campaign of one version that serves, and two shadows."""
    with closing(MemoryStore() if request.param == "memory" else LmdbStore(tmp_path)) as opened:
        apply_campaigns(opened, [load(THREE, "spec")], clock, ANN)
        yield opened


def to(number: int, text: str = "2021-08") -> Change:
    """Return the activation of a version."""
    return lambda catalog: catalog.activate("small", number, Period.parse(text, PeriodKind.MONTH))


def move(store: Store, change: Change, author: Author) -> Catalog:
    return change_campaign(store, "small", change, clock, "campaign.activate", "small", author)[1]


def serving(store: Store) -> list[tuple[int, str]]:
    campaign = Catalog.decode(store.catalog()[1]).campaigns["small"]
    return [(span.version, str(span.first)) for span in campaign.spans()]


def audit(store: Store) -> list[AuditEntry]:
    entries = [decode_entry(record) for record in store.audit(0, 100)]
    assert check_chain(entries) is None
    return entries


def after(first: Callable[[], object], change: Change) -> Change:
    """Return a change before whose first decision something else happens."""
    waiting = [first]

    def decided(catalog: Catalog) -> Catalog:
        if waiting:
            waiting.pop()()
        return change(catalog)

    return decided


def test_each_change_has_its_audit_entry(store: Store) -> None:
    """The list tells who did what and why, with what served before and after it."""
    move(store, to(1), ANN)
    move(store, lambda catalog: catalog.roll_back("small"), BOB)
    applied, activated, back = audit(store)
    assert (applied.action, applied.subject, applied.before) == ("campaign.apply", "small", {})
    assert (activated.who, activated.reason) == ("ann", "the new rules")
    spans = (SpanDescription(0, "2021-01", None),)
    moved = (SpanDescription(0, "2021-01", "2021-07"), SpanDescription(1, "2021-08", None))
    told = [
        msgspec.convert(described, dict[str, VersionsDescription])["small"]
        for described in (activated.before, activated.after, back.before, back.after)
    ]
    assert [one.schedule for one in told] == [spans, moved, moved, spans]
    assert [counted.first for counted in told[1].counted] == ["2021-01", "1970-01", "1970-01"]


def test_nothing_to_change_is_not_audited(store: Store) -> None:
    """Applying what is applied, and what is refused, leave catalog and audit list alone."""
    before = store.catalog(), store.audit_end()
    apply_campaigns(store, [load(THREE, "spec")], clock, BOB)
    with pytest.raises(CatalogRefused):
        move(store, to(0), BOB)
    assert (store.catalog(), store.audit_end()) == before


def test_two_operators_at_once(store: Store) -> None:
    """Of two who decide by the same schedule exactly one wins; the other one is told who did what."""
    both_decide = threading.Barrier(2)

    def run(number: int, author: Author) -> ScheduleMoved | None:
        try:
            move(store, after(both_decide.wait, to(number)), author)
        except ScheduleMoved as error:
            return error
        return None

    for _ in range(10):
        with ThreadPoolExecutor() as threads:
            told = list(threads.map(run, (1, 2), (ANN, BOB)))
        assert told.count(None) == 1
        winner = told.index(None)
        assert serving(store) == [(0, "2021-01"), (winner + 1, "2021-08")]
        entries = audit(store)
        assert entries[-1].who == ("ann", "bob")[winner]
        refused = told[1 - winner]
        assert refused is not None
        told_as = explained(refused)
        assert told_as is not None
        assert told_as.code == ExitCode.BUSY
        assert str(refused).startswith(
            "the schedule of campaign small was changed meanwhile: "
            f"{entries[-1].who} ran campaign.activate small ({entries[-1].reason}). This change was not made"
        )
        move(store, lambda catalog: catalog.roll_back("small"), ANN)


def test_other_changes_do_not_matter(store: Store) -> None:
    """A campaign, a version's past or an audit entry that came in between leaves the activation as it was."""

    def add_another() -> None:
        apply_campaigns(store, [load(SPEC.replace("campaign: small", "campaign: other"), "spec")], clock, BOB)

    def note() -> None:
        append_audit(store, clock, "bob", "note", "nothing", None, None, "")

    move(store, after(add_another, to(1)), ANN)
    move(store, after(note, to(2, "2021-09")), ANN)
    assert serving(store) == [(0, "2021-01"), (1, "2021-08"), (2, "2021-09")]
    assert [entry.action for entry in audit(store)] == [
        "campaign.apply",
        "campaign.apply",
        "campaign.activate",
        "note",
        "campaign.activate",
    ]


def test_a_version_that_became_unfit_meanwhile(store: Store) -> None:
    """What another change took away is seen by the decision that follows it."""

    def retire() -> None:
        period = Period.parse("2021-07", PeriodKind.MONTH)
        move(store, lambda catalog: catalog.retire("small", 1, period), BOB)

    with pytest.raises(
        CatalogRefused, match="version 1 counts 1970-01 to 2021-07, and would serve 2021-08 on"
    ):
        move(store, after(retire, to(1)), ANN)
    assert serving(store) == [(0, "2021-01")]
