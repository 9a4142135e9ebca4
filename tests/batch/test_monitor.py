"""The monitor finds what the payment system has and the lake has not, in every form of a list, and fills it."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.postgres_server import running_postgres
from batch.scenes import Scene, opened_scene
from campaign_pairs import LADDER, REFUNDS_IN_TOKYO
from harness import stored_figures
from oracle import Oracle
from rung.batch.monitoring.late import late_events
from rung.batch.monitoring.monitor import (
    ChosenDay,
    Compared,
    NotFillable,
    compare,
    events_to_fill,
    fill,
    write_report,
)
from rung.batch.monitoring.payment_list import ListUnreadable, PaymentList, read_list
from rung.store.audit import decode_entry
from strategies import StepData, TransactionData

DAY = "2011-06-01"
MORNING, NOON, NEXT = "2011-06-01T08:00:00+00:00", "2011-06-01T12:00:00+00:00", "2011-06-02T09:00:00+00:00"
BEFORE = "2011-05-31T23:59:59.999999+00:00"


def transaction(name: str, *steps: tuple[str, str, int], user: str = "ann") -> TransactionData:
    return TransactionData(name, user, {"country": "Germany"}, tuple(StepData(*step) for step in steps))


def bought(name: str, at: str = NOON, amount: int = 500, user: str = "ann") -> TransactionData:
    return transaction(name, ("CREATED", MORNING, amount), ("COMPLETED", at, amount), user=user)


REFUND = ("REFUNDED", NEXT, 100)

# What each transaction is in the list and in the lake (None: not there), and how they differ on the day.
CASES: list[tuple[str, TransactionData | None, TransactionData | None, str | None]] = [
    ("equal", bought("equal"), bought("equal"), None),
    ("missing", bought("missing"), None, "missing"),
    ("behind", bought("behind"), transaction("behind", ("CREATED", MORNING, 500)), "behind"),
    ("created-before", bought("created-before"), transaction("created-before", ("CREATED", BEFORE, 500)), "different"),
    ("extra", None, bought("extra"), "extra"),
    ("other-day", bought("other-day", NEXT), None, None),
    ("extra-of-other-day", None, bought("extra-of-other-day", NEXT), None),
    ("user", bought("user"), bought("user", user="bob"), "different"),
    ("amount", bought("amount"), bought("amount", amount=501), "different"),
    ("time", bought("time"), bought("time", at="2011-06-01T12:00:00.000001+00:00"), "different"),
    ("open", transaction("open", ("CREATED", NOON, 5)), None, "missing"),
    ("failed", transaction("failed", ("CREATED", NOON, 5), ("FAILED", NOON, 5)), transaction("failed", ("CREATED", NOON, 5)), "behind"),
]  # fmt: skip
AHEAD = replace(bought("ahead"), history=(*bought("ahead").history, StepData(*REFUND)))
EXPECTED = {name: kind for name, _, _, kind in CASES if kind is not None}


def whole_rows(transactions: Sequence[TransactionData]) -> list[dict[str, object]]:
    """Return a list of whole histories."""
    return [
        {
            "transaction_id": one.transaction_id,
            "user_id": one.user_id,
            "history": json.dumps([vars(step) for step in one.history]),
            "attributes": json.dumps(dict(one.attributes)),
        }
        for one in transactions
    ]


def latest_rows(transactions: Sequence[TransactionData]) -> list[dict[str, object]]:
    """Return a list of latest steps."""
    return [
        {"transaction_id": one.transaction_id, "user_id": one.user_id, **vars(one.history[-1])}
        for one in transactions
    ]


def in_list() -> list[TransactionData]:
    return [*(listed for _, listed, _, _ in CASES if listed is not None), bought("ahead")]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Give a home whose lake has the cases."""
    with opened_scene(tmp_path, [LADDER]) as opened:
        opened.append([known.event() for _, _, known, _ in CASES if known is not None])
        opened.append([AHEAD.event()])
        opened.work()
        yield opened


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in rows[0]}), path)
    return path


