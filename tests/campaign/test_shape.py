"""The outer shape of conditions: what must all hold, what is enough, what is compared."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rung.campaign.expression import Comparison, ValueType, alternatives, comparison, conjuncts, parse

BOOLEAN, INTEGER, STRING = ValueType.BOOLEAN, ValueType.INTEGER, ValueType.STRING
NAMES: Mapping[str, ValueType] = {
    "amount": INTEGER,
    "lines": INTEGER,
    "left": INTEGER,
    "service": STRING,
    "method": STRING,
    "gift": BOOLEAN,
    "user.premium": BOOLEAN,
    "user.level": INTEGER,
}


@pytest.mark.parametrize(
    ("text", "parts", "branches"),
    [
        ("gift", ["gift"], ["gift"]),
        ("gift AND lines > 1 AND amount > 2", ["gift", "lines > 1", "amount > 2"], None),
        ("gift AND (lines > 1 AND amount > 2)", ["gift", "lines > 1", "amount > 2"], None),
        ("gift OR lines > 1", None, ["gift", "lines > 1"]),
        ("gift AND (lines > 1 OR amount > 2)", ["gift", "lines > 1 OR amount > 2"], None),
        (
            "gift OR (lines > 1 OR amount BETWEEN 1 AND 2)",
            None,
            ["gift", "lines > 1", "amount BETWEEN 1 AND 2"],
        ),
        ("NOT (gift AND lines > 1)", None, None),
    ],
)
def test_conjuncts_and_alternatives(text: str, parts: list[str] | None, branches: list[str] | None) -> None:
    """A condition falls apart along its outermost ANDs or ORs, or is its own only part."""
    expression = parse(text, NAMES, BOOLEAN)
    assert [part.text for part in conjuncts(expression)] == (parts or [expression.text])
    assert [part.text for part in alternatives(expression)] == (branches or [expression.text])
    for part in (*conjuncts(expression), *alternatives(expression)):
        assert part == parse(part.text, NAMES, BOOLEAN)


@pytest.mark.parametrize(
    ("text", "left", "operator", "target"),
    [
        ("lines >= 30", "lines", ">=", 30),
        ("30 <= lines", "lines", ">=", 30),
        ("30 > lines", "lines", "<", 30),
        ("3 = lines", "lines", "=", 3),
        ("3 <> lines", "lines", "<>", 3),
        ("lines + user.level * 2 < 3 * (4 + 1) - 20", "lines + user.level * 2", "<", -5),
        ("lines > -(-3)", "lines", ">", 3),
        ("lines > -(1 + 2)", "lines", ">", -3),
    ],
)
def test_comparison_with_a_constant(text: str, left: str, operator: str, target: int) -> None:
    """An integer's comparison with a constant has the constant on its right."""
    found = comparison(parse(text, NAMES, BOOLEAN))
    assert found == Comparison(parse(left, NAMES, INTEGER), operator, target)


@pytest.mark.parametrize(
    "text",
    ["gift", "lines > amount", "service = 'a'", "lines BETWEEN 1 AND 2", "NOT lines > 1", "lines IN (1)"],
)
def test_other_conditions_are_no_comparison(text: str) -> None:
    """Only an integer compared with a constant is a comparison."""
    assert comparison(parse(text, NAMES, BOOLEAN)) is None
