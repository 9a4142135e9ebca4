"""The console's jobs: one at a time, each in a process of its own, and what became of those before.

    HOME/console/jobs/ID.json    one for each job, the newest `KEPT_MAX`

A job that is cut short leaves no half result, and may be run again (`rung.batch`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final, TypeAlias, cast

import msgspec

from rung.batch.lease import BatchRuns, running_job
from rung.console.kept import Kept
from rung.console.tasks import Failed, Finished, Task, TaskKind, Told
from rung.dated import dated_id
from rung.operations.errors import OperationRefused

KEPT_MAX: Final = 200
_FOLDER: Final = "jobs"
_STOP_SECONDS: Final = 10.0
_CUT_SHORT: Final = "what it had not finished is not done, and it may be run again"

_log = logging.getLogger(__name__)

_Channel: TypeAlias = "Connection[Any, Any]"

Launch = Callable[[Task, _Channel], BaseProcess]
"""Starts a process that does a task, and sends `Told`, and at its end `Finished` or `Failed`."""

_decode: Final = msgspec.msgpack.Decoder(Told | Finished | Failed).decode


class JobState(StrEnum):
    """Where a job is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class Job(msgspec.Struct, frozen=True):
    """A job; times are microseconds since the epoch.

    `told` is the last that was told of it; `result` is what `rung.console.work` gives, once it is done;
    `error` tells why it failed, or who stopped it.
    """

    id: str
    task: Task
    started_at: int
    state: JobState = JobState.RUNNING
    ended_at: int | None = None
    told: Told = Told("starting")
    result: dict[str, Any] | None = None
    error: str = ""


class Jobs:
    """Starts jobs and remembers them. Safe to use from several threads."""

    def __init__(self, folder: Path, batch_folder: Path, launch: Launch, clock: Callable[[], int]) -> None:
        """Take up what is kept; jobs that ended with the console before are told to have failed."""
        self._kept = Kept(folder / _FOLDER, Job)
        self._batch_folder = batch_folder
        self._launch = launch
        self._clock = clock
        self._lock = Lock()
        self._running: Job | None = None
        self._process: BaseProcess | None = None
        self._stopped_by = ""
        self._watcher: Thread | None = None
        for job in self._kept.all():
            if job.state is JobState.RUNNING:
                self._end(job, JobState.FAILED, error=f"the console ended before it: {_CUT_SHORT}")

    def start(self, task: Task) -> Job:
        """Start a job, and return it.

        Raises:
            BatchRuns: another one is under way, here or elsewhere; the text says which.
        """
        with self._lock:
            if self._running is not None:
                raise BatchRuns(
                    f"a job is under way: {self._running.task.title}, started by {self._running.task.who}. "
                    "One runs at a time: wait for its end"
                )
            other = running_job(self._batch_folder)
            if other is not None:
                raise BatchRuns(f"a batch job is under way ({other}). One runs at a time: wait for its end")
            now = self._clock()
            job = Job(f"{dated_id(now)}-{task.kind}", task, now)
            self._kept.put(job.id, job)
            self._kept.keep(KEPT_MAX)
            # Where pipes are of another type depends on the system; Rung runs on POSIX alone.
            receiving, sending = cast("tuple[_Channel, _Channel]", Pipe(duplex=False))
            self._process = self._launch(task, sending)
            sending.close()
            self._running, self._stopped_by = job, ""
            self._watcher = Thread(target=self._watch, args=(job, self._process, receiving), name="job")
            self._watcher.start()
            return job

    def running(self) -> Job | None:
        """Return the job that is under way."""
        return self._running

    def find(self, job_id: str) -> Job | None:
        """Return a job, None if there is none or it is no longer kept."""
        running = self._running
        return running if running is not None and running.id == job_id else self._kept.find(job_id)

    def recent(self) -> Sequence[Job]:
        """Return all that are kept, the newest first."""
        running = self._running
        kept = [job for job in reversed(self._kept.all()) if running is None or job.id != running.id]
        return kept if running is None else [running, *kept]

    def last(self, kind: TaskKind, **of: object) -> Job | None:
        """Return the newest job of a kind that is done, and whose task has these values."""
        for job in self.recent():
            fits = all(getattr(job.task, name) == value for name, value in of.items())
            if fits and job.task.kind is kind and job.state is JobState.DONE:
                return job
        return None

    def stop_one(self, job_id: str, who: str) -> None:
        """Have a job end that is under way, because somebody asks for it; it ends soon.

        Raises:
            OperationRefused: it has ended already.
        """
        with self._lock:
            if self._running is None or self._running.id != job_id or self._process is None:
                raise OperationRefused("the job has ended already: there is nothing to stop")
            self._stopped_by = self._stopped_by or who
            self._process.terminate()

    def stop(self) -> None:
        """Stop the job that is under way, if one is, and wait for its end."""
        process, watcher = self._process, self._watcher
        if process is not None and process.is_alive():
            process.terminate()
        if watcher is not None:
            watcher.join(_STOP_SECONDS)

    def _watch(self, job: Job, process: BaseProcess, receiving: Connection) -> None:
        """Follow a job to its end."""
        ended = False
        # The other side is closed when the process ends, however it ends.
        with suppress(EOFError), receiving:
            while True:
                message: Told | Finished | Failed = _decode(receiving.recv_bytes())
                match message:
                    case Told():
                        job = msgspec.structs.replace(job, told=message)
                        self._running = job
                    case Finished(result):
                        ended = True
                        job = self._end(job, JobState.DONE, result=result)
                    case Failed(text):
                        ended = True
                        job = self._end(job, JobState.FAILED, error=text)
        process.join()
        if not ended and self._stopped_by:
            self._end(job, JobState.STOPPED, error=f"{self._stopped_by} stopped it: {_CUT_SHORT}")
        elif not ended:
            cause = f"its process ended (exit code {process.exitcode})"
            _log.error("job_ended", extra={"cause": f"{job.id}: {cause}"})
            self._end(job, JobState.FAILED, error=f"{cause}: {_CUT_SHORT}")
        with self._lock:
            self._running = self._process = None

    def _end(
        self, job: Job, state: JobState, *, result: dict[str, Any] | None = None, error: str = ""
    ) -> Job:
        ended = msgspec.structs.replace(job, state=state, ended_at=self._clock(), result=result, error=error)
        self._kept.put(ended.id, ended)
        return ended


def forget_jobs_of(folder: Path, user_id: str) -> int:
    """Delete the jobs of a console's folder that tell of a user, and return how many there were.

    What they did stands in the audit list, which names no user. The lease of batch jobs is held.
    """
    return Kept(folder / _FOLDER, Job).drop(lambda job: _tells_of(msgspec.to_builtins(job), user_id))


def _tells_of(value: Any, user_id: str) -> bool:
    match value:
        case str():
            return value == user_id or f"'{user_id}'" in value or f'"{user_id}"' in value
        case dict():
            return any(_tells_of(one, user_id) for one in cast("dict[str, Any]", value).values())
        case list():
            return any(_tells_of(one, user_id) for one in cast("list[Any]", value))
        case _:
            return False
