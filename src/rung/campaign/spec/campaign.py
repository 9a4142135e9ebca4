"""Reads a whole spec and checks what holds across its versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from rung.campaign.calendar import Calendar, Period, PeriodKind, zones
from rung.campaign.model import KEEP_MONTHS, AttributeType, Campaign, Effective, Version
from rung.campaign.schedule import Entry, Schedule
from rung.campaign.spec.canonical import canonical, identity
from rung.campaign.spec.document import BYTES_MAX, DocumentError, Listing, Node, Table, read
from rung.campaign.spec.errors import InvalidSpec, SpecError
from rung.campaign.spec.reader import Reader
from rung.campaign.spec.version import Rules, VersionReader, read_period

VERSIONS_MAX = 100
"""The most versions of one campaign."""

KEEP_MONTHS_MAX = 120
"""The longest that a spec may have transactions kept."""

ATTRIBUTES_MAX = 64
"""The most attributes, and the most user attributes, of one campaign."""


def load(text: str, file: str) -> Campaign:
    """Read a spec.

    Args:
        text: the YAML text.
        file: the name to give in errors.

    Raises:
        InvalidSpec: the spec has errors; all of them are in it.
    """
    reader = Reader(file)
    try:
        document = read(text)
    except DocumentError as error:
        wrong = SpecError(file, error.line, error.column, error.message, error.suggestion)
        raise InvalidSpec([wrong]) from error
    campaign = _CampaignReader(reader).read(document)
    if reader.errors or campaign is None:
        raise InvalidSpec(reader.errors)
    size_bytes = len(canonical(campaign).encode())
    if size_bytes > BYTES_MAX:  # What is stored is the canonical form, which has to be read again.
        reader.error(1, 1, f"a spec has at most {BYTES_MAX} bytes, this one needs {size_bytes} when stored")
        raise InvalidSpec(reader.errors)
    return campaign


@dataclass(frozen=True, slots=True)
class _CampaignReader:
    reader: Reader

    def read(self, node: Node) -> Campaign | None:
        reader = self.reader
        fields = reader.fields(
            node,
            "a campaign",
            {"campaign": "step", "timezone": "Asia/Tokyo", "currency": "JPY", "versions": "[...]"},
            ("period", "effective", "attributes", "user_attributes", "counts_until", "keep"),
        )
        name = reader.label(fields["campaign"], "a campaign's name") if "campaign" in fields else None
        zone = self._zone(fields["timezone"]) if "timezone" in fields else None
        currency = self._currency(fields["currency"]) if "currency" in fields else None
        kind: PeriodKind | None = PeriodKind.MONTH
        if "period" in fields:
            kind = reader.choice(fields["period"], "period", PeriodKind)
        effective: Effective | None = Effective.NEXT
        if "effective" in fields:
            effective = reader.choice(fields["effective"], "effective", Effective)
        attributes = self._attributes(fields.get("attributes"), "attributes", "")
        user_attributes = self._attributes(fields.get("user_attributes"), "user_attributes", "user.")
        # Periods can be read even if the zone is wrong: no error is to hide another one.
        calendar = None if kind is None else Calendar(kind, zone or "UTC")
        counts_until = None
        if "counts_until" in fields:
            counts_until = read_period(reader, fields["counts_until"], "counts_until", calendar)
        keep_months: int | None = KEEP_MONTHS
        if "keep" in fields:
            keep_months = self._keep(fields["keep"])
        rules: list[Rules] = []
        if "versions" in fields:
            version_reader = VersionReader(reader, calendar, attributes, user_attributes)
            items = reader.items(fields["versions"], "versions", VERSIONS_MAX)
            if isinstance(fields["versions"], Listing) and not items:
                reader.error_at(fields["versions"], "a campaign needs a version", "add - version: 0")
            rules = [found for item in items if (found := version_reader.read(item)) is not None]
        self._check_schedule(rules, counts_until)
        if reader.errors or name is None or currency is None or effective is None or calendar is None:
            return None
        assert keep_months is not None, "there are no errors"
        versions: list[Version] = []
        for rule in sorted(rules, key=lambda rule: rule.number):
            assert rule.post_to is not None, "there are no errors"
            assert rule.reward is not None, "there are no errors"
            identity_ = identity(
                calendar,
                currency,
                effective,
                attributes,
                user_attributes,
                rule.measures,
                rule.post_to,
                rule.reward,
            )
            versions.append(
                Version(rule.number, rule.counts_from, rule.measures, rule.post_to, rule.reward, identity_)
            )
        entries = [
            Entry(version.counts_from, version.number)
            for version in versions
            if version.counts_from is not None
        ]
        return Campaign(
            name,
            calendar,
            currency,
            effective,
            attributes,
            user_attributes,
            tuple(versions),
            counts_until,
            Schedule(tuple(entries)),
            keep_months,
        )

    def _keep(self, node: Node) -> int | None:
        text = self.reader.text(node, "keep")
        if text is None:
            return None
        found = re.fullmatch(r"([1-9][0-9]{0,2}) months?", text.value)
        if found is None or int(found[1]) > KEEP_MONTHS_MAX:
            self.reader.error_at(
                text, f"keep is 1 to {KEEP_MONTHS_MAX} months, not {text.value}", "write it as 13 months"
            )
            return None
        return int(found[1])

    def _zone(self, node: Node) -> str | None:
        text = self.reader.text(node, "timezone")
        if text is None:
            return None
        if text.value not in zones():
            cities = [zone for zone in sorted(zones()) if zone.endswith(f"/{text.value}")]
            close = [*cities, *get_close_matches(text.value, sorted(zones()), n=1)]
            suggestion = f"did you mean {close[0]}?" if close else "write an IANA name such as Asia/Tokyo"
            self.reader.error_at(text, f"timezone {text.value} is unknown", suggestion)
            return None
        return text.value

    def _currency(self, node: Node) -> str | None:
        text = self.reader.text(node, "currency")
        if text is None:
            return None
        if re.fullmatch(r"[A-Z]{3}", text.value) is None:
            self.reader.error_at(
                text, f"currency is an ISO 4217 code, not {text.value}", "three capital letters such as JPY"
            )
            return None
        return text.value

    def _attributes(self, node: Node | None, what: str, prefix: str) -> dict[str, AttributeType]:
        if node is None:
            return {}
        entries = self.reader.entries(node, what)
        if not isinstance(node, Table):
            self.reader.declarations_unreadable = True
        if len(entries) > ATTRIBUTES_MAX:
            self.reader.error_at(entries[ATTRIBUTES_MAX][0], f"{what} has at most {ATTRIBUTES_MAX} entries")
        attributes: dict[str, AttributeType] = {}
        for key, value in entries[:ATTRIBUTES_MAX]:
            name = self.reader.identifier(key, "an attribute's name")
            type_ = self.reader.choice(value, "an attribute's type", AttributeType)
            if name is None or type_ is None:
                self.reader.undeclared.add(prefix + key.value)
            else:
                attributes[name] = type_
        return attributes

    def _check_schedule(self, rules: Iterable[Rules], counts_until: Period | None) -> None:
        """Note versions with one number, and months that do not follow the order of the numbers."""
        by_number: dict[int, Rules] = {}
        for rule in rules:
            if rule.number in by_number:
                line = by_number[rule.number].number_node.line
                self.reader.error_at(
                    rule.number_node,
                    f"version {rule.number} is there twice",
                    f"the first one is on line {line}",
                )
            by_number.setdefault(rule.number, rule)
        previous: tuple[int, Period] | None = None
        for rule in sorted(by_number.values(), key=lambda rule: rule.number):
            if rule.counts_from is None or rule.counts_from_node is None:
                continue
            if counts_until is not None and rule.counts_from > counts_until:
                counts_from = rule.counts_from
                self.reader.error_at(
                    rule.counts_from_node,
                    f"version {rule.number} counts from {counts_from}, after counts_until, {counts_until}",
                )
            if previous is not None and rule.counts_from <= previous[1]:
                self.reader.error_at(
                    rule.counts_from_node,
                    f"version {rule.number} counts from {rule.counts_from}, which is not after version "
                    f"{previous[0]}, {previous[1]}",
                )
            previous = rule.number, rule.counts_from
