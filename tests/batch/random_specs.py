"""Hypothesis strategies for campaigns within the grammar: each told as a spec, and as the oracle's functions.

Every expression is made twice at once: as its text, and as a function of a purchase with SQL's three-valued
logic, where None is NULL. The functions are written from the rules, and share no code with Rung.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

from hypothesis import strategies as st

from campaign_pairs import Pair
from oracle import OracleCampaign, OracleVersion, Purchase, Rule, Scalar
from strategies import ATTRIBUTES, COUNTRIES, USER_ATTRIBUTES

ZONES = (
    "UTC",
    "Asia/Tokyo",
    "Asia/Kathmandu",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)
"""With daylight saving of an hour, of half an hour and without it; Apia left out the day 2011-12-30."""

_INTEGER_MAX = 2**63 - 1
_SUMMED_MAX = 2**57
"""A sum of what a few transactions add stays within 64 bits."""
_AMOUNTS = {"amount": 10**12, "gross_amount": 10**12, "refunded_amount": 10**12}
_INTEGERS = {**_AMOUNTS, "lines": 2**53}
_CONSTANTS = (0, 1, 2, 7, 99, 100, 300, 1_000, 10**12)
_TEXTS = (*COUNTRIES, "it's", "日本", "united kingdom")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_STARTS = (date(2011, 1, 1), date(2011, 5, 31), date(2011, 6, 1), date(2011, 7, 4), date(2011, 11, 30))
# How tightly a term holds together: what binds more loosely than its place allows gets parentheses.
_ATOM, _NEGATED, _PRODUCT, _SUM, _COMPARED, _NOT, _AND, _OR = range(8)


@dataclass(frozen=True)
class Term:
    """An expression: its text, how tightly it binds, its value; for an integer, how large it can be."""

    text: str
    binding: int
    value: Rule
    bound: int = 0

    def within(self, binding: int) -> str:
        """Return its text at a place that takes what binds so tightly."""
        return self.text if self.binding <= binding else f"({self.text})"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# --- three-valued logic -----------------------------------------------------------------------------------


def negation(value: Scalar) -> bool | None:
    return None if value is None else not value


def conjunction(values: Sequence[Scalar]) -> bool | None:
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def disjunction(values: Sequence[Scalar]) -> bool | None:
    if any(value is True for value in values):
        return True
    return None if any(value is None for value in values) else False


def strict(work: Callable[..., Scalar], *operands: Rule) -> Rule:
    """Return a function that is NULL as soon as one of its operands is."""

    def value(purchase: Purchase) -> Scalar:
        values = [operand(purchase) for operand in operands]
        return None if any(one is None for one in values) else work(*values)

    return value


def minus(value: int) -> int:
    return -value


def name(of: str, bound: int = 0) -> Term:
    return Term(of, _ATOM, lambda purchase: purchase[of], bound)


def constant(value: str | int | bool) -> Term:
    if isinstance(value, bool):
        return Term(str(value).upper(), _ATOM, lambda _: value)
    if isinstance(value, int):
        return Term(str(value), _ATOM if value >= 0 else _NEGATED, lambda _: value, abs(value))
    return Term(quoted(value), _ATOM, lambda _: value)


# --- integers ---------------------------------------------------------------------------------------------


@cache
def integer_names() -> st.SearchStrategy[Term]:
    return st.sampled_from([name(one, bound) for one, bound in _INTEGERS.items()])


@cache
def integer_constants() -> st.SearchStrategy[Term]:
    return st.sampled_from([constant(sign * value) for value in _CONSTANTS for sign in (1, -1)])


@cache
@st.composite
def integers(draw: st.DrawFn, depth: int = 2, bound: int = _INTEGER_MAX) -> Term:
    """Return an integer with at least one name in it, which cannot leave its bound."""
    first = draw(integer_names())
    for _ in range(draw(st.integers(0, depth))):
        first = draw(grown(first, bound))
    return first


@st.composite
def grown(draw: st.DrawFn, first: Term, bound: int) -> Term:
    """Return a term with one more operation, unless that could leave the bound."""
    manner = draw(st.sampled_from(["+", "-", "*", "minus"]))
    if manner == "minus":
        return Term(f"-{first.within(_ATOM)}", _NEGATED, strict(minus, first.value), first.bound)
    other = draw(integer_names() | integer_constants())
    left, right = draw(st.permutations([first, other]))
    if manner == "*":
        if left.bound * right.bound > bound:
            return first
        text = f"{left.within(_PRODUCT)} * {right.within(_NEGATED)}"
        return Term(text, _PRODUCT, strict(operator.mul, left.value, right.value), left.bound * right.bound)
    if left.bound + right.bound > bound:
        return first
    work = operator.add if manner == "+" else operator.sub
    text = f"{left.within(_SUM)} {manner} {right.within(_PRODUCT)}"
    return Term(text, _SUM, strict(work, left.value, right.value), left.bound + right.bound)


# --- conditions -------------------------------------------------------------------------------------------


@cache
@st.composite
def comparisons(draw: st.DrawFn) -> Term:
    """Compare two integers, two texts or two booleans."""
    kind = draw(st.sampled_from(["integer", "string", "boolean"]))
    signs = ["=", "<>"] if kind == "boolean" else list(_COMPARISONS)
    sign = draw(st.sampled_from(signs))
    if kind == "integer":
        pair = [draw(integers()), draw(integers() | integer_constants())]
    elif kind == "string":
        pair = [name("country"), draw(st.sampled_from([*map(constant, _TEXTS), name("country")]))]
    else:
        pair = [name("gift"), draw(st.sampled_from([constant(True), constant(False), name("gift")]))]
    left, right = draw(st.permutations(pair))
    text = f"{left.within(_SUM)} {sign} {right.within(_SUM)}"
    return Term(text, _COMPARED, strict(_COMPARISONS[sign], left.value, right.value))


@cache
@st.composite
def memberships(draw: st.DrawFn) -> Term:
    """Look for a value in a list."""
    kind = draw(st.sampled_from(["integer", "string", "boolean"]))
    values: list[Any]
    if kind == "integer":
        found, values = draw(integers(1)), draw(st.lists(st.sampled_from([*_CONSTANTS, -1]), min_size=1))
    elif kind == "string":
        found, values = name("country"), draw(st.lists(st.sampled_from(_TEXTS), min_size=1, max_size=4))
    else:
        found, values = name("gift"), draw(st.lists(st.booleans(), min_size=1, max_size=2))
    is_negated = draw(st.booleans())
    listed = ", ".join(constant(value).text for value in values)

    def is_listed(value: Scalar) -> bool:
        return (value in values) is not is_negated

    sign = "NOT IN" if is_negated else "IN"
    return Term(f"{found.within(_SUM)} {sign} ({listed})", _COMPARED, strict(is_listed, found.value))


@cache
@st.composite
def ranges(draw: st.DrawFn) -> Term:
    """Look whether a value lies between two others; a side that is NULL leaves the other to decide."""
    if draw(st.booleans()):
        found = draw(integers(1))
        low, high = (draw(integers(1) | integer_constants()) for _ in range(2))
    else:
        found = name("country")
        low, high = (constant(draw(st.sampled_from(_TEXTS))) for _ in range(2))
    is_negated = draw(st.booleans())
    above = strict(operator.ge, found.value, low.value)
    below = strict(operator.le, found.value, high.value)

    def value(purchase: Purchase) -> Scalar:
        between = conjunction([above(purchase), below(purchase)])
        return negation(between) if is_negated else between

    sign = "NOT BETWEEN" if is_negated else "BETWEEN"
    text = f"{found.within(_SUM)} {sign} {low.within(_SUM)} AND {high.within(_SUM)}"
    return Term(text, _COMPARED, value)


@cache
@st.composite
def null_tests(draw: st.DrawFn) -> Term:
    of = draw(st.sampled_from([*ATTRIBUTES, *_AMOUNTS]))
    is_negated = draw(st.booleans())
    text = f"{of} IS {'NOT ' if is_negated else ''}NULL"
    return Term(text, _COMPARED, lambda purchase: (purchase[of] is None) is not is_negated)


def all_of(parts: Sequence[Term]) -> Term:
    text = " AND ".join(part.within(_NOT) for part in parts)
    return Term(text, _AND, lambda purchase: conjunction([part.value(purchase) for part in parts]))


def any_of(parts: Sequence[Term]) -> Term:
    text = " OR ".join(part.within(_AND) for part in parts)
    return Term(text, _OR, lambda purchase: disjunction([part.value(purchase) for part in parts]))


@cache
def conditions() -> st.SearchStrategy[Term]:
    """Return conditions: comparisons and the like, and what NOT, AND and OR make of them."""
    simple = st.one_of(comparisons(), memberships(), ranges(), null_tests(), st.just(name("gift")))

    def denied(part: Term) -> Term:
        return Term(f"NOT {part.within(_NOT)}", _NOT, lambda purchase: negation(part.value(purchase)))

    return st.recursive(
        simple,
        lambda parts: st.one_of(
            st.builds(denied, parts),
            st.lists(parts, min_size=2, max_size=3).map(all_of),
            st.lists(parts, min_size=2, max_size=3).map(any_of),
        ),
        max_leaves=5,
    )


# --- measures, versions, campaigns ------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A measure in both languages."""

    spec: str
    oracle: tuple[str, Rule]


