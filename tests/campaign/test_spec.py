"""A right spec: what is read from it, its defaults, its canonical form and its versions' identities."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.campaign.calendar import Calendar, Period, PeriodKind
from rung.campaign.model import (
    AttributeType,
    Cap,
    Effective,
    MeasureKind,
    PostTo,
    Rounding,
    Version,
)
from rung.campaign.spec import InvalidSpec, canonical, load

FULL = """\
campaign: step-up
timezone: Europe/London
currency: GBP
period: week
effective: same
counts_until: 2021-W52
attributes: {service: string, lines: integer, gift: boolean}
user_attributes: {premium: boolean, level: integer}
versions:
  - version: 3
    measures:
      shadowed: {count: "gift"}
    reward: {base_percent: 0}
  - version: 1
    counts_from: 2021-W32
    measures:
      payments: {count: "amount >= 300", where: "NOT gift"}
      total: {sum: gross_amount - 2 * refunded_amount}
      days: {distinct: day}
      services: {distinct: service, where: "lines BETWEEN 1 AND 5"}
    refunds: {post_to: refund}
    reward:
      base_percent: "0.50"
      steps:
        - {name: gold, when: "payments >= 30 AND user.premium", add_percent: 0.125, on: "service = 'mall'"}
        - {name: all, add_percent: "1000"}
      cap: {per_transaction: 100, per_period: 1000}
      rounding: half_even
"""
SMALL = """\
campaign: small
timezone: Asia/Tokyo
currency: JPY
versions:
  - version: 0
    counts_from: 2021-08
    measures: {payments: {count: amount >= 100}}
    reward: {base_percent: 1}
