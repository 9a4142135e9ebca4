"""The reference that every figure of Rung is compared with: plain, slow, obvious Python.

It shares no code with Rung. Campaigns are Python data whose rules are Python functions, an event is read with
`json` and checked rule by rule, events are applied one at a time in the order given, and the figures are
summed from all merged histories whenever they are asked for.

A rule receives a purchase: a mapping with `amount`, `gross_amount`, `refunded_amount`, `day` (the local date
of the purchase) and the attributes; a declared attribute that is absent reads as None. A count's rule says
whether to count, a sum's rule gives the value to add, a distinct's rule gives the value to count; None adds
nothing.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias, cast
from zoneinfo import ZoneInfo

EVENT_BYTES_MAX = 64 * 1024
ID_BYTES_MAX = 128
AMOUNT_MAX = 10**12
ATTRIBUTE_INTEGER_MAX = 2**53
TIME_MIN = datetime(1970, 1, 2, tzinfo=UTC)
TIME_MAX = datetime(2100, 1, 1, tzinfo=UTC)
ENDS = ("CANCELED", "FAILED", "EXPIRED")
STATUSES = ("CREATED", "AUTHORIZED", "COMPLETED", "REFUNDED", *ENDS)
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)

Scalar: TypeAlias = str | int | bool | None
Purchase: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[Purchase], Scalar]


# --- campaigns as Python data ----------------------------------------------------------------------------


@dataclass(frozen=True)
class OracleStep:
    """A rung of the ladder. `when` receives the measures and the user attributes."""

    name: str
    when: Callable[[Mapping[str, int], Mapping[str, Any]], bool]
    add_percent: str
    limited: bool = False


@dataclass(frozen=True)
class OracleVersion:
    """One rule set: `measures` maps a name to its kind (count, sum or distinct) and its rule."""

    number: int
    counts_from: str | None
    measures: Mapping[str, tuple[str, Rule]]
    post_to: str = "purchase"
    base_percent: str = "0"
    steps: Sequence[OracleStep] = ()


@dataclass(frozen=True)
class OracleCampaign:
    """A promotion. `period` is month, week or day; periods are texts: 2021-08, 2021-W32, 2021-08-05."""

    name: str
    zone: str
    period: str
    versions: Sequence[OracleVersion]
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    user_attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    counts_until: str | None = None
    effective: str = "next"

    def local_day(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.zone)).date()

    def period_of(self, day: date) -> str:
        if self.period == "month":
            return f"{day.year:04}-{day.month:02}"
        if self.period == "week":
            year, week, _ = day.isocalendar()
            return f"{year:04}-W{week:02}"
        return day.isoformat()

    def period_before(self, day: date) -> str:
        """Return the period before the one that a day lies in."""
        first = day
        while self.period_of(first) == self.period_of(day):
            first -= timedelta(days=1)
        return self.period_of(first)

    def serving(self, period: str) -> OracleVersion | None:
        """Return the version that the schedule gives a period to. Texts of one kind sort like the periods."""
        if self.counts_until is not None and period > self.counts_until:
            return None
        started = [v for v in self.versions if v.counts_from is not None and v.counts_from <= period]
        return max(started, key=lambda version: version.counts_from or "", default=None)

    def counts(self, version: OracleVersion, period: str) -> bool:
        """Return whether a version counts a period: a shadow version counts every one."""
        return version.counts_from is None or self.serving(period) is version


# --- events ----------------------------------------------------------------------------------------------


class Bad(Exception):
    """An event that belongs in quarantine; the text is the reason code."""


@dataclass(frozen=True)
class OracleTransaction:
    """One event of a transaction, or what all its events together say."""

    transaction_id: str
    user_id: str
    attributes: Mapping[str, Scalar]
    history: tuple[tuple[str, datetime, int], ...]


@dataclass(frozen=True)
class OracleUserAttributes:
    """One event with a user's attributes."""

    user_id: str
    sequence: int
    values: Mapping[str, Scalar]