@cache
@st.composite
def measures(draw: st.DrawFn) -> Measured:
    """Return a measure of any kind, with a condition or without one."""
    where = draw(st.none() | conditions())
    kind = draw(st.sampled_from(["count", "sum", "distinct"]))
    if kind == "count":
        term = draw(conditions())
    elif kind == "sum":
        term = draw(integers(3, _SUMMED_MAX))
    else:
        term = name(draw(st.sampled_from([*ATTRIBUTES, "day"])))
    fields = {kind: term.text} | ({} if where is None else {"where": where.text})

    def rule(purchase: Purchase) -> Scalar:
        if where is not None and where.value(purchase) is not True:
            return None
        return term.value(purchase)

    return Measured(json.dumps(fields, ensure_ascii=False), (kind, rule))


@dataclass(frozen=True)
class Versioned:
    """A version in both languages."""

    lines: Sequence[str]
    oracle: OracleVersion


@st.composite
def versions(draw: st.DrawFn, number: int, counts_from: str | None) -> Versioned:
    """Return a version with two to six measures."""
    found = draw(st.lists(measures(), min_size=2, max_size=6))
    post_to = draw(st.sampled_from(["purchase", "refund"]))
    lines = [
        f"  - version: {number}",
        *([] if counts_from is None else [f"    counts_from: {counts_from}"]),
        "    measures:",
        *(f"      m{index}: {measure.spec}" for index, measure in enumerate(found)),
        f"    refunds: {{post_to: {post_to}}}",
        '    reward: {base_percent: "1"}',
    ]
    told = {f"m{index}": measure.oracle for index, measure in enumerate(found)}
    return Versioned(lines, OracleVersion(number, counts_from, told, post_to))


