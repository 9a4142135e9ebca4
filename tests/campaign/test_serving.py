"""Which version serves: activated, taken back, retired; what is counted stays as it was."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.step_spec import (
    STARTS,
    VERSION_1,
    VERSION_2,
    added,
    counted,
    month,
    period,
    refused,
    serving,
    spec,
)
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import EARLIER_MAX, Catalog, CatalogRefused
from rung.campaign.model import Campaign

ALL = ("1970-01", "2100-01")
EVERY_VERSION = [("2020-04", "2021-07"), ("2021-08", "2022-03"), ALL]


def test_activating_moves_the_pointer_and_nothing_else() -> None:
    """From its period on another version serves; what is counted, and each identity, stays as it was."""
    before = Catalog().apply(spec(), {})
    after = before.activate("step", 2, period("2021-10"))
    assert serving(before) == "0: 2020-04..2021-07, 1: 2021-08..2022-03"
    assert serving(after) == "0: 2020-04..2021-07, 1: 2021-08..2021-09, 2: 2021-10..2022-03"
    assert counted(after) == counted(before) == EVERY_VERSION
    assert after.campaigns["step"].versions == before.campaigns["step"].versions
    assert all(one.campaign is after.campaigns["step"] for one in after.versions)
    assert after.campaigns["step"].version_counting(period("2021-10")) is after.versions[2].version


@pytest.mark.parametrize(
    ("activations", "served"),
    [
        # Before the first entry, in its place, and between others: later entries stay in force.
        ([(2, "2019-01")], "2: 2019-01..2020-03, 0: 2020-04..2021-07, 1: 2021-08..2022-03"),
        ([(2, "2020-04")], "2: 2020-04..2021-07, 1: 2021-08..2022-03"),
        ([(2, "2021-01")], "0: 2020-04..2020-12, 2: 2021-01..2021-07, 1: 2021-08..2022-03"),
        ([(2, "2021-08")], "0: 2020-04..2021-07, 2: 2021-08..2022-03"),
        ([(2, "2022-03")], "0: 2020-04..2021-07, 1: 2021-08..2022-02, 2: 2022-03..2022-03"),
        # Back to the version before, for a later period.
        (
            [(2, "2021-10"), (1, "2022-01")],
            "0: 2020-04..2021-07, 1: 2021-08..2021-09, 2: 2021-10..2021-12, 1: 2022-01..2022-03",
        ),
        ([(2, "2021-10"), (1, "2021-10")], "0: 2020-04..2021-07, 1: 2021-08..2022-03"),
        # Neighbours are one span.
        ([(2, "2021-10"), (2, "2021-08")], "0: 2020-04..2021-07, 2: 2021-08..2022-03"),
    ],
)
def test_activations_one_by_one(activations: list[tuple[int, str]], served: str) -> None:
    """An entry serves until the next one's period; taking all activations back gives each schedule again."""
    catalogs = [Catalog().apply(spec(), {})]
    for number, text in activations:
        catalogs.append(catalogs[-1].activate("step", number, period(text)))
    assert serving(catalogs[-1]) == served
    back = catalogs[-1]
    for before in reversed(catalogs[:-1]):
        back = back.roll_back("step")
        assert back == before
    assert refused(lambda: back.roll_back("step")) == (
        "campaign step: there is no activation that could be taken back",
    )


