"""The catalog's record: read back as it was written, and read as earlier releases wrote it."""

from __future__ import annotations

import pytest

from campaign.step_spec import OTHER, STARTS, month, period, spec
from rung.campaign.catalog import Catalog, CatalogUnreadable
from rung.campaign.schedule import Entry, Schedule

FORMAT_1 = (
    rb'{"format":1,"campaigns":["{\"campaign\":\"step\",\"timezone\":\"Asia/Tokyo\",\"currency\":\"JPY\",'
    rb"\"period\":\"month\",\"effective\":\"next\",\"attributes\":{},\"user_attributes\":{},\"versions\":["
    rb"{\"version\":0,\"counts_from\":\"2020-04\",\"measures\":{\"payments\":{\"count\":\"amount >= 100\"}},"
    rb"\"refunds\":{\"post_to\":\"purchase\"},\"reward\":{\"base_percent\":\"1\",\"steps\":[],\"rounding\":\"down\"}},"
    rb"{\"version\":1,\"counts_from\":\"2021-08\",\"measures\":{\"payments\":{\"count\":\"amount >= 300\"}},"
    rb"\"refunds\":{\"post_to\":\"purchase\"},\"reward\":{\"base_percent\":\"1\",\"steps\":[],\"rounding\":\"down\"}},"
    rb"{\"version\":2,\"measures\":{\"days\":{\"distinct\":\"day\"}},"
    rb"\"refunds\":{\"post_to\":\"purchase\"},\"reward\":{\"base_percent\":\"2\",\"steps\":[],\"rounding\":\"down\"}}],"
    rb'\"counts_until\":\"2022-03\"}"],"versions":[{"campaign":"step","number":0,"series":{"payments":1},"starts":{}},'
    rb'{"campaign":"step","number":1,"series":{"payments":2},"starts":{}},'
    rb'{"campaign":"step","number":2,"series":{"days":3},"starts":{"0":41,"3":7}}]}'
)
"""A record as it was written before what serves was told apart from what is counted."""


def moved() -> Catalog:
    """Return a catalog with everything that a record can hold."""
    catalog = Catalog().apply(spec(), STARTS).apply(spec(text=OTHER), {})
    catalog = catalog.with_backfilled("step", 2).activate("step", 2, period("2021-10"))
    return catalog.activate("step", 2, period("2021-09")).activate("other", 2, period("2022-01"))


def test_record_is_read_back() -> None:
    """A catalog is read back from its record with its schedules, and an empty one from none."""
    catalog = moved()
    assert Catalog.decode(catalog.encode()) == catalog
    assert Catalog.decode(catalog.encode()).encode() == catalog.encode()
    assert Catalog.decode(Catalog().encode()) == Catalog.decode(None) == Catalog()


def test_a_record_of_format_1() -> None:
    """What an earlier release counted and served by its specs is counted and served; format 2 is written."""
    catalog = Catalog.decode(FORMAT_1)
    assert [(one.version.number, one.series, one.starts, one.periods) for one in catalog.versions] == [
        (0, {"payments": 1}, {}, (month("2020-04"), month("2021-07"))),
        (1, {"payments": 2}, {}, (month("2021-08"), month("2022-03"))),
        (2, {"days": 3}, STARTS, (month("1970-01"), month("2100-01"))),
    ]
    assert [one.complete for one in catalog.versions] == [True, True, False]
    assert catalog.campaigns["step"].schedule == Schedule(
        (Entry(period("2020-04"), 0), Entry(period("2021-08"), 1))
    )
    assert catalog.earlier == {}
    changed = catalog.with_backfilled("step", 2)
    assert changed.encode().startswith(b'{"format":2,')
    assert Catalog.decode(changed.encode()) == changed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format":2', b'"format":5', "the catalog has format 5, and this release reads 1 to 4"),
        (b'"format":2', b'"format":1', "the catalog's record is damaged: Expected `str`, got `object`"),
        (b'"number":0', b'"number":9', "the catalog's record is damaged: 9"),
        (b'["2020-04",0]', b'["2020-04",7]', "the catalog's record is damaged: 7"),
        (b'["2020-04",0]', b'["2022-04",0]', "the catalog's record is damaged: a schedule's periods ascend"),
        (b'["2020-04",0]', b'["2020-4",0]', "the catalog's record is damaged: '2020-4' is not a month"),
        (b"Asia/Tokyo", b"Asia/Tokio", "the catalog's record is damaged: catalog:1:31: timezone Asia/Tokio"),
        (b'"format"', b'"fromat"', "the catalog's record is damaged: Object missing required field `format`"),
        (b"{", b"", "the catalog's record is damaged: "),
    ],
)
def test_other_records_are_refused(old: bytes, new: bytes, message: str) -> None:
    """A record of another format, or one that is damaged, is refused with the reason."""
    record = moved().encode()
    assert old in record
    with pytest.raises(CatalogUnreadable, match="the catalog") as raised:
        Catalog.decode(record.replace(old, new, 1))
    assert str(raised.value).startswith(message)
