"""`rung explain`: each transaction with its reason, and sums that are the stored figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.command import SPEC, Rung, purchase, trim, write_lines
from harness import user_records
from rung import bootstrap
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.cli.errors import ExitCode
from rung.operations.explaining import events_of
from rung.plan.run import Contributions
from rung.speed.figures import add_figures
from rung.status.explain import explain, transaction_ids
from rung.status.explanation import Verdict
from rung.store.port import Change, Entries
from rung.traffic import TrafficSettings, generate
from rung.transaction.routing import partition_of

SEPTEMBER = "2021-09-02T10:00:00Z"

EVENTS = (
    purchase("a-counted"),
    purchase("b-below", amount=499),
    purchase("c-partly", amount=900, then=[("REFUNDED", SEPTEMBER, 500)]),
    purchase("d-refunded", then=[("REFUNDED", SEPTEMBER, 1_000)]),
    purchase("e-canceled", then=[("CANCELED", SEPTEMBER, 0)]),
    purchase("f-next-month", at=SEPTEMBER),
    json.dumps(
        {
            "transaction_id": "g-open",
            "user_id": "ann",
            "history": [{"status": "CREATED", "at": "2021-08-09T10:00:00Z", "amount": 5}],
        }
    ),
    json.dumps(
        {
            "transaction_id": "h-failed",
            "user_id": "ann",
            "history": [
                {"status": "CREATED", "at": "2021-08-10T10:00:00Z", "amount": 5},
                {"status": "FAILED", "at": "2021-08-10T10:00:01Z", "amount": 5},
            ],
        }
    ),
    json.dumps(
        {
            "transaction_id": "i-expired",
            "user_id": "ann",
            "history": [{"status": "EXPIRED", "at": "2021-08-11T10:00:01Z", "amount": 5}],
        }
    ),
    purchase("a-counted", amount=2_000),
    purchase("j-wrong", amount=-1),
    purchase("k-zero", amount=0),
)

AUGUST: Mapping[str, tuple[Verdict, dict[str, int], list[str]]] = {
    "a-counted": (Verdict.COUNTED, {"payments": 1, "total": 1_000}, []),
    "b-below": (Verdict.COUNTED, {"payments": 0, "total": 499}, ["payments"]),
    "c-partly": (Verdict.COUNTED, {"payments": 0, "total": 400}, ["payments"]),
    "d-refunded": (Verdict.REFUNDED_IN_FULL, {"payments": 0, "total": 0}, []),
    "e-canceled": (Verdict.CANCELED, {"payments": 0, "total": 0}, []),
    "g-open": (Verdict.NOT_COMPLETED, {"payments": 0, "total": 0}, []),
    "h-failed": (Verdict.FAILED, {"payments": 0, "total": 0}, []),
    "i-expired": (Verdict.EXPIRED, {"payments": 0, "total": 0}, []),
    "k-zero": (Verdict.BELOW_CONDITION, {"payments": 0, "total": 0}, ["payments", "total"]),
}
IN_SEPTEMBER = {
    "c-partly": (Verdict.OTHER_PERIOD, "a purchase of 2021-08"),
    "d-refunded": (Verdict.OTHER_PERIOD, "a purchase of 2021-08"),
    "e-canceled": (Verdict.OTHER_PERIOD, "a purchase of 2021-08"),
    "f-next-month": (Verdict.COUNTED, ""),
}


@pytest.fixture
def bought(small: Rung, tmp_path: Path) -> Rung:
    """Return a home with one transaction of each kind."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", *EVENTS))
    return small


def test_each_transaction_has_its_reason(bought: Rung) -> None:
    """Every transaction with a step in the period is there, with what it adds to each measure, or why not."""
    found = bought.fine("explain", "ann", "small", "2021-08", "--json").json
    rows = {
        one["transaction_id"]: (one["reason"], one["contributions"], one["below_condition"])
        for one in found["transactions"]
    }
    assert rows == AUGUST
    assert found["measures"] == found["stored"] == {"payments": 1, "total": 1_899}
    assert (found["exact"], found["partial"], found["version"]) == (True, False, 0)