def read(
    scene: Scene, against: Path | str, query: str | None = None, names: Mapping[str, str] | None = None
) -> PaymentList:
    workshop = scene.workshop
    return read_list(workshop.engine, workshop.catalog(), str(against), query, names or {}, workshop.folder)


def compared(scene: Scene, listed: PaymentList, day: str = DAY, zone: str = "UTC") -> Compared:
    return compare(scene.workshop, listed, "list", ChosenDay.of(day, zone))


def kinds(found: Compared) -> dict[str, str]:
    return {row["transaction_id"]: row["difference"] for row in found.rows.to_pylist()}


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "nested"])
def test_whole_histories(scene: Scene, tmp_path: Path, form: str) -> None:
    """Every difference is found and no other, from each kind of file; what the list lacks yet is no fault."""
    rows = whole_rows(in_list())
    if form == "nested":
        rows = [{**row, "history": json.loads(str(row["history"]))} for row in rows]
        path = write_parquet(tmp_path / "list.parquet", rows)
    elif form == "parquet":
        path = write_parquet(tmp_path / "list.parquet", rows)
    else:
        path = write_csv(tmp_path / "list.csv", rows)
        if form == "csv.gz":
            import gzip

            path = tmp_path / "list.csv.gz"
            path.write_bytes(gzip.compress((tmp_path / "list.csv").read_bytes()))
    found = compared(scene, read(scene, path))
    assert kinds(found) == {**EXPECTED, "ahead": "ahead"}
    assert found.report.equal == 1
    assert found.report.differences == {"missing": 2, "behind": 2, "extra": 1, "different": 4, "ahead": 1}
    assert not found.report.is_clean
    details = {row["transaction_id"]: row["detail"] for row in found.rows.to_pylist() if row["detail"]}
    assert details == {"user": "user", "amount": "history", "time": "history", "created-before": "history"}


def test_latest_steps(scene: Scene, tmp_path: Path) -> None:
    """A list of latest steps tells the same but for what only whole histories show."""
    found = compared(scene, read(scene, write_csv(tmp_path / "list.csv", latest_rows(in_list()))))
    # The lake dates this one to the day before; what came first is not in the list.
    expected = {name: kind for name, kind in EXPECTED.items() if name != "created-before"}
    assert kinds(found) == {**expected, "ahead": "ahead"}
    with pytest.raises(NotFillable, match="give a list with a column `history`"):
        events_to_fill(read(scene, tmp_path / "list.csv"), found)


@pytest.mark.parametrize(
    ("listed", "known", "kind"),
    [
        (REFUND, [], "behind"),
        (("REFUNDED", NEXT, 50), [REFUND], "different"),
        (("REFUNDED", "2011-06-02T09:00:01Z", 50), [REFUND], "behind"),
        (("COMPLETED", "2011-06-01T13:00:00Z", 500), [], "different"),
        (("CANCELED", NOON, 500), [], "behind"),
        (("CANCELED", MORNING, 500), [], "different"),
    ],
)
def test_latest_step(
    scene: Scene, tmp_path: Path, listed: tuple[str, str, int], known: list[tuple[str, str, int]], kind: str
) -> None:
    """A latest step that can have come after the lake's history is ahead of it; any other contradicts it."""
    base = [("CREATED", MORNING, 500), ("COMPLETED", NOON, 500)]
    scene.append([transaction("one", *base, *known).event()])
    rows = latest_rows([transaction("one", listed)])
    found = compared(scene, read(scene, write_csv(tmp_path / "list.csv", rows)))
    assert kinds(found)["one"] == kind


def test_the_day_is_one_of_a_zone(scene: Scene, tmp_path: Path) -> None:
    """A purchase at 15:00 UTC is of the next day in Tokyo."""
    at = "2011-06-01T15:00:00Z"
    scene.append([transaction("late", ("COMPLETED", at, 500)).event()])
    listed = read(scene, write_csv(tmp_path / "list.csv", whole_rows([bought("nothing", NEXT)])))
    assert "late" in kinds(compared(scene, listed))
    assert "late" not in kinds(compared(scene, listed, zone="Asia/Tokyo"))
    assert kinds(compared(scene, listed, "2011-06-02", "Asia/Tokyo"))["late"] == "extra"
    with pytest.raises(ValueError, match="'Asia/Tokio' is not an IANA time zone"):
        compared(scene, listed, zone="Asia/Tokio")


