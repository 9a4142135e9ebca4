"""The metrics, as /metrics shows them."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from docs.generator.markdown import code, page, table
from rung.status.lag import Lag
from rung.status.metrics import Exposition, RequestMetrics
from rung.store.port import Counters


def metrics_page() -> str:
    """Return the page."""
    rows: list[tuple[str, ...]] = []
    for family in sorted(text_string_to_metric_families(exposed()), key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = _labels(family.samples)
        rows.append((code(name), family.type, ", ".join(map(code, labels)), family.documentation))
    return page(
        "Metrics",
        "For operators: what `GET /metrics` exports, in Prometheus's text format. "
        "`deploy/` has a Grafana dashboard and alert rules that use these.",
        table(("metric", "type", "labels", "meaning"), rows),
        "Counts of events are kept in the store and written with the events' effects, so they are exact, "
        "and the same from every process that is asked. The metrics of requests are those of the process "
        "that answers, which the label `process` names. What neither the store nor the log can tell just "
        "now is missing from an answer.",
    )


def exposed() -> str:
    """Return what a server exports that has one partition and has seen one of everything."""
    requests = RequestMetrics()
    requests.observe("/metrics", 200, 0.001)
    counters = Counters(quarantined={"bad_amount": 1})
    lag = Lag(starts={0: 0}, ends={0: 0}, applied={0: -1}, stuck={}, seconds=0.0)
    return Exposition(lambda: counters, lambda: lag, requests, process=1).render().decode()


def _labels(samples: Sequence[Sample]) -> list[str]:
    found = {label for sample in samples for label in sample.labels}
    return sorted(found - {"le"})
