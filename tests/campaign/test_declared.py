"""Where attributes are declared: with the campaign that has them first, behind what was applied then."""

from __future__ import annotations

import msgspec
import pytest

from rung.campaign.catalog import Catalog
from rung.campaign.declared import NOTHING_DECLARED, Declaration, Declarations, Declared
from rung.campaign.model import AttributeType, Campaign
from rung.campaign.spec import load

STRING, INTEGER, BOOLEAN = AttributeType.STRING, AttributeType.INTEGER, AttributeType.BOOLEAN
VERSION = """
  - version: {number}
    measures: {{payments: {{count: "amount >= 1"}}}}
    reward: {{base_percent: "1"}}
"""


def spec(name: str, attributes: str, users: str = "", versions: int = 1) -> Campaign:
    """Return a campaign of shadow versions that declares attributes."""
    text = f"""
campaign: {name}
timezone: UTC
currency: EUR
attributes: {{{attributes}}}
user_attributes: {{{users}}}
versions:{"".join(VERSION.format(number=number) for number in range(versions))}"""
    return load(text, "spec")


def test_with_the_first_campaign_that_has_it() -> None:
    """It is declared where a campaign first brought it, whatever comes later, with a version or without one."""
    catalog = Catalog().apply(spec("a", "x: string", "u: boolean"), {0: 4})
    assert catalog.declared == {"x": {0: 4}, "user.u": {0: 4}}
    catalog = catalog.apply(spec("b", "x: string, y: integer"), {0: 9, 1: 2})
    catalog = catalog.apply(spec("a", "x: string, z: string", "u: boolean"), {0: 20, 1: 30})
    assert catalog.declared == {
        "x": {0: 4},
        "user.u": {0: 4},
        "y": {0: 9, 1: 2},
        "z": {0: 20, 1: 30},
    }
    assert [dict(one.starts) for one in catalog.versions] == [{0: 4}, {0: 9, 1: 2}]
    assert catalog.apply(spec("b", "x: string, y: integer"), {0: 99}) == catalog
    assert catalog.declarations(1) == Declarations(
        {"x": Declaration(STRING, -1), "z": Declaration(STRING, 30), "y": Declaration(INTEGER, 2)},
        {"u": Declaration(BOOLEAN, -1)},
    )


def test_from_the_beginning() -> None:
    """After a replay all is declared from the first event on."""
    catalog = Catalog().apply(spec("a", "x: string", "u: boolean"), {0: 4}).from_the_beginning()
    assert catalog.declared == {"x": {}, "user.u": {}}
    assert catalog.declarations(0).at(0) == Declared({"x": STRING}, {"u": BOOLEAN})


DECLARATIONS = Declarations(
    {"x": Declaration(STRING, -1), "y": Declaration(INTEGER, 5)},
    {"u": Declaration(BOOLEAN, 5), "v": Declaration(STRING, 8)},
)
X = Declared({"x": STRING}, {})
XYU = Declared({"x": STRING, "y": INTEGER}, {"u": BOOLEAN})
XYUV = Declared({"x": STRING, "y": INTEGER}, {"u": BOOLEAN, "v": STRING})

RUNS: list[tuple[list[int] | range, list[tuple[int, Declared]]]] = [
    ([], []),
    (range(6), [(6, X)]),
    (range(6, 9), [(3, XYU)]),
    (range(9, 100), [(91, XYUV)]),
    (range(12), [(6, X), (3, XYU), (3, XYUV)]),
    ([5, 9], [(1, X), (1, XYUV)]),
    ([0, 4, 7, 8], [(2, X), (2, XYU)]),
    ([6], [(1, XYU)]),
]


@pytest.mark.parametrize(("offsets", "runs"), RUNS)
def test_runs(offsets: list[int], runs: list[tuple[int, Declared]]) -> None:
    """Offsets that follow one another with the same declared are told together: the start belongs to the past."""
    assert list(DECLARATIONS.runs(offsets)) == runs
    alone = [declared for count, declared in runs for _ in range(count)]
    assert [DECLARATIONS.at(offset) for offset in offsets] == alone


def test_nothing_declared() -> None:
    """Without a campaign nothing is declared, and all events are one run."""
    assert list(Catalog().declarations(0).runs(range(7))) == [(7, NOTHING_DECLARED)]


@pytest.mark.parametrize(
    ("offset", "start"), [(0, 4), (4, 4), (5, 9), (9, 9), (10, 20), (20, 20), (21, None)]
)
def test_next_start(offset: int, start: int | None) -> None:
    """The next start is where a version starts or an attribute is declared, whichever is nearer."""
    catalog = Catalog().apply(spec("a", "x: string"), {0: 4, 1: 3}).apply(spec("b", ""), {0: 9, 1: 3})
    catalog = catalog.apply(spec("b", "y: string"), {0: 20, 1: 3})
    assert catalog.next_start(0, offset) == start
    assert catalog.next_start(2, offset) is None


def test_the_record_of_an_earlier_release() -> None:
    """A record that does not tell it has attributes declared with the first version of their campaign."""
    catalog = Catalog().apply(spec("a", "x: string", "u: boolean"), {0: 4, 1: 7})
    catalog = catalog.apply(spec("a", "x: string", "u: boolean", 2), {0: 9, 1: 9, 2: 9})
    catalog = catalog.apply(spec("b", "x: string, y: integer"), {0: 12})
    record = msgspec.json.decode(catalog.encode())
    assert Catalog.decode(msgspec.json.encode(record)) == catalog
    del record["declared"]
    found = Catalog.decode(msgspec.json.encode(record))
    assert found.declared == {"x": {0: 4}, "user.u": {0: 4, 1: 7}, "y": {0: 12}}
    assert found.versions == catalog.versions
