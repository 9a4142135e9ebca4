"""Batch jobs that die, meet and run beside the worker: what is visible is whole, and nothing counts twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from batch.reading import figure_checksums
from batch.scenes import clock
from batch.tampering import record_deleted, tamper, victims_of
from batch.test_verify import TRAFFIC, events_of
from campaign_pairs import FIRST_VERSION, LADDER, REFUNDS_IN_TOKYO, VERSIONS
from faults.batch_home import JOB_SECONDS_MAX, BatchHome, batch_home
from faults.http_proxy import DynamoProxy
from faults.points import OF_BATCH_JOBS
from faults.rung_process import KILLED
from harness import decode_catalog, put_campaigns, stored_figures, work_to_the_end
from oracle import Oracle
from rung import bootstrap
from rung.batch.duck import DuckEngine, EngineSettings
from rung.batch.proof.repair import repair, suspects_of
from rung.batch.proof.verify import verify
from rung.batch.snapshots import Snapshots
from rung.batch.workshop import Workshop
from rung.cli.errors import ExitCode
from rung.lake.delta import DeltaLake
from rung.log.embedded import EmbeddedLog
from rung.store.dynamodb.client import DynamoClient
from rung.store.dynamodb.items import Tables, partition_kind, state_key
from rung.store.dynamodb.store import DynamoStore
from rung.transaction.routing import partition_of
from store.dynamodb_local import emulator, made, new_settings

PAIRS = (FIRST_VERSION, LADDER)
EVENTS = replace(TRAFFIC, users=120, transactions=600)
LATER = replace(EVENTS, seed=13, starts_at=1_306_800_000_000_000)
AGGREGATION = ("claims_settled", "partition_aggregated", "snapshot_made")
BACKFILL = ("past_aggregated", "backfilling", "backfilled")
REPAIR = ("repairing",)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[BatchHome]:
    with batch_home(tmp_path, PAIRS) as made_home:
        yield made_home


def test_every_point_has_a_row() -> None:
    """Each point of a batch job is one at which it dies."""
    assert {*AGGREGATION, *BACKFILL, *REPAIR} == set(OF_BATCH_JOBS)


@pytest.mark.parametrize("point", AGGREGATION)
def test_row_32_an_aggregation_is_killed(home: BatchHome, point: str) -> None:
    """One that dies leaves the snapshots as they were; the next one gives the bytes of one that never died."""
    for before in (0, 1):
        home.append(events_of(LATER if before else EVENTS))
        home.work()
        there = [one.number for one in home.snapshots.all()]
        assert len(there) == before
        nth = 2 if point == "partition_aggregated" else 1
        job = home.start("batch", "aggregate", arms=[f"{point}:{nth}:kill"])
        assert job.ended(JOB_SECONDS_MAX) == KILLED
        assert job.told() == [point]
        assert [one.number for one in home.snapshots.all()] == there
        for one in home.snapshots.all():
            home.snapshots.check(one, 2)
        home.fine("batch", "aggregate")
        newest = home.snapshots.all()[0]
        assert home.figures(newest) == home.stored()
        if before:
            assert figure_checksums(newest) == home.full_checksums()
            # What the dead one wrote is gone.
            folders = {path.name for path in home.snapshots.path("").iterdir()}
            assert folders == {str(one.number) for one in home.snapshots.all()}


def test_row_32_two_jobs_at_once(home: BatchHome) -> None:
    """The second of two is refused: it says which process has the lease, with what, and what to do."""
    home.append(events_of(EVENTS))
    home.work()
    first = home.start("batch", "aggregate", arms=["snapshot_made:1:stop"])
    first.wait_until_stopped(JOB_SECONDS_MAX)
    for command in (("aggregate",), ("verify",), ("backfill", "ladder", "0")):
        second = home.start("batch", *command)
        assert second.ended(JOB_SECONDS_MAX) == ExitCode.BUSY
        assert (
            f"error: another batch job runs in {home.path / 'batch'} (process {first.pid}: aggregate): "
            in (second.printed())
        )
        assert "wait for its end, or stop it" in second.printed()
    assert home.snapshots.all() == []
    first.resume()
    assert first.ended(JOB_SECONDS_MAX) == 0
    assert [one.number for one in home.snapshots.all()] == [1]
    home.fine("batch", "verify")


def test_row_32_the_lease_of_a_dead_job_is_free(home: BatchHome) -> None:
    """A job that is killed while it has the lease leaves it to the next one."""
    home.append(events_of(EVENTS))
    holder = home.start("batch", "aggregate", arms=["claims_settled:1:stop"])
    holder.wait_until_stopped(JOB_SECONDS_MAX)
    assert holder.kill_at_once() == KILLED
    home.fine("batch", "aggregate")


@pytest.mark.parametrize("point", BACKFILL)
def test_row_32_a_backfill_is_killed(home: BatchHome, point: str) -> None:
    """One that dies leaves its version partial; the next one completes it, and adds nothing twice."""
    events = events_of(EVENTS)
    home.append(events)
    home.work()
    home.apply([VERSIONS])
    job = home.start("batch", "backfill", "versions", "2", arms=[f"{point}:1:kill"])
    assert job.ended(JOB_SECONDS_MAX) == KILLED
    assert job.told() == [point]
    assert not home.catalog().version("versions", 2).complete
    done = json.loads(home.fine("batch", "backfill", "versions", "2", "--json"))
    assert done["complete"]
    assert (done["users_before"] > 0) is (point == "backfilled")
    home.fine("batch", "backfill", "versions", "1")
    assert home.stored() == Oracle([VERSIONS.oracle, LADDER.oracle]).apply_all(events).figures()
    home.fine("batch", "verify")


def test_row_32_a_repair_is_killed(home: BatchHome) -> None:
    """One that dies has healed some users and not the others; a second one heals those, and changes no more."""
    events = events_of(EVENTS)
    home.append(events)
    home.work()
    right = home.stored()
    damaged = damage(home, 5)
    found = home.start("batch", "verify")
    assert found.ended(JOB_SECONDS_MAX) == ExitCode.PROBLEMS
    job = home.start("batch", "repair", "last", "--yes", arms=["repairing:3:kill"])
    assert job.ended(JOB_SECONDS_MAX) == KILLED
    assert job.told() == ["repairing"]
    again = json.loads(home.fine("batch", "repair", "last", "--yes", "--json"))
    assert (len(again["users"]), again["clean_already"]) == (damaged - 2, 2)
    assert home.stored() == right
    home.fine("batch", "verify")
    third = json.loads(home.fine("batch", "repair", "last", "--yes", "--json"))
    assert third["users"] == []


def damage(home: BatchHome, count: int) -> int:
    """Delete a record of some users, and return of how many."""
    with bootstrap.opened_store(bootstrap.open_home(home.path)) as store:
        catalog, seed = decode_catalog(store.catalog()[1]), Random(1)
        chosen = [one for one in victims_of(store) if one.transactions][:count]
        for victim in chosen:
            harm = record_deleted(victim, catalog, seed)
            assert harm is not None
            tamper(store, victim, harm, partition_of(victim.user_id, 3))
    return len(chosen)


def test_row_33_batch_runs_while_speed_writes(home: BatchHome) -> None:
    """Beside a worker under traffic, each snapshot is the law's answer for exactly the positions that it names."""
    events, enough = events_of(replace(LATER, transactions=10_000)), threading.Event()
    home.append(events_of(EVENTS))

    def write() -> None:
        for first in range(0, len(events), 10):
            home.append(events[first : first + 10])
            if enough.wait(0.05):
                return

    worker = home.start("worker")
    worker.wait_for_text("lag 0", JOB_SECONDS_MAX)
    writer = threading.Thread(target=write)
    writer.start()
    seen: list[dict[int, int]] = []
    try:
        for command in ("aggregate", "verify", "aggregate"):
            home.fine("batch", command)
            newest = home.snapshots.all()[0]
            assert home.figures(newest) == home.oracle_at(PAIRS, newest.positions)
            seen.append(newest.positions)
    finally:
        enough.set()
        writer.join()
    assert sum(seen[0].values()) < sum(seen[1].values()) < sum(seen[2].values())
    home.fine("batch", "verify")
    worker.terminate()
    assert worker.ended() == 0
    home.work()
    assert home.stored() == home.oracle_at(PAIRS)


