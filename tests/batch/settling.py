"""A home in which periods are settled: real log, store and lake, and a clock that tests set."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from campaign_pairs import Pair
from harness import put_campaigns, work_to_the_end
from rung import bootstrap
from rung.batch.settlement.adjust import Adjusted, adjust
from rung.batch.settlement.close import Closing, Grace, close
from rung.batch.settlement.closed import Closed
from rung.batch.settlement.grants import Granted, grant
from rung.batch.settlement.settled import Settled
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.model import Campaign
from rung.log.embedded import EmbeddedLog
from rung.settings import FILE_NAME

LATER = "2031-01-01T00:00:00Z"
"""Long after all periods of the tests."""

Row = dict[str, object]


def nothing(*_: object) -> None:
    """Take anything, and say nothing."""


def instant(text: str) -> int:
    """Return microseconds since the epoch."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


@dataclass
class Scene:
    """A home with campaigns."""

    path: Path
    now: str = LATER

    @classmethod
    def make(cls, path: Path, *pairs: Pair) -> Scene:
        path.mkdir()
        (path / FILE_NAME).write_text("[log]\npartitions = 2\n[batch]\nthreads = 1\n", encoding="utf-8")
        bootstrap.initialise(path)
        with bootstrap.opened_store(bootstrap.open_home(path)) as store:
            put_campaigns(store, pairs)
        return cls(path)

    def feed(self, events: Sequence[bytes], *, apply: bool = True) -> None:
        """Append events, and apply them."""
        home = bootstrap.open_home(self.path)
        with bootstrap.opened_log(home) as log:
            assert isinstance(log, EmbeddedLog)
            if events:
                log.producer().append(events)
            if apply:
                with bootstrap.opened_store(home) as store:
                    work_to_the_end(log, store)

    @contextmanager
    def workshop(self) -> Generator[Workshop]:
        with bootstrap.opened_workshop(bootstrap.open_home(self.path), "test") as workshop:
            yield replace(workshop, clock=lambda: instant(self.now))

    def close(self, name: str, text: str, closing: Closing | None = None) -> tuple[Closed, bool]:
        default = Closing("tester", Grace(), 0.0, nothing)
        with self.workshop() as workshop:
            campaign, period = found(workshop, name, text)
            return close(workshop, campaign, period, closing or default, nothing, nothing)

    def grant(self, name: str, text: str) -> Granted:
        with self.workshop() as workshop:
            return grant(workshop, *found(workshop, name, text), "tester")

    def adjust(self, name: str, text: str) -> Adjusted:
        with self.workshop() as workshop:
            return adjust(workshop, *found(workshop, name, text), "tester")


def found(workshop: Workshop, name: str, text: str) -> tuple[Campaign, Period]:
    """Return a campaign and one of its periods."""
    campaign = workshop.catalog().campaigns[name]
    return campaign, Period.parse(text, campaign.calendar.kind)


def rows(*files: Settled) -> list[Row]:
    """Return the rows of settled files."""
    return [row for one in files for row in pq.read_table(one.rows).to_pylist()]
