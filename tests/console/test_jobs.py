"""Jobs: one at a time, each to its end or to a reason, and all of them remembered."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from console import job_bodies
from console.console_rig import launching, made_home
from rung import bootstrap
from rung.batch.lease import BatchRuns, only_job
from rung.console.jobs import KEPT_MAX, Job, Jobs, JobState, forget_jobs_of
from rung.console.kept import Kept
from rung.console.tasks import Task, TaskKind
from rung.console_home import opened_console
from rung.operations.errors import OperationRefused

VERIFY = Task(kind=TaskKind.VERIFY, who="bob")
_SECONDS = 60.0


def jobs_in(folder: Path, work: Callable[[Connection[Any, Any]], None]) -> Jobs:
    """Return the jobs of a folder."""
    return Jobs(folder, folder / "batch", launching(work), bootstrap.clock)


def ended(jobs: Jobs) -> None:
    """Wait until no job is under way."""
    deadline = time.monotonic() + _SECONDS
    while jobs.running() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def state_of(jobs: Jobs, job: Job) -> Job:
    """Return a job as it is now."""
    found = jobs.find(job.id)
    assert found is not None
    return found


def test_a_job_that_is_done(tmp_path: Path) -> None:
    """What a job gives is kept, and is there after a restart."""
    jobs = jobs_in(tmp_path, job_bodies.well)
    job = jobs.start(VERIFY)
    ended(jobs)
    again = jobs_in(tmp_path, job_bodies.well)
    for one in (jobs, again):
        found = state_of(one, job)
        assert (found.state, found.result, found.error) == (JobState.DONE, {"users": 2}, "")
        assert found.ended_at is not None
        assert one.last(TaskKind.VERIFY) == found
        assert one.last(TaskKind.VERIFY, who="ann") is None
        assert one.last(TaskKind.REPAIR) is None


def test_a_job_that_fails(tmp_path: Path) -> None:
    """Why a job failed is kept."""
    jobs = jobs_in(tmp_path, job_bodies.badly)
    job = jobs.start(VERIFY)
    ended(jobs)
    assert (state_of(jobs, job).state, state_of(jobs, job).error) == (JobState.FAILED, "the lake is away")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    """A job whose process is killed has failed, and the next one may start."""
    jobs = jobs_in(tmp_path, job_bodies.on_and_on)
    job = jobs.start(VERIFY)
    deadline = time.monotonic() + _SECONDS
    while state_of(jobs, job).told.total != 9:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert jobs.running() is not None
    process = jobs._process
    assert process is not None
    assert process.pid is not None
    signal.pidfd_send_signal(os.pidfd_open(process.pid), number)
    ended(jobs)
    assert state_of(jobs, job).state is JobState.FAILED
    assert f"exit code {-number}" in state_of(jobs, job).error
    assert "may be run again" in state_of(jobs, job).error
    jobs.start(VERIFY)
    jobs.stop()


def test_a_job_that_somebody_stops(tmp_path: Path) -> None:
    """A job that somebody stops says who, and the next one may start; one that has ended cannot be stopped."""
    jobs = jobs_in(tmp_path, job_bodies.on_and_on)
    job = jobs.start(VERIFY)
    jobs.stop_one(job.id, "ann")
    ended(jobs)
    stopped = state_of(jobs, job)
    assert stopped.state is JobState.STOPPED
    assert stopped.error == "ann stopped it: what it had not finished is not done, and it may be run again"
    with pytest.raises(OperationRefused, match="has ended already"):
        jobs.stop_one(job.id, "ann")
    following = jobs.start(VERIFY)
    with pytest.raises(OperationRefused, match="has ended already"):
        jobs.stop_one(job.id, "ann")
    jobs.stop()
    ended(jobs)
    assert state_of(jobs, following).state is JobState.FAILED


def test_a_job_that_says_nothing(tmp_path: Path) -> None:
    """A job that ends without a word has failed."""
    jobs = jobs_in(tmp_path, job_bodies.to_nothing)
    job = jobs.start(VERIFY)
    ended(jobs)
    assert "its process ended (exit code 0)" in state_of(jobs, job).error


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second job is refused with the name of the first and of who started it, also if that is elsewhere."""
    jobs = jobs_in(tmp_path, job_bodies.on_and_on)
    job = jobs.start(VERIFY)
    with pytest.raises(BatchRuns, match="Verify every user, started by bob"):
        jobs.start(VERIFY)
    assert jobs.recent()[0].id == job.id
    jobs.stop()
    ended(jobs)
    with (
        only_job(tmp_path / "batch", "close retail 2021-08"),
        pytest.raises(BatchRuns, match="close retail 2021-08"),
    ):
        jobs.start(VERIFY)
    assert len(jobs.recent()) == 1


