"""The metrics, as /metrics and a verification show them."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from docs.generator.markdown import code, page, table
from rung.batch.proof.metrics import exposition as verification
from rung.batch.proof.report import FORMAT, Report
from rung.status.lag import Lag
from rung.status.metrics import Exposition, RequestMetrics
from rung.store.port import Counters


def metrics_page() -> str:
    """Return the page."""
    return page(
        "Metrics",
        "For operators: what `GET /metrics` exports, in Prometheus's text format. "
        "`deploy/` has a Grafana dashboard and alert rules that use these.",
        _table(exposed()),
        "Counts of events are kept in the store and written with the events' effects, so they are exact, "
        "and the same from every process that is asked. The metrics of requests are those of the process "
        "that answers, which the label `process` names. What neither the store nor the log can tell just "
        "now is missing from an answer.",
        "## Of the last verification",
        "`rung batch verify` writes these to `metrics/rung_verify.prom` in the folder of the batch jobs "
        "(`batch.folder`; `HOME/batch` by default), for the textfile collector of Prometheus's node "
        "exporter: name the folder in its `--collector.textfile.directory`.",
        _table(of_a_verification()),
    )


def _table(exposition: str) -> str:
    rows: list[tuple[str, ...]] = []
    for family in sorted(text_string_to_metric_families(exposition), key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = _labels(family.samples)
        rows.append((code(name), family.type, ", ".join(map(code, labels)), family.documentation))
    return table(("metric", "type", "labels", "meaning"), rows)


def exposed() -> str:
    """Return what a server exports that has one partition and has seen one of everything."""
    requests = RequestMetrics()
    requests.observe("/metrics", 200, 0.001)
    counters = Counters(quarantined={"bad_amount": 1})
    lag = Lag(starts={0: 0}, ends={0: 0}, applied={0: -1}, stuck={}, seconds=0.0)
    return Exposition(lambda: counters, lambda: lag, requests, process=1).render().decode()


def of_a_verification() -> str:
    """Return what a verification tells that had nothing to compare."""
    report = Report(
        format=FORMAT,
        id="none",
        started_at=0,
        ended_at=0,
        catalog_revision=0,
        positions={},
        users=0,
        figures=0,
        transactions=0,
        candidates=0,
        versions=[],
        incomplete=[],
        causes={},
        findings=[],
        strangers=[],
    )
    return verification(report)


def _labels(samples: Sequence[Sample]) -> list[str]:
    found = {label for sample in samples for label in sample.labels}
    return sorted(found - {"le"})