@pytest.mark.parametrize(
    ("name", "number", "text", "reasons"),
    [
        ("stepp", 2, "2021-10", ["no campaign is named 'stepp'; did you mean step?"]),
        ("unlike", 2, "2021-10", ["no campaign is named 'unlike'; there are: step"]),
        ("step", 7, "2021-10", ["campaign step has no version 7; there are: 0, 1, 2"]),
        (
            "step",
            0,
            "2021-10",
            [
                (
                    "campaign step: version 0 counts 2020-04 to 2021-07, and would serve 2021-10 to 2022-03: add "
                    "version 3 with the same rules and without counts_from, and activate that"
                )
            ],
        ),
        (
            "step",
            1,
            "2021-07",
            [
                (
                    "campaign step: version 1 counts 2021-08 to 2022-03, and would serve 2021-07 to 2022-03: add "
                    "version 3 with the same rules and without counts_from, and activate that"
                )
            ],
        ),
        (
            "step",
            1,
            "2022-02",
            ["campaign step: version 1 serves from 2022-02 on already: nothing would change"],
        ),
        (
            "step",
            2,
            "2022-04",
            [
                (
                    "campaign step: version 2 cannot serve from 2022-04: the campaign counts until 2022-03; "
                    "choose a period up to that"
                ),
                (
                    "campaign step: version 2 is partial, because its past has not been added yet: "
                    "run `rung batch backfill step 2`"
                ),
            ],
        ),
        (
            "step",
            2,
            "2021-10",
            [
                (
                    "campaign step: version 2 is partial, because its past has not been added yet: "
                    "run `rung batch backfill step 2`"
                )
            ],
        ),
    ],
)
def test_activations_that_are_refused(name: str, number: int, text: str, reasons: list[str]) -> None:
    """What would serve figures that are not there, or change nothing, is refused with what to do instead."""
    catalog = Catalog().apply(spec((VERSION_2, "")), {}).apply(spec(), STARTS)
    assert refused(lambda: catalog.activate(name, number, period(text))) == tuple(reasons)


def test_a_version_is_complete_once_its_past_was_added() -> None:
    """One that started among events can be activated after its past was added, and its starts stay."""
    catalog = Catalog().apply(spec(), STARTS)
    assert [one.complete for one in catalog.versions] == [False, False, False]
    added = catalog.with_backfilled("step", 2)
    assert [one.complete for one in added.versions] == [False, False, True]
    assert added.versions[2].starts == STARTS
    assert serving(added.activate("step", 2, period("2021-08"))) == "0: 2020-04..2021-07, 2: 2021-08..2022-03"
    assert refused(lambda: catalog.with_backfilled("step", 3)) == (
        "campaign step has no version 3; there are: 0, 1, 2",
    )
    again = added.from_the_beginning()
    assert [(one.starts, one.backfilled, one.complete) for one in again.versions] == [({}, False, True)] * 3


@pytest.mark.parametrize(
    ("starts", "complete"), [({}, True), ({0: -1}, True), ({0: -1, 3: 0}, False), ({2: 7}, False)]
)
def test_a_version_from_the_beginning_is_complete(starts: dict[int, int], complete: bool) -> None:
    """A version lacks nothing if nothing had been applied when it started."""
    assert [one.complete for one in Catalog().apply(spec(), starts).versions] == [complete] * 3


def test_the_spec_does_not_undo_an_activation() -> None:
    """The spec that was applied before, and the one that repeats what was activated, change nothing."""
    catalog = Catalog().apply(spec(), {}).activate("step", 2, period("2021-10"))
    assert catalog.apply(spec(), {0: 99}) == catalog
    repeats = spec(("version: 2\n", "version: 2\n    counts_from: 2021-10\n"))
    assert catalog.apply(repeats, {0: 99}) == catalog
    assert refused(lambda: catalog.roll_back("step").apply(repeats, {})) == (
        (
            "campaign step: version 2 counts from 2021-10, not from no period as applied: keep that, "
            "and run `rung campaign activate step 2 --from 2021-10`"
        ),
    )
    other = spec(("version: 2\n", "version: 2\n    counts_from: 2021-09\n"))
    assert refused(lambda: catalog.apply(other, {})) == (
        (
            "campaign step: version 2 counts from 2021-09, not from no period as applied: keep that, "
            "and run `rung campaign activate step 2 --from 2021-09`"
        ),
    )