def test_a_claim_that_lost_is_not_in_the_lake(scene: Scene, tmp_path: Path) -> None:
    """A transaction that two users claim is that of the one who came first."""
    scene.append([bought("equal", user=f"other {number}").event() for number in range(9)])
    scene.work()
    found = compared(scene, read(scene, write_csv(tmp_path / "list.csv", whole_rows(in_list()))))
    assert found.report.equal == 1


def test_other_names(scene: Scene, tmp_path: Path) -> None:
    """The list's columns may have other names."""
    rows = [
        {"Payment Id": row["transaction_id"], "customer": row["user_id"], "steps": row["history"]}
        for row in whole_rows(in_list())
    ]
    names = {"transaction_id": "Payment Id", "user_id": "customer", "history": "steps"}
    listed = read(scene, write_csv(tmp_path / "list.csv", rows), names=names)
    assert kinds(compared(scene, listed)) == {**EXPECTED, "ahead": "ahead"}


def test_attributes(scene: Scene, tmp_path: Path) -> None:
    """Attributes are compared where the list has them; how they are written does not matter."""
    (row,) = whole_rows([bought("equal")])
    for text, equal in (
        ('{ "country" : "Germany", "lines": null }', 1),
        ('{"country":"France"}', 0),
        ("", 1),
    ):
        path = write_csv(tmp_path / "list.csv", [{**row, "attributes": text}])
        found = compared(scene, read(scene, path))
        assert found.report.equal == equal
        assert kinds(found).get("equal") == (None if equal else "different")


def test_what_is_unreadable(scene: Scene, tmp_path: Path) -> None:
    """A row that no event could tell is listed with its reason, whatever day it is of."""
    good = whole_rows([bought("equal")])[0]
    histories = {
        "no-json": "[{",
        "no-offset": '[{"status":"CREATED","at":"2011-06-01T08:00:00","amount":1}]',
        "refund-first": '[{"status":"REFUNDED","at":"2011-06-01T08:00:00Z","amount":1}]',
        "injected": '[], "user_id": "eve"',
    }
    rows = [good, *({**good, "transaction_id": name, "history": text} for name, text in histories.items())]
    found = compared(scene, read(scene, write_csv(tmp_path / "list.csv", rows)))
    reasons = {
        row["transaction_id"]: row["detail"].split(":")[0]
        for row in found.rows.to_pylist()
        if row["difference"] == "unreadable"
    }
    assert reasons == {
        "no-json": "wrong_type",
        "no-offset": "bad_time",
        "refund-first": "refund_before_completion",
        "injected": "wrong_type",
    }
    assert found.report.differences["unreadable"] == 4


def test_what_is_unreadable_of_latest_steps(scene: Scene, tmp_path: Path) -> None:
    """So it is with latest steps."""
    good = latest_rows([bought("equal")])[0]
    rows = [
        {**good, "at": 1_306_929_600_000_000},
        {**good, "transaction_id": "a", "status": "DONE"},
        {**good, "transaction_id": "b", "at": "2011-06-01 12:00:00"},
        {**good, "transaction_id": "c", "amount": "5.00"},
        {**good, "transaction_id": "d", "user_id": ""},
    ]
    found = compared(scene, read(scene, write_csv(tmp_path / "list.csv", rows)))
    assert found.report.equal == 1
    assert [row["detail"] for row in found.rows.to_pylist() if row["difference"] == "unreadable"] == [
        "unknown_status: status: DONE",
        "bad_time: at: 2011-06-01 12:00:00 (a time with its offset is due)",
        "bad_amount: amount: 5.00 (whole minor units are due)",
        "missing_field: user_id: null",
    ]