def test_a_refund_in_another_month(bought: Rung) -> None:
    """A step in a period that counts elsewhere is shown there, with where it counts."""
    found = bought.fine("explain", "ann", "small", "2021-09", "--json").json
    assert {
        one["transaction_id"]: (one["reason"], one["detail"]) for one in found["transactions"]
    } == IN_SEPTEMBER


def test_events_not_applied(bought: Rung) -> None:
    """Events that went to quarantine are listed with their position and reason."""
    found = bought.fine("explain", "ann", "small", "2021-08", "--json").json
    quarantined = bought.fine("quarantine", "list", "--json").json["events"]
    expected = [(one["partition"], one["offset"], one["reason"], one["detail"]) for one in quarantined]
    assert [tuple(one.values()) for one in found["rejected"]] == expected
    assert [one[2] for one in expected] == ["history_conflict", "bad_amount"]


def test_for_people(bought: Rung) -> None:
    """The table names the reasons, the contributions and their sum."""
    ran = bought.fine("explain", "ann", "small", "2021-08")
    lines = {line.split()[0]: line for line in ran.out.splitlines() if line}
    assert "counted, but below_condition:payments" in lines["b-below"]
    assert "below_condition:payments,total" in lines["k-zero"]
    assert "+1,000" in lines["a-counted"]
    assert lines["sum"].split() == ["sum", "1", "1,899"]
    assert "not applied: " in ran.out
    assert ran.err == "The sum of 9 transactions equals the stored figures.\n"


def test_a_user_without_transactions(bought: Rung) -> None:
    """There is nothing to explain, and the sums are zero."""
    assert "no transaction in this period" in bought.fine("explain", "bob", "small", "2021-08").out


def test_figures_that_differ(bought: Rung) -> None:
    """If the stored figures are not the sum, both are shown; exit code 1."""
    import numpy as np

    home = bootstrap.open_home(bought.home)
    with bootstrap.opened_store(home) as store:
        revision, record = store.catalog()
        (counted,) = Catalog.decode(record).versions
        one = np.array([1], dtype=np.int64)
        more = Contributions(
            one * 0,
            one * counted.series["total"],
            one * Period.parse("2021-08", counted.campaign.calendar.kind).ordinal,
            np.array([0], dtype=np.uint64),
            one,
        )
        stored = store.users([b"ann"])
        users = Entries([b"ann"], stored, add_figures(stored, more), [b"ann"])
        store.commit(Change(revision, {}, {}, users=users))
    ran = bought("explain", "ann", "small", "2021-08")
    assert ran.code == ExitCode.PROBLEMS
    assert "the stored figures differ: {'payments': 1, 'total': 1900}" in ran.err
    assert bought("explain", "ann", "small", "2021-08", "--json").json["exact"] is False


def test_a_version_that_came_later(bought: Rung, spec: Path, tmp_path: Path) -> None:
    """A version that was applied after events explains only what came after, and says so."""
    spec.write_text(SPEC.replace("campaign: small", "campaign: late"), encoding="utf-8")
    bought.fine("campaign", "apply", spec)
    later = purchase("a-counted", then=[("REFUNDED", SEPTEMBER, 300)]), purchase("z-new")
    bought.fine("ingest", "--wait", write_lines(tmp_path / "more", *later))
    ran = bought.fine("explain", "ann", "late", "2021-08", "--json").json
    rows = {
        one["transaction_id"]: (one["reason"], one["contributions"]["total"]) for one in ran["transactions"]
    }
    assert rows["b-below"] == (Verdict.BEFORE_VERSION, 0)
    assert rows["a-counted"] == (Verdict.COUNTED, -300)
    assert rows["z-new"] == (Verdict.COUNTED, 1_000)
    assert (ran["exact"], ran["partial"]) == (True, True)
    assert "`rung replay` counts them" in bought.fine("explain", "ann", "late", "2021-08").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ann", "smal", "2021-08"), "no campaign is named 'smal'; did you mean small?"),
        (
            ("ann", "small", "2020-12"),
            "campaign small does not count in 2020-12; see `rung campaign show small`",
        ),
        (("ann", "small", "2021-08", "--version", "3"), "campaign small has no version 3"),
        (("ann", "small", "2020-12", "--version", "0"), "version 0 of campaign small does not count 2020-12"),
        (("ann", "small", "August"), "(campaign small counts by month)"),
    ],
)
def test_wrong_questions(bought: Rung, arguments: tuple[str, ...], message: str) -> None:
    """An unknown campaign, period or version is refused; exit code 2."""
    ran = bought("explain", *arguments)
    assert ran.code == ExitCode.BAD_INPUT
    assert message in ran.err