def test_an_added_version_takes_its_place_beside_activations() -> None:
    """A version with counts_from schedules itself, also in what an activation is taken back to."""
    catalog = Catalog().apply(spec(), {}).activate("step", 2, period("2021-10"))
    catalog = catalog.apply(spec(added(3, "2022-01")), {})
    assert serving(catalog) == (
        "0: 2020-04..2021-07, 1: 2021-08..2021-09, 2: 2021-10..2021-12, 3: 2022-01..2022-03"
    )
    assert (
        serving(catalog.roll_back("step")) == "0: 2020-04..2021-07, 1: 2021-08..2021-12, 3: 2022-01..2022-03"
    )
    assert counted(catalog) == [
        ("2020-04", "2021-07"),
        ("2021-08", "2021-12"),
        ALL,
        ("2022-01", "2022-03"),
    ]


def test_a_version_still_counts_what_it_serves() -> None:
    """A version that another one takes over from in the spec counts on as far as it was activated."""
    catalog = Catalog().apply(spec(), {})
    catalog = catalog.activate("step", 2, period("2021-10")).activate("step", 1, period("2022-02"))
    catalog = catalog.apply(spec(added(3, "2021-12")), {})
    assert serving(catalog).endswith("2: 2021-10..2021-11, 3: 2021-12..2022-01, 1: 2022-02..2022-03")
    assert counted(catalog)[1] == ("2021-08", "2022-03")


def test_an_added_version_that_has_no_place() -> None:
    """A spec does not take a period from an activated version, nor the order of what was applied."""
    catalog = Catalog().apply(spec(), {}).activate("step", 2, period("2021-10"))
    assert refused(lambda: catalog.apply(spec(added(3, "2021-10")), {})) == (
        (
            "campaign step: version 3 counts from 2021-10, from which version 2 serves: leave counts_from out, "
            "and run `rung campaign activate step 3 --from 2021-10`"
        ),
    )
    renumbered = (VERSION_1 + VERSION_2, VERSION_2 + VERSION_1.replace("version: 1", "version: 5"))
    catalog = Catalog().apply(spec(renumbered), {})
    catalog = catalog.activate("step", 2, period("2021-09")).activate("step", 5, period("2021-12"))
    between = spec(renumbered, ("2021-08", "2021-12"), added(3, "2021-10"))
    assert refused(lambda: catalog.apply(between, {})) == (
        (
            "campaign step: version 3 counts from 2021-10, and version 5 was applied to count from 2021-08: "
            "leave counts_from out, and run `rung campaign activate step 3 --from 2021-10`"
        ),
    )


def test_an_end_takes_later_entries_away() -> None:
    """A campaign that is ended before an activation's period is as if that had not been."""
    catalog = Catalog().apply(spec(), {}).activate("step", 2, period("2022-02"))
    ended = catalog.apply(spec(("2022-03", "2022-01")), {})
    assert serving(ended) == "0: 2020-04..2021-07, 1: 2021-08..2022-01"
    assert ended.earlier == {}
    assert refused(lambda: ended.apply(spec(), {})) == (
        (
            "campaign step: counts_until moves from 2022-01 to 2022-03, and version 1 may have missed transactions "
            "after 2022-01: add version 3 that counts from 2022-02"
        ),
    )


def test_a_campaign_that_a_shadow_serves_is_prolonged() -> None:
    """A version that counts every period may serve on when the end moves."""
    catalog = Catalog().apply(spec(), {}).activate("step", 2, period("2022-02"))
    prolonged = catalog.apply(spec(("counts_until: 2022-03\n", "")), {})
    assert serving(prolonged).endswith("1: 2021-08..2022-01, 2: 2022-02..")


def test_a_retired_version_stops_to_count() -> None:
    """A version that serves nothing from now on counts the current period still, and no later one."""
    catalog = Catalog().apply(spec(), {}).activate("step", 2, period("2021-10"))
    retired = catalog.retire("step", 1, period("2021-11"))
    assert counted(retired) == [("2020-04", "2021-07"), ("2021-08", "2021-11"), ALL]
    assert serving(retired) == serving(catalog)
    assert retired.apply(spec(), {}) == retired
    assert refused(lambda: retired.roll_back("step")) == (
        (
            "campaign step: version 1 counts 2021-08 to 2021-11, and would serve 2021-08 to 2022-03 again: "
            "activate a version that counts that"
        ),
    )
    assert refused(lambda: retired.retire("step", 1, period("2021-12"))) == (
        "campaign step: version 1 counts 2021-08 to 2021-11: nothing would change",
    )
    assert refused(lambda: catalog.retire("step", 2, period("2021-11"))) == (
        "campaign step: version 2 serves 2021-10 to 2022-03: activate another version for that first",
    )
    assert refused(lambda: catalog.retire("step", 3, period("2021-11"))) == (
        "campaign step has no version 3; there are: 0, 1, 2",
    )


