"""Which adapters a home has: log, store and the mirror of the quarantine are chosen and opened here.

A home is a folder: HOME/rung.toml, and for what is embedded HOME/log/, HOME/store/ and
HOME/worker.lock. LMDB allows a process to open a folder once, so a command opens the log and the
store here, once, and hands them on.

What an adapter needs is imported when it is opened: a home without servers loads nothing for them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from rung import settings as settings_module
from rung.lake.port import Lake
from rung.log.port import Log, LogError, LogIdentity, LogUnavailable, Position
from rung.properties import revealed
from rung.settings import FILE_NAME, Settings, SettingsError
from rung.store.backoff import Backoff
from rung.store.loop_port import StandingsInLoop
from rung.store.port import Quarantined, Store, StoreBusy

if TYPE_CHECKING:
    from rung.lake.archived import ArchivedLog
    from rung.log.kafka.dead_letters import DeadLetters
    from rung.log.kafka.settings import KafkaSettings
    from rung.store.dynamodb.settings import DynamoSettings

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class NotInitialised(Exception):
    """There is no home in the folder."""


@dataclass(frozen=True, slots=True)
class Home:
    """A data directory and its settings."""

    path: Path
    settings: Settings

    @property
    def log_folder(self) -> Path:
        """The folder of the embedded log."""
        return self.path / "log"

    @property
    def store_folder(self) -> Path:
        """The folder of the embedded store."""
        return self.path / "store"

    @property
    def lake_uri(self) -> str:
        """Where the lake is."""
        return self.settings.lake.uri or str(self.path / "lake")

    @property
    def batch_folder(self) -> Path:
        """Where the batch layer keeps its snapshots, reports and results."""
        return Path(self.settings.batch.folder) if self.settings.batch.folder else self.path / "batch"

    @property
    def console_folder(self) -> Path:
        """Where the console keeps its accounts, proposals and jobs."""
        return self.path / "console"

    @property
    def has_kafka(self) -> bool:
        """Whether the log is a topic; else it is embedded."""
        return self.settings.log.kind == "kafka"

    @property
    def has_dynamodb(self) -> bool:
        """Whether the store is tables; else it is embedded."""
        return self.settings.store.kind == "dynamodb"


def keys_path(home: Home) -> Path:
    """Return where a home has the keys of services."""
    return home.path / "keys.json"


def clock() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1_000


def open_home(path: Path) -> Home:
    """Return the home in a folder.

    Raises:
        NotInitialised: there is none.
        SettingsError: a setting is wrong.
    """
    if not (path / FILE_NAME).exists():
        raise NotInitialised(f"no Rung home in {path}: make one with `rung --home {path} init`")
    return Home(path, settings_module.load(path, os.environ))


@contextmanager
def opened_log(home: Home, *, read_only: bool = False) -> Generator[Log]:
    """Open the log, to append and to read, or only to read.

    Raises:
        LogUnavailable: it is on servers that cannot be reached.
        LogError: there is none, or it cannot be used.
    """
    with closing(log_of(home, read_only=read_only)) as log:
        yield log


def log_of(home: Home, *, read_only: bool = False, group: str = "") -> Log:
    """Return the log, open; see `opened_log`.

    Its consumers share the partitions with the workers, or with those of another group that is named.
    """
    if home.has_kafka:
        from rung.log.kafka.log import KafkaLog

        settings = kafka_settings(home)
        return KafkaLog.open(replace(settings, group_id=f"{settings.group_id}{group}"))

    from rung.log.embedded import EmbeddedLog

    chosen = home.settings.log
    if read_only:
        return EmbeddedLog.open_to_read(home.log_folder, chosen.map_bytes)
    return EmbeddedLog.open(home.log_folder, chosen.partitions, clock, chosen.map_bytes)


@contextmanager
def opened_store(home: Home, *, read_only: bool = False) -> Generator[Store]:
    """Open the store, to read and to write, or only to read.

    Raises:
        StoreBusy: it is on servers that cannot be reached.
        StoreError: there is none, or it cannot be used.
    """
    with closing(store_of(home, read_only=read_only)) as store:
        yield store


def store_of(home: Home, *, read_only: bool = False) -> Store:
    """Return the store, open; see `opened_store`."""
    if home.has_dynamodb:
        from rung.store.dynamodb.store import DynamoStore

        return DynamoStore.open(dynamo_settings(home))

    from rung.store.lmdb import LmdbStore

    return LmdbStore(home.store_folder, read_only=read_only, map_bytes=home.settings.store.map_bytes)


@contextmanager
def opened_lake(home: Home, log: LogIdentity | None = None) -> Generator[Lake]:
    """Open the lake, and make that of `log` where there is none.

    Raises:
        LakeError: there is none to open, it belongs to another log, or it cannot be used.
    """
    from rung.lake.delta import DeltaLake

    options = revealed(home.settings.lake.options)
    lake = (
        DeltaLake.open(home.lake_uri, options)
        if log is None
        else DeltaLake.create(home.lake_uri, log, options)
    )
    with closing(lake):
        yield lake


def upgrade_lake(home: Home) -> int | None:
    """Bring a lake of an earlier release to the form that is read now; see `DeltaLake.upgrade`.

    Raises:
        LakeError: there is none, it is of a later release, or it cannot be used.
    """
    from rung.lake.delta import DeltaLake

    return DeltaLake.upgrade(home.lake_uri, revealed(home.settings.lake.options))


@contextmanager
def opened_whole_log(home: Home, log: Log) -> Generator[ArchivedLog]:
    """Give an open log together with the lake, from which what was trimmed away is read.

    Raises:
        LakeError: there is no lake, it belongs to another log, or does not have what was trimmed away.
    """
    from rung.lake.archived import ArchivedLog

    with opened_lake(home) as lake:
        yield ArchivedLog.whole(log, lake)


def standings_of(home: Home) -> StandingsInLoop | None:
    """Return what reads the store in an event loop, None if the store has no such thing."""
    if not home.has_dynamodb:
        return None
    from rung.store.dynamodb.standings import DynamoStandingsInLoop

    return DynamoStandingsInLoop(dynamo_settings(home))


def kafka_settings(home: Home) -> KafkaSettings:
    """Return how to reach the log on Kafka.

    Raises:
        SettingsError: a setting cannot be used.
    """
    from rung.log.kafka.settings import KafkaSettings

    chosen = home.settings.kafka
    try:
        return KafkaSettings(
            bootstrap_servers=chosen.bootstrap_servers,
            topic=chosen.topic,
            group_id=chosen.group_id,
            quarantine_topic=chosen.quarantine_topic,
            group_protocol=chosen.group_protocol,
            session_timeout_seconds=chosen.session_timeout_seconds,
            delivery_timeout_seconds=chosen.delivery_timeout_seconds,
            client=revealed(chosen.client),
        )
    except LogError as error:
        raise SettingsError(f"{home.path / FILE_NAME}: [kafka]: {error}") from error


def dynamo_settings(home: Home) -> DynamoSettings:
    """Return how to reach the store on DynamoDB."""
    from rung.store.dynamodb.settings import DynamoSettings

    chosen = home.settings.dynamodb
    return DynamoSettings(
        region=chosen.region,
        endpoint_url=chosen.endpoint_url,
        table_prefix=chosen.table_prefix,
        request_timeout_seconds=chosen.request_timeout_seconds,
        attempts_max=chosen.attempts_max,
        concurrent_calls=chosen.concurrent_calls,
    )


def batch_events_max(home: Home) -> int:
    """Return the most events in one micro-batch: what is set, and what the store takes in good time."""
    if not home.has_dynamodb:
        return home.settings.worker.batch_events_max
    from rung.store.dynamodb.store import BATCH_EVENTS_MAX

    return min(home.settings.worker.batch_events_max, BATCH_EVENTS_MAX)


def kafka_event_bytes_max() -> int:
    """Return how large an event may be for any user: its record holds the user's id once more."""
    from rung.log.kafka.settings import EVENT_BYTES_MAX

    return EVENT_BYTES_MAX // 2


