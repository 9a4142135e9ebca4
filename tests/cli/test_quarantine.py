"""`rung quarantine`: look at what was not applied, and try it again or drop it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from cli.command import SPEC, Rung, always, program, purchase, write_lines
from rung import bootstrap
from rung.cli.errors import ExitCode
from rung.log.port import LogUnavailable
from rung.store.port import Quarantined

TYPED = SPEC.replace("versions:", "attributes: {shop: string}\nversions:")


@pytest.fixture
def three(small: Rung, tmp_path: Path) -> Rung:
    """Return a home with three events in quarantine, of two reasons."""
    lines = (purchase("t1"), "no json", purchase("t2", amount=-1), "nor this")
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", *lines))
    return small


def _positions(rung: Rung, *options: str) -> dict[str, str]:
    """Return payload -> position."""
    events = rung.fine("quarantine", "list", "--json", *options).json["events"]
    return {
        base64.b64decode(one["payload_base64"]).decode(): f"{one['partition']}:{one['offset']}"
        for one in events
    }


def test_list(three: Rung) -> None:
    """Every event is listed with position, reason and detail, and counted by reason."""
    ran = three.fine("quarantine", "list", "--json").json
    assert (ran["count"], ran["reasons"]) == (3, {"not_json": 2, "bad_amount": 1})
    assert {one["reason"] for one in ran["events"]} == {"not_json", "bad_amount"}
    text = three.fine("quarantine", "list")
    assert "bad_amount" in text.out
    assert "3 events in quarantine (not_json 2, bad_amount 1)" in text.err


def test_list_by_reason_and_limit(three: Rung) -> None:
    """--reason chooses, and --limit shows fewer than there are, and says so."""
    assert len(_positions(three, "--reason", "not_json")) == 2
    assert len(_positions(three, "--limit", "1")) == 1
    assert "the first 1 are shown" in three.fine("quarantine", "list", "--limit", "1").err


def test_an_empty_quarantine(small: Rung) -> None:
    """Nothing in quarantine is said in words."""
    assert small.fine("quarantine", "list").err == "0 events in quarantine\n"


def test_show(three: Rung) -> None:
    """One event is shown with its reason, and its payload byte for byte."""
    position = _positions(three)["no json"]
    ran = program("--home", three.home, "quarantine", "show", position)
    assert (ran.code, ran.out) == (0, "no json")
    assert "not_json" in ran.err
    assert three.fine("quarantine", "show", position, "--json").json["reason"] == "not_json"


@pytest.mark.parametrize("command", ["show", "retry", "drop"])
def test_positions_that_are_wrong(three: Rung, command: str) -> None:
    """A text that is no position, or has no event in quarantine, is refused."""
    for text in ("1", "a:b", "1:", ":", "-1:0", "1:²"):
        ran = three("quarantine", command, "--", text)
        assert ran.code == ExitCode.BAD_INPUT
        assert f"{text!r} is not a position: expected PARTITION:OFFSET" in ran.err
    ran = three("quarantine", command, "0:999")
    assert "no event at 0:999 is in quarantine" in ran.err


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_what_to_choose(three: Rung, command: str) -> None:
    """Events are chosen in exactly one way: nothing happens to all of them by accident."""
    for options in ((), ("--all", "--reason", "not_json"), ("0:1", "--all")):
        ran = three("quarantine", command, *options)
        assert (ran.code, ran.err) == (
            ExitCode.BAD_INPUT,
            "error: choose events: by their positions, with --reason CODE, or with --all\n",
        )


def test_retry_what_is_still_wrong(three: Rung) -> None:
    """Events that are still wrong come back, under a new position."""
    before = _positions(three)
    assert three.fine("quarantine", "retry", "--all", "--json").json == {"retried": 3}
    assert _positions(three) == {}
    three.fine("worker", "--until-caught-up")
    after = _positions(three)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_retry_after_a_fix(rung: Rung, spec: Path, tmp_path: Path) -> None:
    """What a fix has made right is applied by a retry, and counts once."""
    spec.write_text(TYPED, encoding="utf-8")
    rung.fine("campaign", "apply", spec)
    good = purchase("t1")
    late = good.replace("{", '{"attributes": {"shop": 7}, ', 1)
    rung.fine("ingest", "--wait", write_lines(tmp_path / "e", late))
    assert _positions(rung, "--reason", "attribute_type").keys() == {late}
    rung.fine("ingest", "--wait", write_lines(tmp_path / "good", good))
    rung.fine("quarantine", "retry", _positions(rung)[late])
    rung.fine("quarantine", "retry", "--all")
    rung.fine("worker", "--until-caught-up")
    status = rung.fine("status", "ann", "--at", "2021-08-04", "--json").json
    assert status["campaigns"][0]["counting"]["measures"] == {"payments": 1, "total": 1_000}


def test_retry_of_a_conflict_after_a_replay(small: Rung, tmp_path: Path) -> None:
    """A retried duplicate changes nothing."""
    event = purchase("t1")
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", event, purchase("t1", amount=5)))
    small.fine("quarantine", "retry", "--reason", "history_conflict")
    small.fine("ingest", "--wait", write_lines(tmp_path / "again", event))
    status = small.fine("status", "ann", "--at", "2021-08-04", "--json").json
    assert status["campaigns"][0]["counting"]["measures"] == {"payments": 1, "total": 1_000}
    assert small.fine("quarantine", "list", "--json").json["reasons"] == {"history_conflict": 1}


def test_drop(three: Rung) -> None:
    """Dropped events are gone; the others stay."""
    positions = _positions(three)
    assert three.fine("quarantine", "drop", "--yes", "--json", positions["no json"]).json == {"dropped": 1}
    assert three.fine("quarantine", "drop", "--yes", "--reason", "not_json").err == "Dropped 1 event\n"
    assert three.fine("quarantine", "list", "--json").json["reasons"] == {"bad_amount": 1}


def test_drop_asks(three: Rung) -> None:
    """Without --yes it asks, and no answer means no."""
    ran = program("--home", three.home, "quarantine", "drop", "--all", stdin="n\n")
    assert ran.code == ExitCode.INTERRUPTED
    assert "Drop 3 events from quarantine?" in ran.err
    assert ran.err.endswith("error: stopped; nothing was changed\n")
    assert len(_positions(three)) == 3
    ran = program("--home", three.home, "quarantine", "drop", "--all", stdin="y\n")
    assert ran.code == 0
    assert _positions(three) == {}


class Watching:
    """A mirror that takes down what it is told to forget, and fails if a test wants it to."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.error: Exception | None = None

    def put(self, quarantined: Sequence[Quarantined]) -> None:
        raise AssertionError(quarantined)

    def forget(self, positions: Sequence[tuple[int, int]]) -> None:
        if self.error is not None:
            raise self.error
        self.forgotten += [f"{partition}:{offset}" for partition, offset in positions]


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Watching:
    """Return the mirror that commands get."""
    made = Watching()
    monkeypatch.setattr(bootstrap, "opened_mirror", always(nullcontext(made)))
    return made


@pytest.mark.parametrize("command", [("retry",), ("drop", "--yes")], ids=" ".join)
def test_the_mirror_forgets(three: Rung, watching: Watching, command: tuple[str, ...]) -> None:
    """What is released is forgotten by the mirror, too, and nothing else is."""
    chosen = set(_positions(three, "--reason", "not_json").values())
    three.fine("quarantine", *command, "--reason", "not_json")
    assert set(watching.forgotten) == chosen


@pytest.mark.parametrize("command", [("retry",), ("drop", "--yes")], ids=" ".join)
def test_a_mirror_out_of_reach(three: Rung, watching: Watching, command: tuple[str, ...]) -> None:
    """When the mirror does not answer nothing is released, so that a second attempt finds it again."""
    before = _positions(three)
    watching.error = LogUnavailable("no broker answers")
    ran = three("quarantine", *command, "--all")
    assert (ran.code, ran.err) == (ExitCode.FAILED, "error: no broker answers\n")
    assert _positions(three) == before
    watching.error = None
    three.fine("quarantine", *command, "--all")
    assert sorted(watching.forgotten) == sorted(before.values())
