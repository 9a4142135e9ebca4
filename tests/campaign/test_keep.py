"""How long a campaign keeps what it counts, and a catalog from which older periods were pruned."""

from __future__ import annotations

import pytest

from campaign.step_spec import STARTS, STEP, VERSION_2, month, period, spec
from rung.campaign.calendar import Calendar, PeriodKind
from rung.campaign.catalog import Catalog
from rung.campaign.spec import InvalidSpec, load
from rung.campaign.spec.canonical import canonical

JULY = 1_625_097_600_000_000
"""2021-07-01T00:00:00Z, nine hours after July began in Tokyo."""


def keeping(text: str) -> str:
    return STEP.replace("currency: JPY", f"currency: JPY\nkeep: {text}")


def test_how_long() -> None:
    """Thirteen months if a spec does not say, else as many as it says; no version is another one by that."""
    plain = spec()
    assert plain.keep_months == 13
    for text, months in (("13 months", 13), ("1 month", 1), ("120 months", 120)):
        campaign = load(keeping(text), "spec.yaml")
        assert campaign.keep_months == months
        assert load(canonical(campaign), "catalog") == campaign
        assert [one.identity for one in campaign.versions] == [one.identity for one in plain.versions]
    assert "keep" not in canonical(plain)
    assert '"keep":"2 months"' in canonical(load(keeping("2 months"), "spec.yaml"))


@pytest.mark.parametrize(
    "text", ["0 months", "121 months", "13", "1.5 months", "13 weeks", "-1 months", "013 months"]
)
def test_other_times_are_refused(text: str) -> None:
    """What is not 1 to 120 months is refused at its place, with what to write."""
    with pytest.raises(InvalidSpec) as raised:
        load(keeping(text), "spec.yaml")
    assert [str(error) for error in raised.value.errors] == [
        f"spec.yaml:4:7: keep is 1 to 120 months, not {text} (write it as 13 months)"
    ]


def test_how_long_may_be_changed() -> None:
    """To keep longer or shorter is no change of what is counted."""
    catalog = Catalog().apply(spec(), {})
    assert catalog.apply(load(keeping("24 months"), "spec.yaml"), {}).campaigns["step"].keep_months == 24


def test_first_period_since() -> None:
    """The first period that is kept as a whole begins at the instant or after it, by the campaign's own clock."""
    for zone, first in (("Asia/Tokyo", "2021-08"), ("UTC", "2021-07"), ("America/New_York", "2021-07")):
        assert str(Calendar(PeriodKind.MONTH, zone).first_since(JULY)) == first


def ranges(catalog: Catalog) -> list[tuple[int, int]]:
    return [counted.periods for counted in catalog.versions]


def test_older_periods_are_counted_no_more() -> None:
    """Each version counts from its first whole period on, or nothing; the horizon only ever rises."""
    catalog = Catalog().apply(spec(), STARTS).pruned(JULY)
    assert ranges(catalog) == [
        (month("2021-08"), month("2021-07")),
        (month("2021-08"), month("2022-03")),
        (month("2021-08"), month("2100-01")),
    ]
    assert catalog.kept_from == JULY
    assert catalog.pruned(JULY - 1) is catalog
    assert catalog.pruned(JULY) is catalog
    assert catalog.apply(spec(), {}) == catalog


def test_a_version_applied_afterwards() -> None:
    """It counts from the first whole period on, too, whatever its spec says."""
    before = Catalog().apply(spec((VERSION_2, "")), {})
    after = before.pruned(JULY).apply(spec(), STARTS)
    assert ranges(after)[2] == (month("2021-08"), month("2100-01"))
    assert after.versions[2].pruned_from == month("1970-01")


def test_pruned_periods_keep_no_version_from_serving() -> None:
    """What was pruned was counted: activating and taking back go by the other periods."""
    catalog = Catalog().apply(spec(), {}).pruned(JULY)
    moved = catalog.activate("step", 2, period("2021-10"))
    assert moved.roll_back("step") == catalog


def test_a_replay_brings_them_back() -> None:
    """All events are applied again then, so that all periods are counted as before."""
    catalog = Catalog().apply(spec(), {})
    assert catalog.pruned(JULY).from_the_beginning() == catalog


def test_the_record_of_a_pruned_catalog() -> None:
    """It is read back, and has a format that an older release refuses."""
    catalog = Catalog().apply(spec(), STARTS).pruned(JULY)
    assert Catalog.decode(catalog.encode()) == catalog
    assert catalog.encode().startswith(b'{"format":3,')
    assert catalog.from_the_beginning().encode().startswith(b'{"format":2,')