def test_a_trimmed_log(bought: Rung) -> None:
    """When the log no longer has the user's events, it says so; exit code 5."""
    partition = partition_of(b"ann", 4)
    trim(bought.home, partition)
    ran = bought("explain", "ann", "small", "2021-08")
    assert ran.code == ExitCode.FAILED
    assert "the log no longer has all of the user's events" in ran.err


def test_ids_that_json_escapes(small: Rung, tmp_path: Path) -> None:
    """A user is found however JSON spells the id."""
    event = purchase("t1", user="Zoë")
    assert "\\u00eb" in event
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", event, event.replace("\\u00eb", "ë")))
    found = small.fine("explain", "Zoë", "small", "2021-08", "--json").json
    assert [one["reason"] for one in found["transactions"]] == ["counted"]


def test_every_user_of_wild_traffic(rung: Rung, tmp_path: Path) -> None:
    """With refunds, gaps, reordering, conflicts and poison, all sums are the stored figures."""
    settings = TrafficSettings(
        seed=11,
        transactions=200,
        users=6,
        starts_at=1_306_886_400_000_000,
        transactions_per_second=200 / (80 * 86_400),
        amount_max=90_000,
        refund_share=0.3,
        cancel_share=0.1,
        failure_share=0.1,
        duplicate_share=0.2,
        reorder_seconds=86_400,
        gap_share=0.2,
        conflict_share=0.1,
        poison_share=0.05,
        attributes={"country": ["France", "United Kingdom"], "lines": [5, 20, 40]},
    )
    file = tmp_path / "e.ndjson"
    file.write_bytes(b"".join(payload + b"\n" for chunk in generate(settings) for payload in chunk))
    examples = Path(__file__).parents[2] / "examples" / "online-retail"
    rung.fine("campaign", "apply", *sorted(examples.glob("*.yaml")))
    rung.fine("ingest", "--wait", file)
    verdicts: set[str] = set()
    sums = 0
    home = bootstrap.open_home(rung.home)
    with (
        bootstrap.opened_log(home, read_only=True) as log,
        bootstrap.opened_store(home, read_only=True) as store,
    ):
        catalog = Catalog.decode(store.catalog()[1])
        for user, record in user_records(store).items():
            partition = partition_of(user, 4)
            end = store.standing(user, partition).applied.offset
            events = events_of(log.scan(partition, 0, end + 1), user.decode(), partition)
            stored = store.transactions(transaction_ids(events, catalog))
            for counted in catalog.versions:
                # Two weeks, and the months that they lie in.
                for day in (1, 44):
                    period = counted.campaign.calendar.period_at(settings.starts_at + day * 86_400_000_000)
                    if counted.periods[0] <= period.ordinal <= counted.periods[1]:
                        found = explain(catalog, counted, period, user.decode(), events, record, stored)
                        assert found.exact, found
                        verdicts |= {one.reason for one in found.transactions}
                        sums += sum(found.measures.values())
    assert sums > 0
    assert {"counted", "canceled", "refunded_in_full", "conflict", "other_period"} <= verdicts