def test_row_27_stale_reads(tmp_path: Path) -> None:
    """Where every read may give an old answer that may, verification and repair decide by what is there now."""
    pairs = (FIRST_VERSION, REFUNDS_IN_TOKYO)
    settings = made(new_settings())
    events = events_of(replace(EVENTS, transactions=200, users=40))
    with (
        DynamoProxy(emulator().endpoint, 3) as proxy,
        closing(EmbeddedLog.open(tmp_path / "log", 3, clock)) as log,
        closing(
            DynamoStore.open(settings_of_proxy := replace(settings, endpoint_url=proxy.endpoint))
        ) as store,
        DuckEngine.open(EngineSettings("512MiB", 1, tmp_path / "spill")) as engine,
    ):
        put_campaigns(store, pairs)
        lake = DeltaLake.create(str(tmp_path / "lake"), log.identity(), {})
        position = {
            "TableName": Tables.of(settings.table_prefix).state,
            "Key": state_key(partition_kind(0, 0)),
        }
        folder = tmp_path / "batch"
        folder.mkdir()
        workshop = Workshop(log, store, lake, engine, Snapshots(folder), folder, clock)
        # Every answer is remembered, and given again once it is an old one.
        proxy.set("stale", 1.0)
        with closing(DynamoClient(settings_of_proxy)) as client:
            answers: list[object] = []
            for first in range(0, len(events), 150):
                log.append(events[first : first + 150])
                work_to_the_end(log, store)
                answers.append(client.run(client.call("GetItem", position)))
                assert verify(workshop, f"{first}", lambda _: None).is_clean
        # Who does not ask for a consistent answer gets the first one again and again.
        assert proxy.struck("stale") == len(answers) - 1
        assert all(answer == answers[0] for answer in answers)
        right = stored_figures(store)
        damaged = victims_of(store)[:10]
        for victim in damaged:
            harm = record_deleted(victim, workshop.catalog(), Random(1))
            if harm is not None:
                tamper(store, victim, harm, partition_of(victim.user_id, 3))
        report = verify(workshop, "after", lambda _: None)
        assert not report.is_clean
        repair(workshop, suspects_of(report), "tester", lambda _: None)
        assert verify(workshop, "healed", lambda _: None).is_clean
        assert stored_figures(store) == right
        assert right == Oracle([pair.oracle for pair in pairs]).apply_all(events).figures()
        assert proxy.struck("stale") == len(answers) - 1
