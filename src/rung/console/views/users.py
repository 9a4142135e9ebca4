"""A user as the user is shown, and each transaction that stands behind the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET
from starlette.responses import Response

from rung.access.subjects import for_operator
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.campaign.model import Campaign
from rung.console.console import Asked, Console
from rung.console.forms import Mistake
from rung.console.views.shown import Shown, shown
from rung.console.wording import VERDICTS, money_measures
from rung.console.words import money_text
from rung.operations.catalog import period_of
from rung.operations.explaining import explain
from rung.status.explanation import Explanation
from rung.status.parameters import USER_ID_BYTES_MAX
from rung.status.view import AllOf, AnyOf, CampaignStatus, Comparison, Condition, StepStatus, UserStatus


@dataclass(frozen=True, slots=True)
class Bar:
    """A condition of a step: what it says, whether it is met, and how far it is, if that can be said."""

    text: str
    met: bool
    value: int | None = None
    target: int | None = None
    words: str = ""


def show(console: Console, asked: Asked) -> Response:
    """Ask for a user, or show the one that was asked for."""
    user = asked.query.text("id")
    values: dict[str, Any] = {"user": user, "status": None, "explained": None}
    if not user:
        return console.page(asked, "user.html", **values)
    if len(user.encode()) > USER_ID_BYTES_MAX:
        text = f"An id has at most {USER_ID_BYTES_MAX} bytes, this one has {len(user.encode()):,}."
        return console.page(asked, "user.html", 422, mistakes=[Mistake("id", text)], **values)
    catalog = console.catalog()
    found = shown(asked, lambda: console.reader.status(for_operator(user.encode()), asked.now))
    explained, chosen = _explained(console, asked, catalog, user)
    return console.page(
        asked,
        "user.html",
        user=user,
        status=found.value,
        trouble=found.trouble,
        cards=[] if found.value is None else _cards(catalog, found.value),
        explained=explained,
        chosen=chosen,
        campaigns=sorted(catalog.campaigns),
        verdicts=VERDICTS,
    )


@dataclass(frozen=True, slots=True)
class Card:
    """A campaign of a user: the status, how to write its amounts, and the bars of each step."""

    status: CampaignStatus
    currency: str
    money: frozenset[str]
    bars: tuple[tuple[StepStatus, tuple[Bar, ...]], ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The period that is explained, and those beside it."""

    campaign: Campaign
    period: str
    before: str
    after: str
    money: frozenset[str]


def _cards(catalog: Catalog, status: UserStatus) -> list[Card]:
    found: list[Card] = []
    for one in status.campaigns:
        campaign = catalog.campaigns[one.campaign]
        money: frozenset[str] = frozenset()
        steps: tuple[StepStatus, ...] = ()
        if one.counting is not None:
            counted = catalog.versions_of(one.campaign)[one.counting.version]
            money, steps = money_measures(counted.version), one.counting.steps
        bars = tuple(
            (step, tuple(_bar(condition, money, campaign.currency) for condition in step.conditions))
            for step in steps
        )
        found.append(Card(one, campaign.currency, money, bars))
    return found


def _bar(condition: Condition, money: frozenset[str], currency: str) -> Bar:
    match condition:
        case Comparison(expression, met, value, target) if value is not None:
            name = expression.partition(" ")[0]

            def write(number: int) -> str:
                return money_text(number, currency) if name in money else f"{number:,}"

            rest = condition.remaining
            missing = f", {write(rest)} to go" if rest is not UNSET and rest else ""
            return Bar(expression, met, value, target, f"{write(value)} of {write(target)}{missing}")
        case AnyOf(expression, met) | AllOf(expression, met):
            return Bar(expression, met)
        case _:
            return Bar(condition.expression, condition.met)


def _explained(
    console: Console, asked: Asked, catalog: Catalog, user: str
) -> tuple[Shown[Explanation] | None, Chosen | None]:
    """Return the explanation that was asked for: of a campaign (else the first) and a period (else now)."""
    name = asked.query.text("campaign") or next(iter(sorted(catalog.campaigns)), "")
    campaign = catalog.campaigns.get(name)
    if campaign is None:
        return None, None
    text = asked.query.text("period")
    current = campaign.calendar.period_at(asked.now)
    period = shown(asked, lambda: period_of(campaign, text)) if text else Shown(current)
    if period.value is None:
        return Shown(None, period.trouble), _chosen(catalog, campaign, current)
    services = console.services

    def explanation() -> Explanation:
        with services.open_log() as log:
            partitions = services.partitions()
            return explain(
                log, services.store, services.open_whole, partitions, user, name, str(period.value)
            )

    return shown(asked, explanation), _chosen(catalog, campaign, period.value)


def _chosen(catalog: Catalog, campaign: Campaign, period: Period) -> Chosen:
    serving = campaign.version_counting(period)
    money: frozenset[str] = frozenset()
    if serving is not None:
        money = money_measures(catalog.versions_of(campaign.name)[serving.number].version)
    return Chosen(campaign, str(period), str(period.previous()), str(period.next()), money)
