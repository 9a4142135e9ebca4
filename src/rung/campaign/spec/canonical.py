"""The canonical form of a campaign, and the identity of a version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from rung.campaign.calendar import Calendar
from rung.campaign.expression import Expression
from rung.campaign.model import (
    KEEP_MONTHS,
    AttributeType,
    Campaign,
    Effective,
    Measure,
    PostTo,
    Reward,
    Version,
)


def canonical(campaign: Campaign) -> str:
    """Return a campaign as one JSON document, which `load` reads back to an equal campaign."""
    document: dict[str, object] = {
        "campaign": campaign.name,
        "timezone": campaign.calendar.zone,
        "currency": campaign.currency,
        "period": campaign.calendar.kind.value,
        "effective": campaign.effective.value,
        "attributes": _types(campaign.attributes),
        "user_attributes": _types(campaign.user_attributes),
        "versions": [],
    }
    if campaign.counts_until is not None:
        document["counts_until"] = str(campaign.counts_until)
    if campaign.keep_months != KEEP_MONTHS:
        document["keep"] = f"{campaign.keep_months} months"
    versions: list[dict[str, object]] = []
    for version in campaign.versions:
        described: dict[str, object] = {"version": version.number}
        if version.counts_from is not None:
            described["counts_from"] = str(version.counts_from)
        versions.append(described | _body(version.measures, version.post_to, version.reward))
    document["versions"] = versions
    return _json(document)


def identity(
    calendar: Calendar,
    currency: str,
    effective: Effective,
    attributes: Mapping[str, AttributeType],
    user_attributes: Mapping[str, AttributeType],
    measures: tuple[Measure, ...],
    post_to: PostTo,
    reward: Reward,
) -> str:
    """Return the SHA-256 (hex) of everything that gives a version's figures and rates their meaning.

    The version's number and its place in the schedule are not part of it, nor is the order in which
    measures are written, nor attributes that the version does not use.
    """
    used = _names_used(measures, reward)
    document = {
        "timezone": calendar.zone,
        "currency": currency,
        "period": calendar.kind.value,
        "effective": effective.value,
        "attributes": _types({name: type_ for name, type_ in attributes.items() if name in used}),
        "user_attributes": _types(
            {name: type_ for name, type_ in user_attributes.items() if f"user.{name}" in used}
        ),
        **_body(measures, post_to, reward),
    }
    return hashlib.sha256(_json(document, sort_keys=True).encode()).hexdigest()


def rules(version: Version) -> str:
    """Return what a version itself says, as one canonical text: measures, refunds and reward."""
    return _json(_body(version.measures, version.post_to, version.reward), sort_keys=True)


def _body(measures: tuple[Measure, ...], post_to: PostTo, reward: Reward) -> dict[str, object]:
    described_measures: dict[str, dict[str, str]] = {}
    for measure in measures:
        described_measures[measure.name] = {measure.kind.value: measure.expression.text}
        if measure.where is not None:
            described_measures[measure.name]["where"] = measure.where.text
    described_reward: dict[str, object] = {"base_percent": str(reward.base_percent)}
    steps: list[dict[str, str]] = []
    for step in reward.steps:
        described = {"name": step.name, "add_percent": str(step.add_percent)}
        if step.when is not None:
            described["when"] = step.when.text
        if step.on is not None:
            described["on"] = step.on.text
        steps.append(described)
    described_reward["steps"] = steps
    limits = {"per_transaction": reward.cap.per_transaction, "per_period": reward.cap.per_period}
    if cap := {name: limit for name, limit in limits.items() if limit is not None}:
        described_reward["cap"] = cap
    described_reward["rounding"] = reward.rounding.value
    return {
        "measures": described_measures,
        "refunds": {"post_to": post_to.value},
        "reward": described_reward,
    }


def _names_used(measures: tuple[Measure, ...], reward: Reward) -> frozenset[str]:
    expressions: list[Expression | None] = []
    for measure in measures:
        expressions += [measure.expression, measure.where]
    for step in reward.steps:
        expressions += [step.when, step.on]
    return _names(expressions)


def _names(expressions: Iterable[Expression | None]) -> frozenset[str]:
    return frozenset(
        name for expression in expressions if expression is not None for name in expression.names
    )


def _types(types: Mapping[str, AttributeType]) -> dict[str, str]:
    return {name: type_.value for name, type_ in sorted(types.items())}


def _json(document: Mapping[str, object], *, sort_keys: bool = False) -> str:
    """Return JSON that YAML reads to the same text.

    YAML takes some characters as line breaks and refuses others, so all beyond ASCII are escaped but
    those that JSON would escape as a pair, which YAML does not join.
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
    return "".join(
        character if " " <= character <= "~" or ord(character) > 0xFFFF else f"\\u{ord(character):04x}"
        for character in text
    )