def test_lists_that_are_refused(scene: Scene, tmp_path: Path) -> None:
    """A list of another form is refused with what is due."""
    rows = whole_rows([bought("equal")])
    table: list[tuple[Path | str, str | None, dict[str, str], str]] = [
        (tmp_path / "none.csv", None, {}, "no such file"),
        (write_csv(tmp_path / "list.txt", rows), None, {}, "neither .parquet nor .csv"),
        (write_csv(tmp_path / "twice.csv", [*rows, *rows]), None, {}, "has transaction 'equal' 2 times"),
        (write_csv(tmp_path / "null.csv", [{**rows[0], "transaction_id": ""}]), None, {}, "a row without a transaction_id"),
        (write_csv(tmp_path / "few.csv", [{"transaction_id": "t", "status": "x"}]), None, {}, "no column user_id, at, amount"),
        (write_csv(tmp_path / "list.csv", rows), None, {"history": "steps"}, "--column history=steps: there is no such column; there are: transaction_id"),
        (tmp_path / "list.csv", "SELECT 1", {}, "--query belongs to a server"),
        ("postgresql://127.0.0.1:1/none", None, {}, "--query TABLE"),
        ("postgresql://127.0.0.1:1/none", "t", {}, "the PostgreSQL server cannot be read: "),
    ]  # fmt: skip
    for against, query, names, message in table:
        with pytest.raises(ListUnreadable, match=message):
            read(scene, against, query, names)


def test_fill(scene: Scene, tmp_path: Path) -> None:
    """What is missing or behind is sent as events; after that only what contradicts or is extra is left."""
    rows = [
        {name: row[name] for name in ("transaction_id", "user_id", "history")}
        for row in whole_rows(in_list())
    ]
    listed = read(scene, write_csv(tmp_path / "list.csv", rows))
    found = compared(scene, listed)
    events = events_to_fill(listed, found)
    assert len(events) == 4
    assert found.rows.num_rows == len(EXPECTED) + 1
    fill(scene.workshop, found, events, "ann")
    scene.work()
    again = compared(scene, listed)
    assert again.report.differences == {"extra": 1, "different": 4, "ahead": 1}
    assert again.report.equal == 5
    assert events_to_fill(listed, again) == []

    oracle = Oracle([LADDER.oracle])
    for event in [known.event() for _, _, known, _ in CASES if known is not None] + [AHEAD.event(), *events]:
        oracle.apply(event)
    assert stored_figures(scene.store) == oracle.figures()

    entry = decode_entry(scene.store.audit(0, 10)[-1])
    assert (entry.who, entry.action, entry.after) == ("ann", "batch.monitor.fill", {"events": 4})
    assert entry.before == {"missing": 2, "behind": 2}


def test_report(scene: Scene, tmp_path: Path) -> None:
    """A report is JSON, with every difference in a Parquet file beside it."""
    found = compared(scene, read(scene, write_csv(tmp_path / "list.csv", whole_rows(in_list()))))
    path = write_report(scene.workshop.folder, found)
    assert path.parent == scene.workshop.folder / "monitor"
    told = json.loads(path.read_text(encoding="utf-8"))
    assert (told["day"], told["zone"], told["equal"]) == ("2011-06-01", "UTC", 1)
    assert pq.read_table(path.with_suffix(".parquet")).num_rows == sum(told["differences"].values())


# --- PostgreSQL -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Give a real server with the list, in two tables."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE SCHEMA pay")
            connection.execute(
                "CREATE TABLE pay.whole (transaction_id text, user_id text, history jsonb, attributes jsonb)"
            )
            connection.execute(
                "CREATE TABLE latest (id text, user_id text, status text, at timestamptz, amount bigint)"
            )
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO pay.whole VALUES (%(transaction_id)s, %(user_id)s, %(history)s, %(attributes)s)",
                    whole_rows(in_list()),
                )
                cursor.executemany(
                    "INSERT INTO latest VALUES (%(transaction_id)s, %(user_id)s, %(status)s, %(at)s, %(amount)s)",
                    latest_rows(in_list()),
                )
        yield dsn


