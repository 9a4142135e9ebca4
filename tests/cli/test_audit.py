"""`rung audit`: who changed what, when and why."""

from __future__ import annotations

import lmdb
import pytest

from cli.command import Rung
from rung import bootstrap
from rung.cli.errors import ExitCode
from rung.store.audit import append_audit


@pytest.fixture
def audited(rung: Rung) -> Rung:
    """Return a command line on a home with three audit entries."""
    with bootstrap.opened_store(bootstrap.open_home(rung.home)) as store:
        for number in (1, 2, 3):
            append_audit(
                store,
                lambda number=number: 1_627_776_000_000_000 + number,
                "ann",
                "activate",
                "step",
                {"version": number - 1},
                {"version": number},
                f"reason {number}",
            )
    return rung


def test_no_entries(rung: Rung) -> None:
    """A new home has an empty list, which is fine."""
    ran = rung.fine("audit")
    assert (ran.out, ran.err) == ("", "0 entries; each follows the one before\n")
    assert rung.fine("audit", "--json").json == {"ok": True, "count": 0, "broken": None, "entries": []}


def test_entries_are_listed(audited: Rung) -> None:
    """Every entry is a row; in JSON what was before and after is told, too."""
    ran = audited.fine("audit")
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["number", "at", "who", "action", "subject", "reason"]
    assert rows[1] == ["1", "2021-08-01T00:00:00Z", "ann", "activate", "step", "reason", "1"]
    assert len(rows) == 4
    assert ran.err == "3 entries; each follows the one before\n"
    told = audited.fine("audit", "--json", "--after", "2").json
    assert (told["ok"], told["count"], told["broken"], len(told["entries"])) == (True, 3, None, 1)
    entry = told["entries"][0]
    assert (entry["number"], entry["at"]) == (3, "2021-08-01T00:00:00Z")
    assert (entry["before"], entry["after"]) == ({"version": 2}, {"version": 3})
    assert audited.fine("audit", "--after", "3").out == ""


@pytest.mark.parametrize(
    ("key", "record", "message"),
    [
        (2, None, "entry 2 is missing: entry 3 stands in its place"),
        (2, b'"reason 9"', "entry 2 was changed: its hash is not that of its content"),
    ],
    ids=["taken out", "changed"],
)
def test_a_broken_list(audited: Rung, key: int, record: bytes | None, message: str) -> None:
    """A list that was changed from outside is shown all the same, and the first wrong entry named; exit code 1."""
    environment = lmdb.open(str(audited.home / "store"), max_dbs=8)
    with environment.begin(write=True, db=environment.open_db(b"meta")) as writing:
        place = b"audit/" + key.to_bytes(8)
        if record is None:
            writing.delete(place)
        else:
            writing.put(place, bytes(writing.get(place, b"")).replace(b'"reason 2"', record))
    environment.close()
    ran = audited("audit")
    assert (ran.code, ran.err) == (
        ExitCode.PROBLEMS,
        f"error: the audit list is not as it was written: {message}\n",
    )
    assert "reason 3" in ran.out
    told = audited("audit", "--json")
    assert (told.code, told.json["ok"], told.json["broken"]) == (ExitCode.PROBLEMS, False, message)