def test_a_version_can_be_retired_before_it_counts() -> None:
    """A version that was replaced before its first period counts none, and says so."""
    catalog = Catalog().apply(spec(), {}).activate("step", 2, period("2021-08"))
    retired = catalog.retire("step", 1, period("2021-01"))
    assert retired.versions[1].periods == (month("2021-08"), month("2021-07"))
    assert "version 1 counts no period, and would serve" in refused(lambda: retired.roll_back("step"))[0]
    assert Catalog.decode(retired.encode()) == retired


def test_so_many_activations_can_be_taken_back() -> None:
    """The catalog remembers a limited number of earlier schedules, the last ones."""
    catalog = Catalog().apply(spec(), {})
    for index in range(EARLIER_MAX + 5):
        catalog = catalog.activate("step", 2 - index % 2, period("2021-10"))
    assert len(catalog.earlier["step"]) == EARLIER_MAX
    for _ in range(EARLIER_MAX):
        catalog = catalog.roll_back("step")
    assert refused(lambda: catalog.roll_back("step"))


SPECS = (spec(), spec(added(3, "2022-01")), spec(("2022-03", "2022-02"), added(3, "2022-01")))


class Act(NamedTuple):
    """One thing that is done to a catalog; each uses what it needs of it."""

    name: str
    number: int
    at: Period
    applied: Campaign

    def done_to(self, catalog: Catalog) -> Catalog:
        match self.name:
            case "activate":
                return catalog.activate("step", self.number, self.at)
            case "roll back":
                return catalog.roll_back("step")
            case "retire":
                return catalog.retire("step", self.number, self.at)
            case _:
                return catalog.apply(self.applied, {})


ACTS = st.builds(
    Act,
    st.sampled_from(["activate", "activate", "roll back", "retire", "apply"]),
    st.sampled_from([0, 1, 1, 2, 2, 3]),
    # Few periods, so that changes meet one another.
    st.sampled_from([period(text) for text in ("2020-02", "2021-08", "2021-11", "2022-02")]),
    st.sampled_from(SPECS),
)


@given(st.lists(ACTS, min_size=10, max_size=40))
def test_laws_of_any_changes(acts: list[Act]) -> None:
    """Whatever is done: periods ascend, versions count what they serve and never more than before.

    Versions and their identities stay, the spec in force changes nothing, and the record is read back.
    """
    in_force = spec()
    catalog = Catalog().apply(in_force, {})
    for act in acts:
        before = catalog
        try:
            catalog = act.done_to(before)
        except CatalogRefused:
            continue
        if act.name == "apply":
            in_force = act.applied
        campaign = catalog.campaigns["step"]
        periods = [entry.period for entry in campaign.schedule.entries]
        assert periods == sorted(set(periods))
        assert catalog.apply(in_force, {0: 1_000}) == catalog
        assert len(catalog.earlier.get("step", ())) <= EARLIER_MAX
        now = catalog.versions_of("step")
        for earlier in before.versions:
            later = now[earlier.version.number]
            assert (later.version, later.series, later.starts) == (
                earlier.version,
                earlier.series,
                earlier.starts,
            )
            assert later.periods[0] == earlier.periods[0]
            assert later.periods[1] <= earlier.periods[1]
        for ordinal in range(month("2019-08"), month("2022-09")):
            version = campaign.version_counting(Period(PeriodKind.MONTH, ordinal))
            assert version is None or now[version.number].counts(ordinal, ordinal)
    assert Catalog.decode(catalog.encode()) == catalog