class _HasPartitions(Protocol):
    @property
    def partitions(self) -> int: ...


def partitions_of(home: Home, store: Store, log: _HasPartitions | None = None) -> int:
    """Return the log's number of partitions, which need not be reached if the store is bound to it.

    `log` is asked if it has to be; without one it is opened for that.

    Raises:
        LogUnavailable: the log has to be asked, and cannot be reached.
    """
    if not home.has_kafka:
        return home.settings.log.partitions
    bound = store.bound()
    if bound is not None:
        return bound.partitions
    if log is not None:
        return log.partitions
    with opened_log(home, read_only=True) as opened:
        return opened.partitions


class Mirror(Protocol):
    """A copy of the quarantine, for those who watch."""

    def put(self, quarantined: Sequence[Quarantined]) -> None:
        """Add events; the same may come again."""
        ...

    def forget(self, positions: Sequence[tuple[int, int]]) -> None:
        """Take out the events at positions; one that is not there is fine."""
        ...


class _NoMirror:
    """The mirror of a quarantine that only the store has."""

    def put(self, quarantined: Sequence[Quarantined]) -> None:
        """Do nothing."""

    def forget(self, positions: Sequence[tuple[int, int]]) -> None:
        """Do nothing."""


NO_MIRROR: Final[Mirror] = _NoMirror()


class _TopicMirror:
    """The mirror in a topic."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    def put(self, quarantined: Sequence[Quarantined]) -> None:
        from rung.log.kafka.dead_letters import DeadLetter

        self._letters.mirror(
            [
                DeadLetter(one.partition, one.offset, one.reason, one.detail, one.at, one.payload)
                for one in quarantined
            ]
        )

    def forget(self, positions: Sequence[tuple[int, int]]) -> None:
        self._letters.forget([Position(*position) for position in positions])


@contextmanager
def opened_mirror(home: Home) -> Generator[Mirror]:
    """Open the mirror of the quarantine; where there is none, what is given to it is dropped."""
    if not home.has_kafka or not home.settings.kafka.quarantine_topic:
        yield NO_MIRROR
        return
    from rung.log.kafka.dead_letters import DeadLetters

    with closing(DeadLetters(kafka_settings(home))) as letters:
        yield _TopicMirror(letters)


def when_reachable(
    opening: Callable[[], AbstractContextManager[_T]], stop: Event, opened: ExitStack, event: str
) -> _T | None:
    """Return what is opened as soon as log and store can be reached, None if `stop` is set before.

    Args:
        opening: Opens it.
        stop: Set when it is not wanted any more.
        opened: Closes it.
        event: What the process's log says whenever it has to wait.
    """
    backoff = Backoff()
    while not stop.is_set():
        with ExitStack() as trying:
            try:
                found = trying.enter_context(opening())
            except (LogUnavailable, StoreBusy) as error:
                seconds = backoff.next_seconds()
                _log.warning(event, extra={"seconds": seconds, "cause": str(error)})
            else:
                opened.push(trying.pop_all())
                return found
        stop.wait(seconds)
    return None
