"""`rung store`: the tables of a store, and what it says of an embedded one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from cli.command import Rung
from rung import servers
from rung.adapters import Home
from rung.cli.errors import ExitCode
from rung.store.dynamodb.tables import TableDescription
from rung.store.port import StoreBusy


@dataclass
class Tables:
    """The tables of a store, as DynamoDB would tell them."""

    status: str = "MISSING"
    error: Exception | None = None
    asked: list[str] = field(default_factory=list[str])

    def describe(self, home: Home) -> list[TableDescription]:
        if self.error is not None:
            raise self.error
        name = f"{home.settings.dynamodb.table_prefix}-users"
        return [TableDescription(name, self.status, 1_234, 2_048, "on demand")]

    def create(self, home: Home) -> list[TableDescription]:
        self.asked.append("create")
        self.status = "ACTIVE"
        return self.describe(home)

    def drop(self, home: Home) -> None:
        self.asked.append("drop")
        self.status = "MISSING"


@pytest.fixture
def tables(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Return tables of a home on DynamoDB that are not there yet."""
    made = Tables()
    monkeypatch.setenv("RUNG_STORE_KIND", "dynamodb")
    monkeypatch.setenv("RUNG_DYNAMODB_REGION", "eu-central-1")
    monkeypatch.setattr(servers, "create_tables", made.create)
    monkeypatch.setattr(servers, "describe_tables", made.describe)
    monkeypatch.setattr(servers, "drop_tables", made.drop)
    return made


def test_tables(rung: Rung, tables: Tables) -> None:
    """Tables are made, described and dropped; one that is missing is told by the exit code."""
    assert rung("store", "describe").code == ExitCode.PROBLEMS
    assert rung.fine("store", "create").err == "There: rung-users\n"
    ran = rung.fine("store", "describe")
    assert ran.out.splitlines()[1].split() == ["rung-users", "active", "1,234", "2.0", "KiB", "on", "demand"]
    assert rung.fine("store", "describe", "--json").json == {
        "kind": "dynamodb",
        "tables": [
            {"name": "rung-users", "status": "ACTIVE", "items": 1_234, "bytes": 2_048, "billing": "on demand"}
        ],
    }
    assert rung.fine("store", "drop", "--yes").err == "Deleted: rung-users\n"
    assert rung.fine("store", "drop", "--yes").err == "There are no tables\n"
    assert tables.asked == ["create", "drop"]


def test_drop_asks(rung: Rung, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --yes it asks, naming the tables, and no means no."""
    tables.status = "ACTIVE"
    questions: list[str] = []

    def no(text: str, *, abort: bool, err: bool) -> None:
        questions.append(text)
        raise typer.Abort

    import typer

    monkeypatch.setattr(typer, "confirm", no)
    assert rung("store", "drop").code == ExitCode.INTERRUPTED
    assert questions == ["Delete rung-users and all that is in them, campaigns too?"]
    assert tables.asked == []


def test_out_of_reach(rung: Rung, tables: Tables) -> None:
    """A DynamoDB that does not answer is one clear line; exit code 5."""
    tables.error = StoreBusy("DynamoDB does not answer")
    ran = rung("store", "describe")
    assert (ran.code, ran.err) == (ExitCode.FAILED, "error: DynamoDB does not answer\n")


def test_an_embedded_store(rung: Rung) -> None:
    """An embedded store is its folder: there is nothing to make, and nothing that a command drops."""
    text = f"The store is embedded (LMDB): the folder {rung.home / 'store'}, made by `rung init`"
    assert rung.fine("store", "create").err == f"{text}; there is nothing to make\n"
    assert rung.fine("store", "describe").err == f"{text}\n"
    assert rung.fine("store", "describe", "--json").json == {
        "kind": "lmdb",
        "folder": str(rung.home / "store"),
    }
    ran = rung("store", "drop", "--yes")
    assert (ran.code, ran.err) == (
        ExitCode.BAD_INPUT,
        f"error: {text}; stop what uses it, and delete the folder\n",
    )
    assert (rung.home / "store" / "data.mdb").exists()