def test_a_console_that_ended_before_its_job(tmp_path: Path) -> None:
    """A job that was under way when the console ended is told to have failed."""
    Kept(tmp_path / "jobs", Job).put(
        "20210803T100000.000000Z-verify", Job("20210803T100000.000000Z-verify", VERIFY, 1)
    )
    jobs = jobs_in(tmp_path, job_bodies.well)
    assert "the console ended before it" in jobs.recent()[0].error
    assert jobs.recent()[0].state is JobState.FAILED


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """Of very many jobs the oldest are forgotten; the folder and its files are their owner's alone."""
    kept = Kept(tmp_path / "jobs", Job)
    for number in range(KEPT_MAX + 3):
        kept.put(f"{number:06}", Job(f"{number:06}", VERIFY, number, JobState.DONE, number, result={}))
    jobs = jobs_in(tmp_path, job_bodies.well)
    jobs.start(VERIFY)
    ended(jobs)
    assert len(jobs.recent()) == KEPT_MAX
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "jobs").iterdir()} == {0o600}


def test_a_damaged_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A record that cannot be read is left out and logged; the others are there."""
    kept = Kept(tmp_path / "jobs", Job)
    kept.put("a", Job("a", VERIFY, 1, JobState.DONE, 1, result={}))
    (tmp_path / "jobs" / "b.json").write_text("{")
    assert [one.id for one in kept.all()] == ["a"]
    assert "record_damaged" in caplog.text


@pytest.mark.parametrize("record_id", ["", "..", "../accounts", "a/b", "a\0", ".hidden", "a" * 101])
def test_an_id_that_is_none(tmp_path: Path, record_id: str) -> None:
    """An id leads to a record of its own folder, or to none."""
    (tmp_path / "accounts.json").write_text("{}")
    assert Kept(tmp_path / "jobs", Job).find(record_id) is None


def test_a_real_job_that_cannot_begin(tmp_path: Path) -> None:
    """A real process tells an expected error as words: here a version that there is not."""
    console = opened_console(bootstrap.open_home(made_home(tmp_path)))
    try:
        job = console.jobs.start(Task(kind=TaskKind.BACKFILL, who="bob", campaign="small", version=7))
        ended(console.jobs)
        assert state_of(console.jobs, job).error == "campaign small has no version 7; there are: 0"
    finally:
        console.jobs.stop()
        console.services.close()


def test_jobs_of_an_erased_user(tmp_path: Path) -> None:
    """Jobs that tell of a user anywhere are forgotten, and no others: an id may be part of another one."""
    jobs = Kept(tmp_path / "jobs", Job)
    verify = Job("", VERIFY, 0)
    told = {
        "task": Job("", Task(kind=TaskKind.REPLAY, who="bob", user="7"), 0),
        "result": Job("", VERIFY, 0, result={"shown": [{"user_id": "7", "figures": [1]}]}),
        "error": Job("", VERIFY, 0, error="the lake has no event of user '7'"),
        "other": Job("", Task(kind=TaskKind.REPLAY, who="bob", user="77"), 0, result={"users": 7}),
        "verify": verify,
    }
    for name, job in told.items():
        jobs.put(name, job)
    assert forget_jobs_of(tmp_path, "7") == 3
    assert jobs.all() == [told["other"], verify]
    assert forget_jobs_of(tmp_path / "none", "7") == 0
