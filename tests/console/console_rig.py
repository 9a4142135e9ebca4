"""A console on a real home, and people who use it as a browser does."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from argon2 import PasswordHasher
from httpx2 import Response
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cli.command import SPEC, purchase
from rung import bootstrap
from rung.campaign.calendar import Calendar, Period, PeriodKind
from rung.campaign.spec import load
from rung.console.accounts import Accounts
from rung.console.application import application
from rung.console.console import Console
from rung.console.roles import Role
from rung.console.routes import ROUTES
from rung.console.tasks import Task
from rung.console_home import opened_console
from rung.operations.author import Author
from rung.operations.catalog import apply_campaigns

ORIGIN: Final = "http://127.0.0.1:8090"
PASSWORD: Final = "correct horse battery"
PEOPLE: Final = {
    "vera": Role.VIEWER,
    "bob": Role.OPERATOR,
    "ann": Role.APPROVER,
    "cat": Role.APPROVER,
}
CHEAP: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Makes hashes that are looked at quickly: how long it takes is no matter of these tests."""
OWN: Final = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
"""What a browser says of a request from a page of the console."""
_TOKEN: Final = re.compile(r'name="csrf" value="([^"]+)"')
_ENDED_SECONDS: Final = 180.0


def no_jobs(task: Task, telling: Connection[Any, Any]) -> BaseProcess:
    """Refuse to start a job, where a test starts none."""
    raise AssertionError(f"nobody starts a job here: {task.title}")


def launching(
    work: Callable[[Connection[Any, Any]], None],
) -> Callable[[Task, Connection[Any, Any]], BaseProcess]:
    """Return what starts a process that does some work instead of a task's."""

    def launch(task: Task, telling: Connection[Any, Any]) -> BaseProcess:
        process = multiprocessing.get_context("spawn").Process(target=work, args=(telling,))
        process.start()
        return process

    return launch


@dataclass
class Person:
    """Somebody with a browser. What is posted carries the page's token, as a form does."""

    client: TestClient
    csrf: str = ""

    def sign_in(self, name: str, password: str = PASSWORD) -> Response:
        """Sign in, and keep the token of the page that follows."""
        answer = self.client.post("/sign-in", data={"name": name, "password": password}, headers=OWN)
        if answer.status_code == 303:
            found = _TOKEN.search(self.get("/").text)
            assert found is not None
            self.csrf = found[1]
        return answer

    def get(self, path: str, **headers: str) -> Response:
        """Ask for a page."""
        return self.client.get(path, headers={"sec-fetch-site": "same-origin", **headers})

    def post(
        self, path: str, fields: Mapping[str, str | list[str]] | None = None, **headers: str
    ) -> Response:
        """Send a form of the console."""
        return self.client.post(path, data={"csrf": self.csrf, **(fields or {})}, headers={**OWN, **headers})

    def fine(self, path: str, fields: Mapping[str, str | list[str]] | None = None) -> str:
        """Send a form that has to be taken, and return the page that it leads to."""
        answer = self.post(path, fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].partition("#")[0]

    def job(self, path: str, fields: Mapping[str, str] | None = None) -> str:
        """Send a form that starts a job, wait for the job's end, and return the page that it led to."""
        page = self.fine(path, fields)
        deadline = time.monotonic() + _ENDED_SECONDS
        while "A job runs" in self.get("/batch").text or "A job is under way" in self.get("/batch").text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return page


@dataclass
class Rig:
    """A console that runs."""

    home: Path
    console: Console
    app: Starlette
    people: dict[str, Person] = field(default_factory=dict[str, Person])

    def somebody(self) -> Person:
        """Return somebody who is not signed in."""
        return Person(TestClient(self.app, ORIGIN, follow_redirects=False))

    def person(self, name: str) -> Person:
        """Return somebody who is signed in."""
        if name not in self.people:
            one = self.somebody()
            assert one.sign_in(name).status_code == 303
            self.people[name] = one
        return self.people[name]


@contextmanager
def running(home: Path, launch: Callable[..., Any] | None = no_jobs) -> Generator[Rig]:
    """Run a console on a home, with four people; `launch` None starts real jobs."""
    add_people(home)
    console = opened_console(bootstrap.open_home(home), launch)
    app = application(console, ROUTES)
    # The samples of the overview are taken when a page is asked for: no thread runs beside a test.
    console.samples.start = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
    with TestClient(app, ORIGIN, follow_redirects=False):
        yield Rig(home, console, app)


def add_people(home: Path) -> None:
    """Give a home an account of each kind, and one more who approves."""
    accounts = Accounts(bootstrap.open_home(home).console_folder, CHEAP)
    for name, role in PEOPLE.items():
        if accounts.find(name) is None:
            accounts.add(name, role, PASSWORD, bootstrap.clock())


def made_home(folder: Path, spec: str = SPEC) -> Path:
    """Make a home with a campaign."""
    home = folder / "home"
    bootstrap.initialise(home)
    with bootstrap.opened_store(bootstrap.open_home(home)) as store:
        apply_campaigns(store, [load(spec, "spec")], bootstrap.clock, Author("ann", "at first"))
    return home


def send(home: Path, *events: str) -> None:
    """Append events to a home's log, and apply them."""
    opened = bootstrap.open_home(home)
    with (
        bootstrap.opened_log(opened) as log,
        bootstrap.opened_store(opened) as store,
        closing(log.producer()) as producer,
    ):
        producer.append([event.encode() for event in events])
        with closing(bootstrap.make_worker(opened, log, store)) as worker:
            while worker.step(0.0):
                pass


def current() -> Period:
    """Return the month that counts now, in UTC."""
    return Calendar(PeriodKind.MONTH, "UTC").period_at(bootstrap.clock())


def day_of(period: Period, day: int = 3) -> str:
    """Return a moment of a month."""
    return f"{period}-{day:02}T10:00:00Z"


def purchases(period: Period, users: int = 6) -> list[str]:
    """Return purchases of a month: user k has made k + 1 of them."""
    return [
        purchase(f"{period}-{user}-{number}", f"user-{user}", 400 + 100 * number, day_of(period, 1 + number))
        for user in range(users)
        for number in range(user + 1)
    ]