def test_postgres_table(scene: Scene, postgres: str) -> None:
    """A table of a server is read like a file, and leaves no file behind."""
    found = compared(scene, read(scene, postgres, "pay.whole"))
    assert kinds(found) == {**EXPECTED, "ahead": "ahead"}
    assert not list(scene.workshop.folder.glob("*.csv"))


def test_postgres_query(scene: Scene, postgres: str) -> None:
    """So is a query, whose times are told with their offset."""
    query = "SELECT id, user_id, status, at, amount FROM latest WHERE amount < 10 OR id = 'equal';"
    found = compared(scene, read(scene, postgres, query, {"transaction_id": "id"}))
    assert found.report.equal == 1
    assert {name: kind for name, kind in kinds(found).items() if kind != "extra"} == {
        "open": "missing",
        "failed": "behind",
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nothing", 'relation "nothing" does not exist'),
        ("SELECT wrong FROM latest", 'column "wrong" does not exist'),
        ("DELETE FROM latest RETURNING *", "read-only transaction"),
    ],
)
def test_postgres_refuses(scene: Scene, postgres: str, query: str, message: str) -> None:
    """What the server says is passed on; nothing there can be changed."""
    with pytest.raises(ListUnreadable, match=message) as caught:
        read(scene, postgres, query)
    assert "p@ss" not in str(caught.value)


# --- late events ----------------------------------------------------------------------------------------------

APPENDED = 1_309_478_400_000_000  # 2011-07-01T00:00:00Z
TODAY = date(2011, 7, 1)


def test_late_events(tmp_path: Path) -> None:
    """Each event counts by its delay; a period that has ended is told by each campaign's own clock.

    An event that brings nothing new changes nothing, and neither does one that only opens a transaction.
    """
    with opened_scene(tmp_path, [LADDER, REFUNDS_IN_TOKYO], lambda: APPENDED) as scene:
        assert late_events(scene.workshop, TODAY).events == 0
        scene.append(
            [
                event.event()
                for event in (
                    transaction("at-once", ("COMPLETED", "2011-06-30T23:59:30Z", 500)),
                    transaction("in-july", ("COMPLETED", "2011-07-01T00:30:00Z", 500)),
                    transaction("an-hour", ("COMPLETED", "2011-06-30T23:30:00Z", 500)),
                    transaction("half-a-day", ("COMPLETED", "2011-06-30T12:00:00Z", 500)),
                    transaction("half-a-day", ("COMPLETED", "2011-06-30T12:00:00Z", 500)),
                    transaction("two-days", ("CREATED", "2011-06-29T00:00:00Z", 500)),
                    transaction("long", ("COMPLETED", "2011-05-01T00:00:00Z", 500)),
                    transaction(
                        "long",
                        ("COMPLETED", "2011-05-01T00:00:00Z", 500),
                        ("REFUNDED", "2011-06-30T23:00:00Z", 9),
                    ),
                )
            ]
        )
        found = late_events(scene.workshop, TODAY)
        assert found.events == 8
        assert found.delays == {
            "under 1 minute": 2,
            "under 1 hour": 1,
            "under 1 day": 3,
            "under 3 days": 1,
            "3 days or more": 1,
        }
        # In London June ends at 23:00 UTC. In Tokyo it has ended at 15:00, and the refund is of July there.
        assert found.changed_ended == {"ladder": 3, "refunds-in-tokyo": 2}
        assert late_events(scene.workshop, date(2011, 6, 30)).events == 0


def test_late_events_know_what_came_on_days_before(tmp_path: Path) -> None:
    """An event that came on an earlier day already brings nothing when it comes again."""
    times = [APPENDED]
    with opened_scene(tmp_path, [LADDER], lambda: times[0]) as scene:
        late = transaction("t", ("COMPLETED", "2011-05-01T00:00:00Z", 500))
        scene.append([late.event()])
        late_events(scene.workshop, TODAY)
        times[0] += 86_400_000_000
        scene.append([late.event(), replace(late, history=(*late.history, StepData(*REFUND))).event()])
        found = late_events(scene.workshop, date(2011, 7, 2))
        assert (found.events, found.changed_ended) == (2, {"ladder": 1})
