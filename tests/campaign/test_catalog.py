"""The catalog: what may be applied, under which ids and for which periods it is counted."""

from __future__ import annotations

import pytest

from campaign.step_spec import OTHER, STARTS, VERSION_1, VERSION_2, month, spec
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import CAMPAIGNS_MAX, Catalog, CatalogRefused
from rung.campaign.model import AttributeType


def series(catalog: Catalog) -> list[tuple[str, int, str, int]]:
    """Return campaign, version, measure and id of every series."""
    return [
        (counted.campaign.name, counted.version.number, measure, number)
        for counted in catalog.versions
        for measure, number in counted.series.items()
    ]


def test_each_measure_of_each_version_has_its_own_series() -> None:
    """Series are numbered from one, in the order in which versions are applied."""
    assert series(Catalog().apply(spec(), {}).apply(spec(text=OTHER), {})) == [
        ("step", 0, "payments", 1),
        ("step", 0, "total", 2),
        ("step", 1, "payments", 3),
        ("step", 1, "services", 4),
        ("step", 2, "days", 5),
        ("other", 0, "payments", 6),
        ("other", 0, "total", 7),
        ("other", 1, "payments", 8),
        ("other", 1, "services", 9),
        ("other", 2, "days", 10),
    ]


def test_added_version_gets_further_series_and_its_own_start() -> None:
    """A version that is added later keeps where it started; the others keep their ids and starts."""
    before = Catalog().apply(spec((VERSION_2, "")), {}).apply(spec(text=OTHER), {1: 2})
    after = before.apply(spec(), STARTS)
    assert series(after) == [*series(before), ("step", 2, "days", 10)]
    assert [counted.starts for counted in after.versions] == [{}, {}, {1: 2}, {1: 2}, {1: 2}, STARTS]


def test_applying_again_changes_nothing() -> None:
    """The same campaign, however it is written, gives an equal catalog."""
    catalog = Catalog().apply(spec(), STARTS)
    assert catalog.apply(spec(), {0: 99}) == catalog
    assert catalog.apply(spec(("amount >= 100", '"(amount>=100)"')), {0: 99}) == catalog


@pytest.mark.parametrize(
    ("replacements", "periods"),
    [
        ([], [("2020-04", "2021-07"), ("2021-08", "2022-03"), ("1970-01", "2100-01")]),
        (
            [("counts_until: 2022-03\n", "")],
            [("2020-04", "2021-07"), ("2021-08", "2100-01"), ("1970-01", "2100-01")],
        ),
        (
            [("counts_from: 2021-08\n", "counts_from: 2020-05\n")],
            [("2020-04", "2020-04"), ("2020-05", "2022-03"), ("1970-01", "2100-01")],
        ),
    ],
)
def test_periods_are_those_of_the_schedule(
    replacements: list[tuple[str, str]], periods: list[tuple[str, str]]
) -> None:
    """A version counts up to the next one's first period, or to the campaign's end; a shadow always."""
    catalog = Catalog().apply(spec(*replacements), {})
    assert [counted.periods for counted in catalog.versions] == [
        (month(first), month(last)) for first, last in periods
    ]


def test_periods_and_schedule_agree() -> None:
    """The version that a period is given to counts it, and no other one but shadows does."""
    catalog = Catalog().apply(spec(), {})
    for ordinal in range(month("2020-01"), month("2022-12")):
        serving = catalog.campaigns["step"].version_counting(Period(PeriodKind.MONTH, ordinal))
        counting = [
            counted.version
            for counted in catalog.versions
            if counted.version.counts_from is not None and counted.periods[0] <= ordinal <= counted.periods[1]
        ]
        assert counting == ([] if serving is None else [serving])


def test_attributes_are_those_of_all_campaigns() -> None:
    """An event may carry what any campaign declares."""
    other = spec(
        ("service: string", "service: string, country: string"),
        ("premium: boolean", "level: integer"),
        text=OTHER,
    )
    catalog = Catalog().apply(spec(), {}).apply(other, {})
    assert catalog.attributes == {
        "service": AttributeType.STRING,
        "lines": AttributeType.INTEGER,
        "country": AttributeType.STRING,
    }
    assert catalog.user_attributes == {"premium": AttributeType.BOOLEAN, "level": AttributeType.INTEGER}


