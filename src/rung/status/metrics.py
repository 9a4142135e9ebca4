"""Metrics as Prometheus text: what the store has counted, the lag, and this process's requests."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from rung.log.port import LogError
from rung.status.lag import Lag, Stuck
from rung.store.port import Counters, StoreBusy, StoreError

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

BUCKETS_SECONDS: Final = (
    0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
)  # fmt: skip

_log = logging.getLogger(__name__)

_LABELS: Final = [*map(str, BUCKETS_SECONDS), "+Inf"]


class RequestMetrics:
    """Counts the requests of one process and how long each took; for one thread.

    Plain integers in lists: a request costs well under a microsecond here.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.counts: dict[tuple[str, int], int] = {}
        self.buckets: dict[str, list[int]] = {}
        self.seconds: dict[str, float] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one request. Routes are a small fixed set, never the text of a path."""
        key = route, status
        self.counts[key] = self.counts.get(key, 0) + 1
        if route not in self.buckets:
            self.buckets[route] = [0] * len(_LABELS)
            self.seconds[route] = 0.0
        self.buckets[route][bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.seconds[route] += seconds


class Exposition:
    """Renders all metrics; it reads the store and the log when it is asked to."""

    def __init__(
        self,
        counters: Callable[[], Counters],
        lag: Callable[[], Lag],
        requests: RequestMetrics,
        process: int,
    ) -> None:
        """Take the sources. `process` is this process's id: each API process counts its own requests."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Store(counters, lag))
        self._registry.register(_Requests(requests, str(process)))

    def render(self) -> bytes:
        """Return the metrics in Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)


class _Store(Collector):
    def __init__(self, counters: Callable[[], Counters], lag: Callable[[], Lag]) -> None:
        self._counters = counters
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        """Yield what can be told now: what the store or the log keeps to itself is missing."""
        try:
            yield from _work(self._counters())
            yield from _lag_metrics(self._lag())
        except (StoreError, StoreBusy, LogError) as error:
            _log.warning("metrics_incomplete", extra={"cause": str(error)})


def _work(counted: Counters) -> Iterator[Metric]:
    yield CounterMetricFamily("rung_events_applied", "Events applied.", counted.events)
    yield CounterMetricFamily(
        "rung_events_duplicate", "Events applied that brought nothing new.", counted.duplicates
    )
    quarantined = CounterMetricFamily(
        "rung_events_quarantined", "Events put into quarantine, by reason.", labels=["reason"]
    )
    for reason, count in sorted(counted.quarantined.items()):
        quarantined.add_metric([reason], count)
    yield quarantined
    yield CounterMetricFamily("rung_batches", "Micro-batches committed.", counted.batches)
    yield GaugeMetricFamily(
        "rung_last_batch_events", "Events in the last micro-batch.", counted.last_batch_events
    )
    yield GaugeMetricFamily(
        "rung_last_batch_timestamp_seconds",
        "When the last micro-batch was committed.",
        counted.last_batch_at / 1_000_000,
    )


def _lag_metrics(lag: Lag) -> Iterator[Metric]:
    ends = GaugeMetricFamily("rung_log_end_offset", "Offset of the next event.", labels=["partition"])
    applied = GaugeMetricFamily(
        "rung_applied_offset", "Offset of the last event applied; -1 for none.", labels=["partition"]
    )
    behind = GaugeMetricFamily("rung_lag_events", "Events in the log, not yet applied.", labels=["partition"])
    for partition, events in lag.events.items():
        labels = [str(partition)]
        ends.add_metric(labels, lag.ends[partition])
        applied.add_metric(labels, lag.applied[partition])
        behind.add_metric(labels, events)
    yield ends
    yield applied
    yield behind
    yield GaugeMetricFamily(
        "rung_lag_seconds", "How long the oldest event not yet applied has waited.", lag.seconds
    )
    stuck = GaugeMetricFamily(
        "rung_partition_stuck",
        "Whether a partition cannot go on, by the reason.",
        labels=["partition", "reason"],
    )
    for partition in lag.ends:
        for reason in Stuck:
            stuck.add_metric([str(partition), reason.value], lag.stuck.get(partition) is reason)
    yield stuck


class _Requests(Collector):
    def __init__(self, requests: RequestMetrics, process: str) -> None:
        self._requests = requests
        self._process = process

    def collect(self) -> Iterator[Metric]:
        counted = CounterMetricFamily(
            "rung_http_requests", "Requests answered by this process.", labels=["process", "route", "status"]
        )
        for (route, status), count in sorted(self._requests.counts.items()):
            counted.add_metric([self._process, route, str(status)], count)
        yield counted
        durations = HistogramMetricFamily(
            "rung_http_request_duration_seconds",
            "Time from a request's arrival in this process to its answer.",
            labels=["process", "route"],
        )
        for route, buckets in sorted(self._requests.buckets.items()):
            total = 0
            cumulated: list[tuple[str, float]] = []
            for label, count in zip(_LABELS, buckets, strict=True):
                total += count
                cumulated.append((label, total))
            durations.add_metric([self._process, route], cumulated, self._requests.seconds[route])
        yield durations