"""


def test_everything_is_read() -> None:
    """Each key of a spec reaches its place in the campaign."""
    campaign = load(FULL, "full.yaml")
    assert campaign.name == "step-up"
    assert campaign.calendar == Calendar(PeriodKind.WEEK, "Europe/London")
    assert (campaign.currency, campaign.effective) == ("GBP", Effective.SAME)
    assert campaign.counts_until == Period.parse("2021-W52", PeriodKind.WEEK)
    assert campaign.attributes == {
        "service": AttributeType.STRING,
        "lines": AttributeType.INTEGER,
        "gift": AttributeType.BOOLEAN,
    }
    assert campaign.user_attributes == {"premium": AttributeType.BOOLEAN, "level": AttributeType.INTEGER}
    version, shadow = campaign.versions
    assert (version.number, shadow.number) == (1, 3)
    assert version.counts_from == Period.parse("2021-W32", PeriodKind.WEEK)
    assert shadow.counts_from is None
    assert version.post_to is PostTo.REFUND
    assert [
        (measure.name, measure.kind, measure.expression.text, measure.where and measure.where.text)
        for measure in version.measures
    ] == [
        ("payments", MeasureKind.COUNT, "amount >= 300", "NOT gift"),
        ("total", MeasureKind.SUM, "gross_amount - 2 * refunded_amount", None),
        ("days", MeasureKind.DISTINCT, "day", None),
        ("services", MeasureKind.DISTINCT, "service", "lines BETWEEN 1 AND 5"),
    ]
    assert version.reward.base_percent == Decimal("0.5")
    assert version.reward.cap == Cap(per_transaction=100, per_period=1000)
    assert version.reward.rounding is Rounding.HALF_EVEN
    gold, everyone = version.reward.steps
    assert gold.when is not None
    assert gold.on is not None
    assert (gold.name, gold.when.text) == ("gold", "payments >= 30 AND user.premium")
    assert (gold.on.text, str(gold.add_percent)) == ("service = 'mall'", "0.125")
    assert (everyone.name, everyone.when, everyone.on) == ("all", None, None)
    assert str(everyone.add_percent) == "1000"


def test_defaults() -> None:
    """What a spec leaves out has the value that the documentation says."""
    campaign = load(SMALL, "small.yaml")
    assert campaign.calendar.kind is PeriodKind.MONTH
    assert (campaign.effective, campaign.counts_until) == (Effective.NEXT, None)
    assert (campaign.attributes, campaign.user_attributes) == ({}, {})
    (version,) = campaign.versions
    assert (version.post_to, version.reward.rounding) == (PostTo.PURCHASE, Rounding.DOWN)
    assert (version.reward.steps, version.reward.cap) == ((), Cap(None, None))


@pytest.mark.parametrize(
    ("written", "rate"),
    [("1", "1"), ("'1.0'", "1"), ('"0.50"', "0.5"), ("0.1", "0.1"), ("0.0001", "0.0001"), ("100", "100")],
)
def test_rates_are_exact(written: str, rate: str) -> None:
    """A rate is the decimal that was written, with or without quotes, and never a float."""
    campaign = load(SMALL.replace("base_percent: 1", f"base_percent: {written}"), "small.yaml")
    assert str(campaign.versions[0].reward.base_percent) == rate


@pytest.mark.parametrize(
    ("period", "number"),
    [("2020-03", None), ("2020-04", 0), ("2021-07", 0), ("2021-08", 1), ("2022-01", 1), ("2022-02", None)],
)
def test_the_schedule_names_the_version(period: str, number: int | None) -> None:
    """A period is counted by the version that started last, and by none outside of the campaign."""
    version = SMALL[SMALL.index("  - version") :]
    earlier = version.replace("2021-08", "2020-04")
    text = "counts_until: 2022-01\n" + SMALL.replace(
        version, earlier + version.replace("version: 0", "version: 1")
    )
    serving = load(text, "small.yaml").version_counting(Period.parse(period, PeriodKind.MONTH))
    assert (None if serving is None else serving.number) == number


@pytest.mark.parametrize("text", [FULL, SMALL])
def test_canonical_form_is_read_back(text: str) -> None:
    """The canonical form of a campaign is a spec of an equal campaign, and its own canonical form."""
    campaign = load(text, "spec.yaml")
    again = load(canonical(campaign), "canonical.json")
    assert again == campaign
    assert canonical(again) == canonical(campaign)


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20))
def test_any_string_is_read_back(content: str) -> None:
    """A string constant of any script comes through the canonical form unchanged."""
    quoted = content.replace("'", "''")
    block = f"attributes: {{service: string}}\n{SMALL}".replace(
        "{payments: {count: amount >= 100}}",
        f"\n      payments:\n        count: |-\n          service = '{quoted}'",
    )
    try:
        campaign = load(block, "spec.yaml")
    except InvalidSpec as refused:
        messages = {error.message for error in refused.errors}
    else:
        messages = set[str]()
        assert load(canonical(campaign), "canonical.json") == campaign
    # Of the characters above, only rare blanks cannot be told apart in print.
    assert messages <= {"a string cannot hold a control character"}
    assert not messages or any(character.isspace() for character in content)


def only_version(text: str) -> Version:
    """Return the version of a spec that has one."""
    (version,) = load(text, "spec.yaml").versions
    return version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("campaign: small", "# a comment\ncampaign: 'small'"),
        ("{payments: {count: amount >= 100}}", '\n      payments:\n        count: "(amount>=100)"'),
        ("base_percent: 1", 'base_percent: "1.00"'),
        ("base_percent: 1", "base_percent: 1, steps: [], rounding: down"),
        ("campaign: small", "campaign: other"),
        ("currency: JPY", "currency: JPY\nperiod: month\neffective: next"),
        ("currency: JPY", "currency: JPY\nattributes: {unused: string}"),
        ("currency: JPY", "currency: JPY\ncounts_until: 2022-01"),
        ("counts_from: 2021-08", "counts_from: 2021-09"),
        ("    counts_from: 2021-08\n", ""),
        ("version: 0", "version: 7"),
        ("base_percent: 1}", "base_percent: 1}\n    refunds: {post_to: purchase}"),
    ],
)
def test_identity_is_of_what_is_meant(old: str, new: str) -> None:
    """Layout, spelling, defaults, names, numbers and the schedule do not change a version's identity."""
    assert old in SMALL
    assert only_version(SMALL.replace(old, new)).identity == only_version(SMALL).identity


