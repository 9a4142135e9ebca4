"""Reading the topic for one worker: as a member of the group, from the worker's own positions.

The group only says who reads which partition. A grant starts nothing: a partition is read from the
moment that it is sought, and never from an offset that the group has kept. Events are handed out
once the topic is known to be the one that positions were told for, asked after they were fetched.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rung.log.kafka.cluster import Cluster, Question
from rung.log.kafka.errors import (
    POSITION_NAMES,
    TOPIC_NAMES,
    TopicMissing,
    as_log_error,
    error_of,
    explain,
    is_settled,
    translated,
)
from rung.log.kafka.fetched import Fetched
from rung.log.kafka.membership import Membership
from rung.log.kafka.refusals import check_same, out_of_range
from rung.log.kafka.settings import KafkaSettings, consumer_configuration
from rung.log.port import LogError, LogIdentity, LogReplaced, LogUnavailable, PositionOutOfRange, Slice

AHEAD_EVENTS_MIN: Final = 4_096
"""A small poll looks this far ahead, to take evenly from partitions that arrive one by one."""
MISSING_SECONDS: Final = 2.0
"""How long the topic has to be unknown to count as gone; a broker that has just started may not know it."""
ASK_EVERY_SECONDS: Final = 5.0
"""How often an idle consumer asks whether the topic is still the same."""
ANSWER_SECONDS_MAX: Final = 2.0
"""How long a poll waits for the answer; what was fetched is kept if there is none."""
_WAIT_SECONDS: Final = 0.25
"""The longest single wait within the client, which answers no signal meanwhile."""

_log: Final = logging.getLogger(__name__)


class KafkaConsumer:
    """Reads the partitions that the group grants; see `rung.log.port.Consumer`. For one thread."""

    def __init__(self, settings: KafkaSettings, cluster: Cluster, identity: LogIdentity) -> None:
        """Join the group. Nothing is read before a `seek`.

        Raises:
            LogError: a property of the client is wrong.
        """
        self._settings = settings
        self._cluster = cluster
        self._identity = identity
        self._fetched = Fetched()
        self._membership = Membership(self._fetched)
        self._lost: list[PositionOutOfRange] = []
        self._suspect = False
        self._question: Question | None = None
        self._asked_at = time.monotonic()
        self._missing_since: float | None = None
        self._troubled = False
        with translated(settings, "read"):
            self._consumer = Consumer(
                consumer_configuration(settings) | {"error_cb": self._note, "on_commit": self._committed}
            )
            self._consumer.subscribe(
                [settings.topic],
                on_assign=self._membership.on_assign,
                on_revoke=self._membership.on_revoke,
                on_lost=self._membership.on_revoke,
            )

    def identity(self) -> LogIdentity:
        """Return the identity of the topic that this consumer reads, and no other."""
        return self._identity

    def assignment(self) -> frozenset[int]:
        """Return the partitions that the group grants now.

        One that left and came back since the last call is missing once, so that it is sought anew.

        Raises:
            LogError: the group refuses this consumer.
        """
        self._fetch(1, 0)
        return self._membership.told()

    def seek(self, partition: int, offset: int) -> None:
        """Make the next `poll` of a partition start at an offset.

        Raises:
            PositionOutOfRange: retention has passed the offset, or it lies past the end.
            LogReplaced: the topic was made anew, or has other partitions.
            LogUnavailable: no broker answers in time.
            LogError: the partition is not granted to this consumer.
        """
        if partition >= self._identity.partitions:
            self._confirm()
            raise LogError(f"there is no partition {partition}: the log has {self._identity.partitions}")
        if partition not in self._membership.granted:
            raise LogError(f"partition {partition} is not assigned to this consumer: ask for the assignment")
        start = self._cluster.starts([partition])[partition]
        end = self._cluster.ends([partition])[partition]
        if not start <= offset <= end:
            self._confirm()
            raise out_of_range(partition, offset, start, end)
        self._stop(partition)
        self._fetched.start(partition, offset)
        self._membership.sought[partition] = offset

    def poll(self, events_max: int, bytes_max: int, wait_seconds: float) -> Sequence[Slice]:
        """Return what has been appended since, evenly from all sought partitions.

        A run of consecutive offsets is a slice; those of one partition come in order. Also returns,
        empty, as soon as the assignment changes. While no broker answers, nothing is returned, and
        what was fetched is kept for a later poll.

        Raises:
            PositionOutOfRange: retention has passed the next event, or the log lost its tail.
            LogReplaced: the topic was made anew, is gone, or has other partitions.
            LogError: nothing was sought, or the group or the broker refuses this consumer.
        """
        if events_max < 1 or bytes_max < 1:
            raise LogError("poll needs room for at least one event and one byte")
        if self._membership.waits_for_seek():
            raise LogError("seek a partition before poll: there is no default position")
        self._start()
        deadline = time.monotonic() + wait_seconds
        changes = self._membership.changes
        while True:
            if self._wants(events_max, bytes_max):
                self._fetch(max(events_max, AHEAD_EVENTS_MIN), 0)
            if self._fetched.events():
                return self._taken(events_max, bytes_max)
            self._look_around()
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0 or self._membership.changes != changes:
                return ()
            self._fetch(1, min(left_seconds, _WAIT_SECONDS))

    def leave(self, partition: int) -> None:
        """Read no more of a partition before it is sought again. It stays granted."""
        self._stop(partition)

    def rest(self, seconds: float) -> None:
        """Read nothing for a while, and stay the one that the partitions are assigned to.

        What the client has fetched ahead is let go, and fetched again afterwards.

        Raises:
            LogError: the group or the broker refuses this consumer.
        """
        deadline = time.monotonic() + seconds
        with translated(self._settings, "read"):
            self._consumer.pause([self._place(partition) for partition in self._membership.reading])
        try:
            while (left_seconds := deadline - time.monotonic()) > 0:
                self._fetch(1, min(left_seconds, _WAIT_SECONDS))
        finally:
            with translated(self._settings, "read"):
                self._consumer.resume([self._place(partition) for partition in self._membership.reading])

    def report(self, applied: Mapping[int, int]) -> None:
        """Commit to the group, for those who watch its lag, the last offset applied of some partitions."""
        offsets = [
            self._place(partition, offset + 1)
            for partition, offset in applied.items()
            if partition in self._membership.granted
        ]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as exception:
            self._committed(error_of(exception), offsets)

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition of the log, the offset that the next event will get.

        Where this consumer has read up to the end, offsets at the end that hold no event (the markers
        of transactions) are left out, since nothing of them can be applied.

        Raises:
            LogUnavailable: no broker answers in time.
        """
        ends = self._cluster.ends(range(self._identity.partitions))
        return self._fetched.without_empty_tails(ends)

    def close(self) -> None:
        """Leave the group at once. Closing twice is fine."""
        with translated(self._settings, "leave"):
            self._consumer.close()
        self._fetched.clear()

    def _place(self, partition: int, offset: int = -1_001) -> TopicPartition:
        return TopicPartition(self._settings.topic, partition, offset)

    def _wants(self, events_max: int, bytes_max: int) -> bool:
        """Tell whether to fetch, so that what is fetched ahead stays bounded."""
        waiting = self._fetched.events()
        return waiting < 2 * max(events_max, AHEAD_EVENTS_MIN) and (
            waiting < events_max or self._fetched.bytes() < 2 * bytes_max
        )

    def _fetch(self, events_max: int, wait_seconds: float) -> None:
        """Let the client work: it calls back about the group, and hands out messages and errors."""
        try:
            with translated(self._settings, "read"):
                messages = self._consumer.consume(events_max, wait_seconds)
        except BaseException:
            # What the client had in hand is gone: whoever goes on has to seek.
            self._fetched.clear()
            raise
        if not messages:
            return
        for message in self._fetched.put(messages):
            self._meet(message)

    def _meet(self, message: Message) -> None:
        """Deal with an error that the client hands out like a message."""
        error = message.error()
        if error is None:
            return
        partition = message.partition() or 0
        if error.name() in POSITION_NAMES:
            if partition in self._fetched:
                self._stop(partition)
                self._lost.append(
                    PositionOutOfRange(
                        f"the log no longer has the next event of partition {partition} "
                        f"({explain(self._settings, error)}): events would be missed; "
                        "aggregate again from a store or lake that has them",
                        partition,
                    )
                )
        elif error.name() in TOPIC_NAMES:
            self._suspect = True
        elif is_settled(error):
            raise as_log_error(self._settings, "read", error)
        else:
            self._note(error)

    def _start(self) -> None:
        """Read what was sought, all at once, so that it is fetched together."""
        sought = self._membership.sought
        if sought:
            with translated(self._settings, "read"):
                self._consumer.incremental_assign([self._place(*place) for place in sought.items()])
            self._membership.reading |= sought.keys()
            sought.clear()

    def _stop(self, partition: int) -> None:
        """Read a partition no longer. The client drops what it has fetched of it."""
        self._fetched.drop(partition)
        self._membership.sought.pop(partition, None)
        if partition in self._membership.reading:
            self._membership.reading.discard(partition)
            with translated(self._settings, "read"):
                self._consumer.incremental_unassign([self._place(partition)])

    def _taken(self, events_max: int, bytes_max: int) -> Sequence[Slice]:
        # Asked after the fetch, and answered while the slices are made.
        question = self._cluster.ask(ANSWER_SECONDS_MAX)
        self._asked_at = time.monotonic()
        taking = self._fetched.take(events_max, bytes_max)
        if not self._is_same(question):
            return ()
        self._fetched.settle(taking)
        return taking.slices

    def _look_around(self) -> None:
        """See now and then whether the topic is the same, and at once whether an error says that it is not.

        A topic that is gone gives no events and, for long, no errors.
        """
        doubtful = self._suspect or bool(self._lost) or self._missing_since is not None
        if self._question is None and (doubtful or time.monotonic() - self._asked_at > ASK_EVERY_SECONDS):
            self._question = self._cluster.ask(ANSWER_SECONDS_MAX)
            self._asked_at = time.monotonic()
        if self._question is None or not (doubtful or self._question.done()):
            return
        question, self._question = self._question, None
        if self._is_same(question):
            self._suspect = False
            if self._lost:
                raise self._lost.pop(0)

    def _confirm(self) -> None:
        """Raise if the topic is another one, or cannot be asked for."""
        check_same(self._settings, self._identity, self._cluster.identity())

    def _is_same(self, question: Question) -> bool:
        """Tell whether this is the topic that is read; False: that cannot be known now."""
        try:
            found = self._cluster.answer(question)
        except TopicMissing as error:
            now = time.monotonic()
            if self._missing_since is None:
                self._missing_since = now
            if now - self._missing_since < MISSING_SECONDS:
                time.sleep(0.1)
                return False
            raise LogReplaced(
                f"topic {self._settings.topic} is gone, and with it the log {self._identity.name} that was "
                "read so far; make it again, and a new store from all that is known"
            ) from error
        except LogUnavailable as error:
            self._warn(str(error))
            return False
        self._missing_since = None
        check_same(self._settings, self._identity, found)
        if self._troubled:
            self._troubled = False
            _log.info("topic %s can be read again", self._settings.topic)
        return True

    def _note(self, error: KafkaError) -> None:
        self._warn(explain(self._settings, error))

    def _warn(self, text: str) -> None:
        """Say once that there is trouble, until it is over; the client goes on trying."""
        level = logging.DEBUG if self._troubled else logging.WARNING
        self._troubled = True
        _log.log(level, "topic %s cannot be read now: %s", self._settings.topic, text)

    def _committed(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        for text in [str(error)] if error else [str(one.error) for one in offsets if one.error]:
            _log.debug("topic %s: the group does not take a position: %s", self._settings.topic, text)
