"""The API of a home, wired."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from rung.access.subjects import AuthorisedUser
from rung.adapters import (
    Home,
    clock,
    kafka_event_bytes_max,
    log_of,
    opened_log,
    opened_store,
    partitions_of,
    standings_of,
)
from rung.api_gate import gate_of
from rung.log.late import LateLog
from rung.log.port import Log
from rung.status.api import Application, application
from rung.status.explanation import Explanation
from rung.status.parameters import ExplainQuery
from rung.status.services import Limits, Services
from rung.store.port import Store

Explain: TypeAlias = Callable[[Home, Store, "Log | None", AuthorisedUser, ExplainQuery], Explanation]
"""Tells the transactions behind a user's figures."""


def application_of(home: Home, explain: Explain) -> Application:
    """Return the API of a home, which keeps log and store open until it stops.

    `explain` is called with the log where that is embedded, and with None where it has to be opened.

    A log on servers is opened when it is needed, so that statuses are told while it cannot be reached.

    Raises:
        SettingsError: the keys, or the issuer's, cannot be used.
    """
    chosen = home.settings.api
    gate = gate_of(home)
    opened = ExitStack()
    store = opened.enter_context(opened_store(home, read_only=True))
    limits = Limits(lag_events_max=home.settings.worker.lag_events_max, streams_max=chosen.streams_max)
    if not home.has_kafka:
        log = opened.enter_context(opened_log(home))
        producer = log.producer()
        embedded = log
    else:
        log = producer = opened.enter_context(closing(LateLog(partial(log_of, home))))
        limits = replace(limits, event_bytes_max=kafka_event_bytes_max())
        embedded = None
    return application(
        Services(
            store=store,
            log=log,
            producer=producer,
            clock=clock,
            close=opened.close,
            gate=gate,
            explain=partial(explain, home, store, embedded),
            limits=limits,
            partitions=partial(partitions_of, home, store, log),
            standings=standings_of(home),
            allowed_origins=chosen.allowed_origins,
            store_is_remote=home.has_dynamodb,
            log_is_remote=home.has_kafka,
        )
    )