@st.composite
def campaigns(draw: st.DrawFn, named: str) -> Pair:
    """Return a campaign: a zone, a kind of period, versions that follow one another, and shadows."""
    zone = draw(st.sampled_from(ZONES))
    period = draw(st.sampled_from(["month", "week", "day"]))
    shape = OracleCampaign(named, zone, period, ())
    # Before the instants of the histories and around them, so that a version takes over amid them.
    days = st.sampled_from(_STARTS) | st.integers(0, 420).map(lambda count: _STARTS[0] + timedelta(count))
    later = draw(st.lists(days.map(shape.period_of), max_size=2))
    first = [shape.period_of(_STARTS[0])] if draw(st.integers(0, 3)) else list[str]()
    starts = sorted({*first, *later})
    places = draw(st.permutations([*starts, *([None] * draw(st.integers(0 if starts else 1, 1)))]))
    scheduled = iter(starts)
    numbers = sorted(draw(st.sets(st.integers(0, 30), min_size=len(places), max_size=len(places))))
    found = [
        draw(versions(number, None if place is None else next(scheduled)))
        for number, place in zip(numbers, places, strict=True)
    ]
    until = None
    if starts and draw(st.booleans()):
        until = max(draw(days.map(shape.period_of)), starts[-1])
    lines = [
        f"campaign: {named}",
        f"timezone: {zone}",
        "currency: GBP",
        f"period: {period}",
        f"attributes: {json.dumps(ATTRIBUTES)}",
        f"user_attributes: {json.dumps(USER_ATTRIBUTES)}",
        *([] if until is None else [f"counts_until: {until}"]),
        "versions:",
        *(line for version in found for line in version.lines),
    ]
    oracle = OracleCampaign(
        named, zone, period, [one.oracle for one in found], ATTRIBUTES, USER_ATTRIBUTES, until
    )
    return Pair("\n".join(lines) + "\n", oracle)


@st.composite
def campaign_lists(draw: st.DrawFn, count_max: int) -> list[Pair]:
    """Return campaigns with distinct names."""
    return [draw(campaigns(f"c{index}")) for index in range(draw(st.integers(1, count_max)))]
