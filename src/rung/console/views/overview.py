"""The first page: what needs attention, how far everything is, and how it has been lately."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from starlette.responses import Response

from rung.batch.lease import running_job
from rung.batch.proof.gates import AGE_MAX_SECONDS
from rung.batch.proof.report import Report, Reports
from rung.campaign.catalog import Catalog
from rung.console.console import Asked, Console
from rung.console.jobs import JobState
from rung.console.proposals import ProposalState, approval_of
from rung.console.roles import Permission
from rung.console.samples import Sample
from rung.console.settlements import RequestState
from rung.console.views.one_change import every
from rung.console.views.shown import Shown, shown
from rung.console.words import count_text, duration_text
from rung.store.port import Quarantined

LAG_SECONDS_HIGH: Final = 60.0
QUARANTINE_LOOKED_AT: Final = 1_000
_CHART_POINTS_MAX: Final = 360
_MICROSECONDS: Final = 1_000_000
_DAY: Final = 86_400

Weight = Literal["danger", "warn", "info"]


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that somebody should look at: how grave it is, what it is, and where to go."""

    weight: Weight
    what: str
    link: str
    action: str


@dataclass(frozen=True, slots=True)
class Strip:
    """A campaign's counting period: how many of its days are over, and which rate is in force meanwhile."""

    campaign: str
    counting: str
    day: int
    days: int
    effective: str
    version: int | None


def show(console: Console, asked: Asked) -> Response:
    """Show the overview."""
    return console.page(asked, "overview.html", **_values(console, asked))


def live(console: Console, asked: Asked) -> Response:
    """Show what changes by itself, for the page that is open."""
    return console.page(asked, "part-overview.html", **_values(console, asked))


def series(console: Console, asked: Asked) -> Response:
    """Show lag and rate as a table, which the chart is drawn from, too."""
    return console.page(asked, "part-series.html", samples=_thinned(console))


def _values(console: Console, asked: Asked) -> dict[str, Any]:
    sample = console.samples.last()
    report = shown(asked, lambda: _last_report(console))
    catalog = shown(asked, console.catalog)
    quarantine = shown(asked, lambda: console.services.store.quarantine(None, QUARANTINE_LOOKED_AT + 1))
    parts = (console, asked, sample, report, catalog, quarantine)
    order: dict[Weight, int] = {"danger": 0, "warn": 1, "info": 2}
    return {
        "sample": sample,
        "report": report,
        "quarantine": quarantine,
        "quarantine_max": QUARANTINE_LOOKED_AT,
        "freshness": console.samples.freshness(),
        "attention": sorted(_attention(*parts), key=lambda one: order[one.weight]),
        "strips": [] if catalog.value is None else _strips(catalog.value, asked.now),
        "catalog": catalog,
        "job_elsewhere": None if console.jobs.running() else running_job(console.services.batch_folder),
        "samples": _thinned(console),
    }