def require(holds: bool, reason: str) -> None:
    if not holds:
        raise Bad(reason)


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def same(left: Mapping[str, object], right: Mapping[str, object]) -> bool:
    """Compare as JSON does, where 1 and true differ."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def not_a_number(text: str) -> float:
    raise ValueError(text)  # NaN and Infinity are not JSON


def read_event(
    payload: bytes, attributes: Mapping[str, str], user_attributes: Mapping[str, str]
) -> OracleTransaction | OracleUserAttributes:
    """Read and check one event by itself; the attributes' declared types are given.

    Raises:
        Bad: the event belongs in quarantine.
    """
    require(len(payload) <= EVENT_BYTES_MAX, "event_too_large")
    try:
        event = json.loads(payload.decode("utf-8"), parse_constant=not_a_number)
        json.dumps(event, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Bad("not_json") from None
    require(isinstance(event, dict), "not_an_object")
    user_id = read_id(event, "user_id")
    if "transaction_id" not in event and "history" not in event:
        require("user_attributes" in event and "sequence" in event, "missing_field")
        sequence = event["sequence"]
        require(is_integer(sequence) and 0 <= sequence < 2**63, "wrong_type")
        values = read_attributes(event["user_attributes"], user_attributes)
        return OracleUserAttributes(user_id, sequence, values)
    transaction_id = read_id(event, "transaction_id")
    require("history" in event, "missing_field")
    require(isinstance(event["history"], list), "wrong_type")
    history = tuple(read_step(step) for step in event["history"])
    check_history(history)
    values = read_attributes(event.get("attributes"), attributes)
    return OracleTransaction(transaction_id, user_id, values, history)


def read_id(event: Mapping[str, Any], name: str) -> str:
    require(name in event, "missing_field")
    value = event[name]
    require(isinstance(value, str), "wrong_type")
    require(value != "", "bad_id")
    require(len(value.encode()) <= ID_BYTES_MAX, "id_too_long")
    return value


def read_attributes(given: Any, declared: Mapping[str, str]) -> dict[str, Scalar]:
    """Return what is given, without nulls; what is declared has its declared type."""
    require(given is None or isinstance(given, dict), "attribute_type")
    found = cast("Mapping[str, Any]", given or {})
    values = {name: value for name, value in found.items() if value is not None}
    for name, value in values.items():
        require(is_of_type(value, declared.get(name)), "attribute_type")
    return values


def is_of_type(value: Any, kind: str | None) -> bool:
    """Tell whether a value is of a declared type; None is the type of what is not declared."""
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    return kind is None or (is_integer(value) and abs(value) <= ATTRIBUTE_INTEGER_MAX)


def known(values: Mapping[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    """Return the value of each declared attribute, None if what was told before is not of its type."""
    return {
        name: values[name] if name in values and is_of_type(values[name], kind) else None
        for name, kind in declared.items()
    }


def read_step(step: Any) -> tuple[str, datetime, int]:
    require(isinstance(step, dict), "wrong_type")
    for name in ("status", "at", "amount"):
        require(name in step, "missing_field")
    status, at, amount = step["status"], step["at"], step["amount"]
    require(isinstance(status, str) and status in STATUSES, "unknown_status")
    require(is_integer(amount) and 0 <= amount <= AMOUNT_MAX, "bad_amount")
    return status, read_time(at), amount


def read_time(text: Any) -> datetime:
    """Read RFC 3339; what is finer than a microsecond is cut off."""
    require(isinstance(text, str) and RFC_3339.fullmatch(text) is not None, "bad_time")
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Bad("bad_time") from None
    require(TIME_MIN <= at < TIME_MAX, "bad_time")
    return at


def check_history(history: Sequence[tuple[str, datetime, int]]) -> None:
    require(len(history) > 0, "empty_history")
    completed: int | None = None
    refunded, ended = 0, False
    for status, _, amount in history:
        if status == "COMPLETED":
            require(completed is None, "completed_twice")
            require(not ended, "completed_after_end")
            completed = amount
        elif status == "REFUNDED":
            require(completed is not None, "refund_before_completion")
            refunded += amount
            require(refunded <= (completed or 0), "refund_above_amount")
        elif status in ENDS:
            ended = True


# --- the state after a sequence of events ----------------------------------------------------------------

FigureKey: TypeAlias = tuple[str, int, str, str, str]
"""Campaign, version, user, measure, period."""


class Oracle:
    """What the figures must be after the events applied so far, in the order applied."""

    def __init__(self, campaigns: Sequence[OracleCampaign]) -> None:
        self.campaigns: dict[str, OracleCampaign] = {}
        self.attributes: dict[str, str] = {}
        self.user_attribute_types: dict[str, str] = {}
        self.started: dict[tuple[str, int], dict[str, OracleTransaction]] = {}
        self.transactions: dict[str, OracleTransaction] = {}
        self.user_attributes: dict[str, OracleUserAttributes] = {}
        self.quarantined: list[tuple[int, str]] = []
        self.events = 0
        for campaign in campaigns:
            self.put(campaign)

    def put(self, campaign: OracleCampaign) -> None:
        """Add or replace a campaign. A version that was not there before counts what comes from here on."""
        self.campaigns[campaign.name] = campaign
        self.attributes |= campaign.attributes
        self.user_attribute_types |= campaign.user_attributes
        for version in campaign.versions:
            self.started.setdefault((campaign.name, version.number), dict(self.transactions))

    def apply_all(self, payloads: Iterable[bytes]) -> Oracle:
        for payload in payloads:
            self.apply(payload)
        return self

    def apply(self, payload: bytes) -> str | None:
        """Apply one event and return why it was quarantined, or None. `quarantined` numbers events from 0."""
        number, self.events = self.events, self.events + 1
        try:
            event = read_event(payload, self.attributes, self.user_attribute_types)
            if isinstance(event, OracleTransaction):
                self.merge(event)
            else:
                self.replace(event)
        except Bad as bad:
            self.quarantined.append((number, str(bad)))
            return str(bad)
        return None

    def merge(self, event: OracleTransaction) -> None:
        stored = self.transactions.get(event.transaction_id)
        if stored is None:
            self.transactions[event.transaction_id] = event
            return
        require(event.user_id == stored.user_id, "user_changed")
        require(same(event.attributes, stored.attributes), "attributes_changed")
        shared = min(len(event.history), len(stored.history))
        require(event.history[:shared] == stored.history[:shared], "history_conflict")
        if len(event.history) > len(stored.history):
            self.transactions[event.transaction_id] = event

    def replace(self, event: OracleUserAttributes) -> None:
        stored = self.user_attributes.get(event.user_id)
        if stored is not None and event.sequence == stored.sequence:
            require(same(event.values, stored.values), "sequence_conflict")
        if stored is None or event.sequence > stored.sequence:
            self.user_attributes[event.user_id] = event

    def counters(self) -> dict[FigureKey, dict[Scalar, int]]:
        """Return, per figure, the counter of each value; a count and a sum have the one value None."""
        counters: dict[FigureKey, dict[Scalar, int]] = defaultdict(lambda: defaultdict(int))
        for campaign in self.campaigns.values():
            for version in campaign.versions:
                before = self.started[campaign.name, version.number]
                for sign, transactions in ((1, self.transactions), (-1, before)):
                    for transaction in transactions.values():
                        for period, measure, value, change in contributions(campaign, version, transaction):
                            key = (campaign.name, version.number, transaction.user_id, measure, period)
                            counters[key][value] += sign * change
        return counters

    def figures(self) -> dict[FigureKey, int]:
        """Return every figure but zeros: a distinct is its number of values with a counter above 0."""
        kinds = {
            (c.name, version.number, name): kind
            for c in self.campaigns.values()
            for version in c.versions
            for name, (kind, _) in version.measures.items()
        }
        figures: dict[FigureKey, int] = {}
        for key, counter in self.counters().items():
            campaign, version, _, measure, _ = key
            distinct = kinds[campaign, version, measure] == "distinct"
            figures[key] = sum(n > 0 for n in counter.values()) if distinct else counter[None]
        return {key: figure for key, figure in figures.items() if figure != 0}

    def status(
        self, user_id: str, campaign: OracleCampaign, at: datetime, figures: Mapping[FigureKey, int]
    ) -> dict[str, dict[str, object] | None]:
        """Return the counting and the effective standing of a user, from all figures."""
        today = campaign.local_day(at)
        this = campaign.period_of(today)
        earned_in = campaign.period_before(today) if campaign.effective == "next" else this
        return {
            "counting": self.standing(user_id, campaign, this, figures),
            "effective": self.standing(user_id, campaign, earned_in, figures),
        }

    def standing(
        self, user_id: str, campaign: OracleCampaign, period: str, figures: Mapping[FigureKey, int]
    ) -> dict[str, object] | None:
        """Return the version that serves a period, the measures, the rate and the steps met."""
        version = campaign.serving(period)
        if version is None:
            return None
        measures = {
            name: figures.get((campaign.name, version.number, user_id, name, period), 0)
            for name in version.measures
        }
        told = self.user_attributes.get(user_id)
        user = known({} if told is None else told.values, campaign.user_attributes)
        met = {step.name: step.when(measures, user) for step in version.steps}
        rate = Decimal(version.base_percent)
        for step in version.steps:
            if met[step.name] and not step.limited:
                rate += Decimal(step.add_percent)
        return {
            "period": period,
            "version": version.number,
            "measures": measures,
            "rate_percent": rate,
            "steps": met,
        }


def contributions(
    campaign: OracleCampaign, version: OracleVersion, transaction: OracleTransaction
) -> list[tuple[str, str, Scalar, int]]:
    """Return what one merged history adds: (period, measure, value, change)."""
    history = transaction.history
    purchased = [at for status, at, _ in history if status == "COMPLETED"]
    if not purchased:
        return []
    vectors = [
        measured(campaign, version, transaction.attributes, history[:k]) for k in range(len(history) + 1)
    ]
    added: list[tuple[str, str, Scalar, int]] = []
    for k in range(1, len(history) + 1):
        at = history[k - 1][1] if version.post_to == "refund" else purchased[0]
        period = campaign.period_of(campaign.local_day(at))
        if campaign.counts(version, period):
            for sign, vector in ((1, vectors[k]), (-1, vectors[k - 1])):
                added += [(period, measure, value, sign * amount) for measure, value, amount in vector]
    return added


def measured(
    campaign: OracleCampaign,
    version: OracleVersion,
    attributes: Mapping[str, Scalar],
    steps: Sequence[tuple[str, datetime, int]],
) -> list[tuple[str, Scalar, int]]:
    """Return the measure vector of the first steps of a history: (measure, value, amount)."""
    completed = [(at, amount) for status, at, amount in steps if status == "COMPLETED"]
    refunded = sum(amount for status, _, amount in steps if status == "REFUNDED")
    if not completed or any(status in ENDS for status, _, _ in steps):
        return []
    at, gross = completed[0]
    if refunded > 0 and refunded == gross:
        return []
    purchase: dict[str, Any] = known(attributes, campaign.attributes)
    purchase |= {"amount": gross - refunded, "gross_amount": gross, "refunded_amount": refunded}
    purchase["day"] = campaign.local_day(at).isoformat()
    vector: list[tuple[str, Scalar, int]] = []
    for name, (kind, rule) in version.measures.items():
        value = rule(purchase)
        if kind == "count" and value is True:
            vector.append((name, None, 1))
        elif kind == "sum" and value is not None:
            assert isinstance(value, int)
            vector.append((name, None, value))
        elif kind == "distinct" and value is not None:
            vector.append((name, value, 1))
    return vector
