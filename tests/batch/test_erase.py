"""An erasure leaves no byte that names the user, and every total as it was, wherever it was cut short."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.scenes import Scene, opened_scene
from batch.test_verify import TRAFFIC, events_of, verified
from campaign_pairs import PAIRS
from harness import stored_figures
from oracle import FigureKey
from rung.batch.proof.report import Reports
from rung.batch.retention.erase import EraseRefused, check_erasable, erase
from rung.batch.retention.erasing import unfinished
from rung.batch.trim import trim_behind
from rung.faultpoints import arm, disarm
from rung.log.embedded import EmbeddedLog
from rung.store.audit import decode_entry
from rung.store.lmdb import LmdbStore

USER = "the-user-in-question"


def nothing(_: object) -> None:
    """Take anything, and say nothing."""


def events() -> list[bytes]:
    """Return events of many users, one of whom is renamed to be recognisable, with bad ones of that user."""
    found = events_of(TRAFFIC)[:6_000]
    users = Counter(
        event["user_id"]
        for one in found
        if (event := read(one)) and "history" in event and "user_id" in event
    )
    chosen = users.most_common(1)[0][0]
    renamed = [one.replace(json.dumps(chosen).encode(), json.dumps(USER).encode()) for one in found]
    bad = json.dumps({"user_id": USER, "transaction_id": "bad", "history": []}).encode()
    told = {"user_id": USER, "sequence": 99, "user_attributes": {"premium": True, "points": 5}}
    # Both are rejected for the type of an attribute, the former although its sequence is the highest.
    mistold = {"user_id": USER, "sequence": 999, "user_attributes": {"premium": "yes"}}
    history = [{"status": "CREATED", "at": "2011-05-01T00:00:00Z", "amount": 1}]
    odd = {"user_id": USER, "transaction_id": "odd", "history": history, "attributes": {"lines": "7"}}
    return [*renamed, bad, *(json.dumps(one).encode() for one in (told, mistold, odd))]


def read(payload: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(payload)
        return found if isinstance(found["user_id"], str) else {}
    except (ValueError, TypeError, KeyError):
        return {}


@dataclass
class Totals:
    """What may not change: figures without whose they are, and those of each other user."""

    by_measure: Counter[tuple[str, int, str, str]]
    others: dict[FigureKey, int]

    @classmethod
    def of(cls, scene: Scene) -> Totals:
        found = stored_figures(scene.store)
        total: Counter[tuple[str, int, str, str]] = Counter()
        for (campaign, version, _, measure, period), value in found.items():
            total[campaign, version, measure, period] += value
        others = {
            key: value for key, value in found.items() if key[2] != USER and not key[2].startswith("erased-")
        }
        return cls(total, others)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened_scene(tmp_path, PAIRS) as opened:
        everything = events()
        for part in (everything[:3_000], everything[3_000:]):
            opened.append(part)
            opened.work()
            opened.workshop.aggregate_to(dict(opened.log.ends()))
        report = verified(opened)
        assert report.is_clean
        Reports(opened.workshop.folder).write(report)
        monitored = opened.workshop.folder / "monitor"
        monitored.mkdir()
        named = pa.table({"user_id": pa.array([USER]), "lake_user_id": pa.array([USER])})
        pq.write_table(named, monitored / "2011-05-01-1.parquet")
        yield opened


def trim(scene: Scene) -> None:
    scene.workshop.aggregate_to(dict(scene.log.ends()))
    trim_behind(scene.log, scene.workshop.lake, scene.store)


def erased(scene: Scene) -> None:
    check_erasable(scene.workshop, USER, log_expires_itself=False)
    done = erase(scene.workshop, USER, "tester", "was asked to", nothing, nothing)
    assert done.transactions >= 0


def files_with(folder: Path, needle: str) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and needle.encode() in path.read_bytes()
    ]


def test_what_the_log_has_is_refused(scene: Scene) -> None:
    """As long as the log has an event of the user, nothing is erased, and the text says what to run."""
    with pytest.raises(EraseRefused, match="events of the user: run `rung log trim --yes` first"):
        check_erasable(scene.workshop, USER, log_expires_itself=False)


def test_no_byte_is_left(scene: Scene, tmp_path: Path) -> None:
    """The id is in no file any more, freed pages included; totals are the same; verification is clean."""
    before = Totals.of(scene)
    trim(scene)
    erased(scene)
    assert Totals.of(scene) == before
    report = verified(scene)
    assert report.is_clean
    assert scene.store.users([USER.encode()]) == [None]
    assert scene.store.user_attributes([USER.encode()]) == [None]
    assert unfinished(scene.workshop.folder) is None
    entry = decode_entry(scene.store.audit(0, 10)[-1])
    assert (entry.action, entry.subject, entry.reason) == ("erase", "a user", "was asked to")
    scene.log.close()
    scene.store.close()
    with closing(LmdbStore(tmp_path / "store", map_bytes=1 << 30)) as store:
        store.overwrite_freed(thoroughly=True)
    with closing(EmbeddedLog.open_to_read(tmp_path / "log", 1 << 30)) as log:
        partitions = log.partitions
    with closing(EmbeddedLog.open(tmp_path / "log", partitions, lambda: 0, 1 << 30)) as log:
        log.overwrite_freed(thoroughly=True)
    assert files_with(tmp_path, USER) == []


@pytest.mark.parametrize("point", ["erasing_lake", "erasing_user", "erased"])
def test_cut_short_and_done_again(scene: Scene, point: str) -> None:
    """Wherever an erasure ends early, the next one completes it under the same name."""
    before = Totals.of(scene)
    trim(scene)
    passed = iter(range(100))

    def end_early() -> None:
        if point != "erasing_lake" or next(passed) == 1:
            raise KeyboardInterrupt

    arm(point, end_early)
    try:
        with pytest.raises(KeyboardInterrupt):
            erased(scene)
    finally:
        disarm(point)
    begun = unfinished(scene.workshop.folder)
    assert begun is not None
    with pytest.raises(EraseRefused, match="the erasure of another user was cut short"):
        check_erasable(scene.workshop, "another", log_expires_itself=False)
    erased(scene)
    assert Totals.of(scene) == before
    assert scene.store.users([begun.pseudonym.encode()]) != [None]
    assert verified(scene).is_clean


def test_beside_live_traffic(scene: Scene) -> None:
    """Events of others go on being applied meanwhile; all that is wrong with none."""
    trim(scene)
    later = [
        one.replace(json.dumps(USER).encode(), b'"somebody-else"')
        for one in events()
        if b"transaction_id" in one
    ]
    fresh = [
        json.dumps({**found, "transaction_id": f"later-{found['transaction_id']}"}).encode()
        for one in later
        if isinstance((found := read(one)).get("transaction_id"), str)
    ]
    with scene.traffic(fresh[:3_000]):
        erased(scene)
        assert verified(scene).is_clean
    assert verified(scene).is_clean
    assert scene.store.users([USER.encode()]) == [None]