def _thinned(console: Console) -> list[Sample]:
    """Return what the chart shows: not more points than it has room for, the newest always."""
    kept = console.samples.kept()
    step = -(-len(kept) // _CHART_POINTS_MAX) or 1
    return list(kept[::-1][::step][::-1])


def _last_report(console: Console) -> Report | None:
    reports = Reports(console.services.batch_folder)
    return reports.read("last") if reports.ids() else None


def _attention(
    console: Console,
    asked: Asked,
    sample: Sample,
    report: Shown[Report | None],
    catalog: Shown[Catalog],
    quarantine: Shown[Sequence[Quarantined]],
) -> Iterator[Attention]:
    yield from _traffic(console, sample)
    yield from _proofs(asked, report)
    if catalog.value is not None:
        yield from _versions(catalog.value)
        yield from _decisions(console, asked, catalog.value)
    if quarantine.value:
        yield Attention("warn", f"{_waiting(quarantine.value)} in quarantine", "/quarantine", "Look at them")
    last = next((job for job in console.jobs.recent() if job.state is not JobState.RUNNING), None)
    if last is not None and last.state is JobState.FAILED:
        yield Attention("warn", f"The last job failed: {last.task.title}", f"/jobs/{last.id}", "See why")


def _traffic(console: Console, sample: Sample) -> Iterator[Attention]:
    if sample.trouble:
        yield Attention("danger", f"Log or store do not answer: {sample.trouble}", "/", "Look again")
    if sample.lag is not None:
        for partition, reason in sorted(sample.lag.stuck.items()):
            yield Attention(
                "danger", f"Partition {partition} cannot go on: {reason.text}", "/lag", "See all partitions"
            )
        if sample.lag.seconds > LAG_SECONDS_HIGH:
            text = f"The oldest event has waited {duration_text(sample.lag.seconds)} to be applied"
            yield Attention("danger", text, "/lag", "See all partitions")
    worker = console.services.worker
    if worker is not None and worker() is None:
        yield Attention("warn", "No worker runs: events wait, and figures stand still", "/lag", "See the lag")


def _proofs(asked: Asked, report: Shown[Report | None]) -> Iterator[Attention]:
    if report.trouble:
        yield Attention("warn", report.trouble, "/batch", "Go to batch")
        return
    last = report.value
    if last is None:
        yield Attention("warn", "Nothing was verified yet", "/batch", "Verify")
        return
    link = f"/batch/reports/{last.id}"
    if not last.is_clean:
        wrong = count_text(len(last.findings) + len(last.strangers), "difference")
        yield Attention("danger", f"The last verification found {wrong}", link, "See them")
    age = (asked.now - last.ended_at) / _MICROSECONDS
    if age > AGE_MAX_SECONDS:
        yield Attention("warn", f"The last verification is {duration_text(age)} old", "/batch", "Verify")


def _versions(catalog: Catalog) -> Iterator[Attention]:
    for counted in catalog.versions:
        if not counted.complete:
            name, number = counted.campaign.name, counted.version.number
            text = f"Version {number} of {name} is partial: its past is not added"
            yield Attention("info", text, f"/campaigns/{name}", "See the campaign")


def _decisions(console: Console, asked: Asked, catalog: Catalog) -> Iterator[Attention]:
    for proposal in every(console):
        if (
            proposal.state is ProposalState.OPEN
            and proposal.campaign in catalog.campaigns
            and proposal.diff
            and approval_of(catalog, proposal) is None
            and asked.who not in proposal.authors
            and asked.may(Permission.APPROVE)
        ):
            text = f"{proposal.authors[0]} proposes version {proposal.version} of {proposal.campaign}"
            yield Attention("info", text, f"/changes/{proposal.id}", "Review it")
    for request in console.requests.all():
        if request.state is RequestState.OPEN and request.who != asked.who and asked.may(Permission.APPROVE):
            text = f"{request.who} asks to {request.kind} {request.period} of {request.campaign}"
            yield Attention("info", text, f"/requests/{request.id}", "Review it")


def _waiting(found: Sequence[Quarantined]) -> str:
    if len(found) > QUARANTINE_LOOKED_AT:
        return f"More than {QUARANTINE_LOOKED_AT:,} events are"
    return f"{count_text(len(found), 'event')} {'is' if len(found) == 1 else 'are'}"


def _strips(catalog: Catalog, now: int) -> list[Strip]:
    found: list[Strip] = []
    for name, campaign in sorted(catalog.campaigns.items()):
        calendar = campaign.calendar
        period = calendar.period_at(now)
        start, end = calendar.starts_at(period), calendar.ends_at(period)
        version = campaign.version_counting(period)
        effective = period.next() if campaign.effective == "next" else period
        found.append(
            Strip(
                name,
                str(period),
                min((now - start) // (_DAY * _MICROSECONDS) + 1, round((end - start) / _DAY / _MICROSECONDS)),
                round((end - start) / _DAY / _MICROSECONDS),
                str(effective),
                None if version is None else version.number,
            )
        )
    return found


def lag(console: Console, asked: Asked) -> Response:
    """Show how far each partition is applied."""
    sample = console.samples.look()
    return console.page(asked, "lag.html", sample=sample)
