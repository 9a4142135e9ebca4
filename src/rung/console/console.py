"""What the console's pages work with: the home's rooms, who is signed in, and how an answer is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, RedirectResponse, Response

from rung.campaign.catalog import Catalog
from rung.console.accounts import Account, Accounts
from rung.console.attempts import Attempts
from rung.console.forms import Form, Mistake
from rung.console.jobs import Jobs, Launch
from rung.console.kept import Kept
from rung.console.origin import Origin
from rung.console.pages import Pages
from rung.console.proposals import Proposal
from rung.console.roles import Permission, may
from rung.console.samples import Samples
from rung.console.sessions import Session, Sessions
from rung.console.settlements import SettlementRequest
from rung.console.words import Zoned
from rung.log.port import Log, Producer
from rung.operations.explaining import OpenWhole
from rung.operations.quarantined import Forget
from rung.status.lag import LogState
from rung.status.reader import StatusReader
from rung.store.port import Store

SEE_OTHER: Final = 303


@dataclass(frozen=True, slots=True)
class Services:
    """What the console stands on.

    Attributes:
        home: The home's name, for the head of each page.
        store: The store, open to read and to write.
        log: Tells how far the log is.
        producer: Appends to it.
        open_log: Opens it to read events.
        open_whole: Opens it together with the lake.
        open_mirror: Opens the quarantine's mirror, and gives what takes events out of it.
        partitions: Tells the log's number of partitions.
        worker: Tells which process applies events, None if none does; absent where that cannot be known.
        launch: Starts a job in a process of its own.
        folder: Where the console keeps its own records.
        batch_folder: Where the batch layer keeps its reports and results.
        clock: Gives microseconds since the epoch.
        close: Releases all this.
    """

    home: str
    store: Store
    log: LogState
    producer: Producer
    open_log: Callable[[], AbstractContextManager[Log]]
    open_whole: OpenWhole
    open_mirror: Callable[[], AbstractContextManager[Forget]]
    partitions: Callable[[], int]
    worker: Callable[[], str | None] | None
    launch: Launch
    folder: Path
    batch_folder: Path
    clock: Callable[[], int]
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, read and checked.

    `account` and `session` are of whoever is signed in, and absent only on routes that are open to everybody.
    `is_part` tells that a page asks for a part of itself.
    """

    id: str
    path: str
    parameters: Mapping[str, str]
    query: Form
    form: Form
    account: Account | None
    session: Session | None
    token: str
    is_part: bool
    now: int

    @property
    def who(self) -> str:
        """The name of whoever is signed in."""
        assert self.account is not None, "a route that names people asks for a permission"
        return self.account.name

    def may(self, permission: str) -> bool:
        """Tell whether whoever is signed in has a permission."""
        return self.account is not None and may(self.account.role, Permission(permission))

    def say(self, text: str) -> None:
        """Have the next page say something once."""
        assert self.session is not None, "a route that says something asks for a permission"
        self.session.notice = text


@dataclass(slots=True)
class Console:
    """Everything that is kept while the console runs."""

    services: Services
    accounts: Accounts
    origin: Origin
    timezone: str
    sessions: Sessions = field(default_factory=Sessions)
    attempts: Attempts = field(default_factory=Attempts)
    signing_in: Lock = field(default_factory=Lock)
    """One password is looked at at a time: each takes memory, and none slips past the limits."""
    changing: AbstractContextManager[object] = field(default_factory=RLock)
    """One proposal or request is changed at a time."""
    samples: Samples = field(init=False)
    jobs: Jobs = field(init=False)
    proposals: Kept[Proposal] = field(init=False)
    requests: Kept[SettlementRequest] = field(init=False)
    reader: StatusReader = field(init=False)
    zoned: Zoned = field(init=False)
    pages: Pages = field(init=False)

    def __post_init__(self) -> None:
        """Take up what the home has."""
        services = self.services
        self.zoned = Zoned(self.timezone)
        self.samples = Samples(services.store, services.log, services.clock)
        self.jobs = Jobs(services.folder, services.batch_folder, services.launch, services.clock)
        self.proposals = Kept(services.folder / "proposals", Proposal)
        self.requests = Kept(services.folder / "requests", SettlementRequest)
        self.reader = StatusReader(services.store, services.partitions)
        self.pages = Pages(self.zoned)

    def start(self) -> None:
        """Begin to look at lag and rate."""
        self.samples.start()

    def stop(self) -> None:
        """Stop the job that is under way, if one is, and release everything."""
        self.samples.stop()
        self.jobs.stop()
        self.services.close()

    def catalog(self) -> Catalog:
        """Return the catalog in force."""
        return self.reader.catalog()

    def page(self, asked: Asked, name: str, code: int = 200, **values: Any) -> Response:
        """Return a page, or a part of one."""
        running = self.jobs.running()
        shown: dict[str, Any] = {
            "asked": asked,
            "home": self.services.home,
            "zone": self.zoned.name,
            "now": asked.now,
            "running": running,
            "notice": "" if asked.session is None or asked.is_part else asked.session.take_notice(),
            "mistakes": (),
            "typed": {},
            **values,
        }
        return HTMLResponse(self.pages.render(name, shown), code)

    def form_again(
        self, asked: Asked, name: str, mistakes: list[Mistake], code: int = 422, **values: Any
    ) -> Response:
        """Return a page with what was typed into its form, and what is wrong with it."""
        return self.page(asked, name, code, mistakes=mistakes, typed=asked.form.kept(), **values)


def see(path: str, **query: str) -> Response:
    """Return the answer that leads on to a page."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, SEE_OTHER)