def test_identity_is_not_of_the_order_of_measures() -> None:
    """Measures in another order have the same meaning, and stay in the order that was written."""
    two = SMALL.replace("{payments: {count: amount >= 100}}", "{a: {sum: amount}, b: {distinct: day}}")
    other = SMALL.replace("{payments: {count: amount >= 100}}", "{b: {distinct: day}, a: {sum: amount}}")
    assert only_version(two).identity == only_version(other).identity
    assert [measure.name for measure in only_version(other).measures] == ["b", "a"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("amount >= 100", "amount >= 101"),
        ("payments:", "purchases:"),
        ("{count: amount >= 100}", "{sum: amount}"),
        ("{count: amount >= 100}", '{count: amount >= 100, where: "NOT gift"}'),
        ("{count: amount >= 100}", '{count: "gift"}'),
        ("base_percent: 1", "base_percent: 1.5"),
        ("base_percent: 1", "base_percent: 1, rounding: up"),
        ("base_percent: 1", "base_percent: 1, cap: {per_period: 1}"),
        ("base_percent: 1", "base_percent: 1, steps: [{name: a, add_percent: 1}]"),
        ("base_percent: 1}", "base_percent: 1}\n    refunds: {post_to: refund}"),
        ("Asia/Tokyo", "Asia/Seoul"),
        ("JPY", "USD"),
        ("currency: JPY", "currency: JPY\neffective: same"),
        ("2021-08", "2021-08-05\nperiod: day"),
    ],
)
def test_identity_changes_with_the_meaning(old: str, new: str) -> None:
    """Whatever can change a figure, a rate or the period it applies to changes the identity."""
    base = SMALL.replace("currency: JPY", "currency: JPY\nattributes: {gift: boolean}")
    assert old in base
    if "\nperiod" in new:
        day, period = new.split("\n")
        changed = base.replace(old, day).replace("currency", f"{period}\ncurrency")
    else:
        changed = base.replace(old, new)
    assert only_version(changed).identity != only_version(base).identity


def test_identity_depends_on_the_types_of_used_attributes() -> None:
    """An attribute of another type is another rule, if it is used at all."""

    def identity(attribute: str, user_attribute: str) -> str:
        declared = f"attributes: {{code: {attribute}}}\nuser_attributes: {{rank: {user_attribute}}}\n"
        measures = "{codes: {distinct: code}}"
        reward = "{base_percent: 1, steps: [{name: a, add_percent: 1, when: user.rank IS NULL}]}"
        text = SMALL.replace("{payments: {count: amount >= 100}}", measures)
        return only_version(declared + text.replace("{base_percent: 1}", reward)).identity

    identities = {identity("string", "string"), identity("integer", "string"), identity("string", "integer")}
    assert len(identities) == 3


def test_identity_is_stable() -> None:
    """The identity of a version is the same in every release, so that records of it can be compared."""
    assert only_version(SMALL).identity == "6e8535e29c685aba5babb317b1a8b0b7b819f046afe2e07c31549f08d02f1a74"


def test_every_error_is_a_text_with_its_place() -> None:
    """A refused spec reads as one line per error, file and place first."""
    with pytest.raises(InvalidSpec) as raised:
        load(SMALL.replace("JPY", "yen").replace("base_percent: 1", "base_percent: one"), "small.yaml")
    assert str(raised.value) == (
        "small.yaml:3:11: currency is an ISO 4217 code, not yen (three capital letters such as JPY)\n"
        "small.yaml:8:28: base_percent is a decimal number, not one "
        '(write at most four decimals and no sign: "0.5")'
    )


def test_stored_form_has_the_size_limit_too() -> None:
    """A spec whose canonical form would be too large to be read back is refused at once."""
    condition = "user.city IN ('" + "都" * 1000 + "')"
    steps = "".join(
        f'\n        - {{name: s{index}, add_percent: 1, when: "{condition}"}}' for index in range(60)
    )
    text = SMALL.replace("{base_percent: 1}", f"\n      base_percent: 1\n      steps:{steps}")
    text = f"user_attributes: {{city: string}}\n{text}"
    with pytest.raises(InvalidSpec) as raised:
        load(text, "small.yaml")
    (error,) = raised.value.errors
    assert error.message.startswith("a spec has at most 262144 bytes, this one needs ")
