"""The example campaigns: they are right, and say what their comments promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from rung.campaign.calendar import PeriodKind
from rung.campaign.catalog import Catalog
from rung.campaign.model import Campaign, Effective, PostTo
from rung.campaign.spec import canonical, load

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> Campaign:
    """Return an example campaign."""
    path = EXAMPLES / name
    return load(path.read_text(encoding="utf-8"), str(path))


SPECS = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml"))


def test_there_are_examples() -> None:
    """The examples that the documentation names are there."""
    assert {"step.yaml", "online-retail/retail.yaml", "online-retail/big-basket.yaml"} <= set(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_example_is_right(name: str) -> None:
    """Each example loads, and so does its canonical form."""
    campaign = example(name)
    assert load(canonical(campaign), name) == campaign


def test_examples_can_be_applied_together() -> None:
    """No two examples declare an attribute differently."""
    catalog = Catalog()
    for name in SPECS:
        catalog = catalog.apply(example(name), {})
    assert len(catalog.campaigns) == len(SPECS)


def test_step_has_the_three_rule_sets() -> None:
    """The historical campaign changes its rules in August 2021 and in December 2022."""
    campaign = example("step.yaml")
    assert [
        (
            version.number,
            str(version.counts_from),
            {measure.name: (measure.kind.value, measure.expression.text) for measure in version.measures},
            str(version.reward.base_percent),
            [
                (
                    step.name,
                    step.when.text if step.when else None,
                    str(step.add_percent),
                    step.on.text if step.on else None,
                )
                for step in version.reward.steps
            ],
        )
        for version in campaign.versions
    ] == [
        (
            0,
            "2020-04",
            {"payments": ("count", "amount >= 100"), "total": ("sum", "amount")},
            "0.5",
            [
                ("fifty-payments", "payments >= 50", "0.5", None),
                ("big-spender", "total >= 100000", "0.5", None),
            ],
        ),
        (
            1,
            "2021-08",
            {
                "payments": ("count", "amount >= 300"),
                "total": ("sum", "amount"),
                "services": ("distinct", "service"),
            },
            "0.5",
            [
                (
                    "gold",
                    "payments >= 30 AND total >= 50000 AND services >= 3 AND user.premium AND user.linked",
                    "0.5",
                    None,
                ),
                ("mall", None, "6", "service = 'mall'"),
                ("premium-mall", None, "8", "service = 'premium-mall'"),
            ],
        ),
        (
            2,
            "2022-12",
            {"payments": ("count", "amount >= 300"), "total": ("sum", "amount")},
            "0.5",
            [
                ("card", None, "0.5", "method = 'card'"),
                ("regular", "payments >= 30 AND total >= 100000", "0.5", None),
                ("gold-card", "user.card = 'gold'", "0.5", None),
            ],
        ),
    ]


def test_online_retail_shows_both_ways_of_a_campaign() -> None:
    """One campaign is by month and for the next one, the other by week, for the same one, with an end."""
    retail, big_basket = example("online-retail/retail.yaml"), example("online-retail/big-basket.yaml")
    assert (retail.calendar.kind, retail.effective) == (PeriodKind.MONTH, Effective.NEXT)
    assert (big_basket.calendar.kind, big_basket.effective) == (PeriodKind.WEEK, Effective.SAME)
    assert {version.post_to for version in retail.versions} == {PostTo.PURCHASE}
    assert {version.post_to for version in big_basket.versions} == {PostTo.REFUND}
    assert (len(big_basket.versions), str(big_basket.counts_until)) == (2, "2011-W47")
