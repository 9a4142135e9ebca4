"""Which periods are closed: what the catalog keeps of them, and that no schedule takes one away again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.step_spec import added, month, period, refused, spec
from rung.campaign.catalog import Catalog
from rung.campaign.counted import CountedVersion
from rung.campaign.described import closed_texts

CALENDAR = spec().calendar
STAYS = "is closed, and stays with version"


def catalog_of(*closed: tuple[int, str]) -> Catalog:
    """Return a catalog of three versions, in which periods are closed with one each."""
    catalog = Catalog().apply(spec(), {})
    for number, text in closed:
        catalog = catalog.with_closed("step", number, period(text))
    return catalog


@given(st.lists(st.integers(0, 30)))
def test_periods_behind_one_another_are_one_range(ordinals: list[int]) -> None:
    """What is closed is a set, kept as its ranges, in whatever order the periods were closed."""
    campaign = spec()
    counted = CountedVersion(campaign, campaign.versions[0], {}, {}, (0, 100))
    for ordinal in ordinals:
        counted = counted.with_closed(ordinal)
    assert [one for one in range(-2, 33) if counted.is_closed(one)] == sorted(set(ordinals))
    bounds = [bound for pair in counted.closed for bound in pair]
    assert bounds == sorted(bounds)
    assert all(
        last + 1 < first for (_, last), (first, _) in zip(counted.closed, counted.closed[1:], strict=False)
    )


def test_a_period_is_closed_with_the_version_that_serves_it() -> None:
    """Another version cannot close it, and closing it once more changes nothing."""
    catalog = catalog_of((0, "2021-06"), (0, "2021-07"), (1, "2021-08"))
    assert [closed_texts(one) for one in catalog.versions] == [("2021-06 to 2021-07",), ("2021-08",), ()]
    assert catalog.with_closed("step", 0, period("2021-07")) == catalog
    assert refused(lambda: catalog.with_closed("step", 1, period("2021-07")))[0].startswith(
        "campaign step: 2021-07 was closed with version 1, and version 0 serves it now: "
    )
    assert refused(lambda: catalog.with_closed("step", 1, period("2022-04")))[0].startswith(
        "campaign step: 2022-04 was closed with version 1, and no version serves it now: "
    )


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("2021-10", []),
        (
            "2021-09",
            [
                f"campaign step: 2021-09 {STAYS} 1, which counted it: only what serves from 2021-10 on may change"
            ],
        ),
        (
            "2021-06",
            [
                f"campaign step: 2021-07 {STAYS} 0, which counted it: only what serves from 2021-08 on may change",
            ],
        ),
    ],
)
def test_activations(text: str, reasons: list[str]) -> None:
    """A version is activated behind what is closed with another one; later entries stay in force."""
    catalog = catalog_of((0, "2021-07"), (1, "2021-08"), (1, "2021-09"))
    if not reasons:
        assert catalog.activate("step", 2, period(text)).versions[1].closed == catalog.versions[1].closed
    else:
        assert list(refused(lambda: catalog.activate("step", 2, period(text)))) == reasons


def test_rolling_back() -> None:
    """An activation from before what was closed since is not taken back."""
    moved = catalog_of().activate("step", 2, period("2021-08"))
    closed = moved.with_closed("step", 2, period("2021-08"))
    assert refused(lambda: closed.roll_back("step")) == (
        f"campaign step: 2021-08 {STAYS} 2, which counted it: only what serves from 2021-09 on may change",
    )
    later = moved.with_closed("step", 0, period("2021-07")).roll_back("step")
    assert [closed_texts(one) for one in later.versions] == [("2021-07",), (), ()]


def test_specs() -> None:
    """A spec moves no end before what is closed, and lets no added version begin there."""
    catalog = catalog_of((1, "2021-09"), (1, "2021-10"))
    assert refused(lambda: catalog.apply(spec(("2022-03", "2021-09")), {})) == (
        f"campaign step: 2021-10 {STAYS} 1, which counted it: only what serves from 2021-11 on may change",
    )
    shorter = catalog.apply(spec(("2022-03", "2021-10")), {})
    assert shorter.versions[1].closed == catalog.versions[1].closed
    assert refused(lambda: catalog.apply(spec(added(3, "2021-10")), {})) == (
        f"campaign step: 2021-10 {STAYS} 1, which counted it: only what serves from 2021-11 on may change",
    )
    longer = catalog.apply(spec(added(3, "2021-11")), {})
    assert longer.versions[1].closed == catalog.versions[1].closed
    assert longer.versions[3].closed == ()


def test_pruning() -> None:
    """What is closed is forgotten with the periods that are no longer kept, and everything before a replay."""
    catalog = catalog_of((0, "2020-05"), (0, "2020-06"), (0, "2020-09"))
    kept = catalog.pruned(CALENDAR.starts_at(period("2020-06")))
    assert kept.versions[0].closed == ((month("2020-06"), month("2020-06")), (month("2020-09"),) * 2)
    assert kept.pruned(CALENDAR.starts_at(period("2020-08"))).versions[0].closed == ((month("2020-09"),) * 2,)
    assert all(one.closed == () for one in kept.from_the_beginning().versions)


def test_the_record() -> None:
    """A catalog with closed periods is of a format of its own, and read back; without any it is as before."""
    catalog = catalog_of((0, "2020-05"), (0, "2020-06"), (1, "2021-09"))
    record = catalog.encode()
    assert record.startswith(b'{"format":4,')
    assert Catalog.decode(record) == catalog
    assert catalog_of().encode().startswith(b'{"format":2,')
    assert catalog.pruned(CALENDAR.starts_at(period("2020-07"))).encode().startswith(b'{"format":4,')
    empty = catalog_of((0, "2020-05")).pruned(CALENDAR.starts_at(period("2020-07")))
    assert empty.encode().startswith(b'{"format":3,')
    assert Catalog.decode(empty.encode()) == empty