@pytest.mark.parametrize(
    ("replacements", "reasons"),
    [
        (
            [("Asia/Tokyo", "Asia/Seoul"), ("JPY", "KRW"), ("counts_until", "effective: same\ncounts_until")],
            [
                "timezone changes from Asia/Tokyo to Asia/Seoul: give the campaign another name",
                "currency changes from JPY to KRW: give the campaign another name",
                "effective changes from next to same: give the campaign another name",
            ],
        ),
        (
            [
                ("JPY", "JPY\nperiod: day"),
                ("2022-03", "2022-03-31"),
                ("2020-04", "2020-04-01"),
                ("2021-08", "2021-08-01"),
            ],
            ["period changes from month to day: give the campaign another name"],
        ),
        (
            [("lines: integer", "lines: string")],
            ["attribute lines changes from integer to string: use another name"],
        ),
        (
            [(", lines: integer", ""), ("{premium: boolean}", "{}")],
            [
                "attribute lines is gone: keep it, transactions carry it as integer",
                "user attribute premium is gone: keep it, transactions carry it as boolean",
            ],
        ),
        (
            [("amount >= 100", "amount >= 101"), ("base_percent: 2", "base_percent: 3")],
            [
                "version 0 has other rules: keep it as it is, and add version 3",
                "version 2 has other rules: keep it as it is, and add version 3",
            ],
        ),
        ([(VERSION_1, "")], ["version 1 is gone: keep it, its figures are in use"]),
        (
            [("2021-08", "2021-09")],
            ["version 1 counts from 2021-09, not from 2021-08 as applied: keep that, and add version 3"],
        ),
        (
            [("version: 2\n", "version: 2\n    counts_from: 2022-01\n")],
            [
                (
                    "version 2 counts from 2022-01, not from no period as applied: keep that, "
                    "and run `rung campaign activate step 2 --from 2022-01`"
                )
            ],
        ),
        (
            [("    counts_from: 2021-08\n", "")],
            ["version 1 counts from no period, not from 2021-08 as applied: keep that, and add version 3"],
        ),
        (
            [("2022-03", "2022-04")],
            [
                (
                    "counts_until moves from 2022-03 to 2022-04, and version 1 "
                    "may have missed transactions after 2022-03: add version 3 that counts from 2022-04"
                )
            ],
        ),
        (
            [("counts_until: 2022-03\n", "")],
            [
                (
                    "counts_until moves from 2022-03 to no period, and version 1 "
                    "may have missed transactions after 2022-03: add version 3 that counts from 2022-04"
                )
            ],
        ),
        (
            [("Asia/Tokyo", "Asia/Seoul"), ("amount >= 100", "amount >= 101"), (VERSION_2, "")],
            [
                "timezone changes from Asia/Tokyo to Asia/Seoul: give the campaign another name",
                "version 0 has other rules: keep it as it is, and add version 3",
                "version 2 is gone: keep it, its figures are in use",
            ],
        ),
    ],
)
def test_changes_of_what_was_counted_are_refused(
    replacements: list[tuple[str, str]], reasons: list[str]
) -> None:
    """What would change figures that were counted is refused with every reason and what to do instead."""
    with pytest.raises(CatalogRefused) as raised:
        Catalog().apply(spec(), {}).apply(spec(*replacements), {})
    assert raised.value.reasons == tuple(f"campaign step: {reason}" for reason in reasons)
    assert str(raised.value) == "\n".join(raised.value.reasons)


@pytest.mark.parametrize(
    "replacements",
    [
        [("2022-03", "2022-02")],
        [("service: string", "service: string, country: string")],
        [
            (
                VERSION_2,
                VERSION_2 + VERSION_1.replace("version: 1", "version: 3").replace("2021-08", "2022-01"),
            )
        ],
        [
            ("2022-03", "2022-12"),
            (
                VERSION_2,
                VERSION_2 + VERSION_1.replace("version: 1", "version: 3").replace("2021-08", "2022-04"),
            ),
        ],
    ],
    ids=[
        "an earlier end",
        "a further attribute",
        "a version that takes over",
        "prolonged by a further version",
    ],
)
def test_additions_and_ends_are_applied(replacements: list[tuple[str, str]]) -> None:
    """A campaign may get attributes and versions, may end, and is prolonged by a further version."""
    changed = spec(*replacements)
    catalog = Catalog().apply(spec(), {}).apply(changed, STARTS)
    assert catalog.campaigns == {"step": changed}
    assert all(counted.campaign is catalog.campaigns["step"] for counted in catalog.versions)
    assert tuple(counted.version for counted in catalog.versions) == changed.versions


def test_an_end_can_be_added() -> None:
    """A campaign without an end may get one."""
    ended = Catalog().apply(spec(("counts_until: 2022-03\n", "")), {}).apply(spec(), {})
    assert ended.versions[1].periods == (month("2021-08"), month("2022-03"))


def test_attribute_of_another_type_in_another_campaign_is_refused() -> None:
    """One event serves all campaigns, so that they declare its attributes alike."""
    other = spec(("service: string", "service: integer"), ("premium: boolean", "premium: string"), text=OTHER)
    with pytest.raises(CatalogRefused) as raised:
        Catalog().apply(spec(), {}).apply(other, {})
    assert raised.value.reasons == (
        (
            "campaign other: attribute service is declared as integer, and as string by campaign step: "
            "declare it as string, or use another name"
        ),
        (
            "campaign other: user attribute premium is declared as string, and as boolean by campaign step: "
            "declare it as boolean, or use another name"
        ),
    )


def test_a_refused_campaign_leaves_the_catalog_alone() -> None:
    """A catalog is a value: refusing or applying gives another one or none."""
    catalog = Catalog().apply(spec(), {})
    before = catalog.encode()
    with pytest.raises(CatalogRefused):
        catalog.apply(spec(("JPY", "KRW")), {})
    catalog.apply(spec(text=OTHER), {})
    assert catalog.encode() == before


def test_a_catalog_has_a_limit() -> None:
    """The campaign after the last possible one is refused."""
    catalog = Catalog()
    for index in range(CAMPAIGNS_MAX):
        catalog = catalog.apply(spec(("campaign: step", f"campaign: step-{index}")), {})
    with pytest.raises(CatalogRefused, match=r"^campaign step: a catalog has at most 100 campaigns$"):
        catalog.apply(spec(), {})
