"""The value of expressions: one three-valued logic in Python and in DuckDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.campaign.expression import Expression, ExpressionError, Value, ValueType, parse, to_python, to_sql
from rung.campaign.expression.grammar import ARITHMETIC_OPERATORS_MAX, DEPTH_MAX
from rung.campaign.expression.tokens import LENGTH_MAX

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
SQL_TYPES = {BOOLEAN: "BOOLEAN", INTEGER: "BIGINT", STRING: "VARCHAR"}


def quoted(name: str) -> str:
    """Return a name as a DuckDB column."""
    return f'"{name}"'


def read(text: str, expected: ValueType | None) -> Expression | ExpressionError:
    """Return an expression, or why it is refused."""
    try:
        return parse(text, NAMES, expected)
    except ExpressionError as error:
        return error


REFUSED_BY_CHANCE = {
    "this condition does not depend on any name",
    "this value does not depend on any name",
    "this integer could exceed 64 bits",
}

# Expressions by their types, as text with needless parentheses; bounds keep products within 64 bits.
small = st.integers(-9, 9).map(str)
constants = st.one_of(small, st.sampled_from([str(10**12), str(2**53), str(-(2**53)), "2147483647"]))
integer_names = st.sampled_from([name for name, type_ in NAMES.items() if type_ is INTEGER])
sums = st.recursive(
    integer_names | constants,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-"), inner),
        st.builds("({} * {})".format, inner, small),
        inner.map("(- {})".format),
    ),
    max_leaves=3,
)
strings = st.sampled_from(["service", "method", "'mall'", "'it''s'", "''", "'日本'", "'Z'"])
booleans = st.sampled_from(["gift", "user.premium", "TRUE", "FALSE"])
signs = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
negations = st.sampled_from(["", "NOT "])
predicates = st.one_of(
    st.sampled_from(["gift", "user.premium"]),
    st.builds("{} {} {}".format, sums, signs, sums),
    st.builds("{} {} {}".format, strings, signs, strings),
    st.builds("{} {} {}".format, booleans, st.sampled_from(["=", "<>"]), booleans),
    st.builds("{} {}BETWEEN {} AND {}".format, sums, negations, sums, sums),
    st.builds("{} {}BETWEEN {} AND {}".format, strings, negations, strings, strings),
    st.builds("{} {}IN ({}, {})".format, sums, negations, constants, constants),
    st.builds("{} {}IN ('mall', 'Z')".format, strings, negations),
    st.builds("{} IS {}NULL".format, st.sampled_from(list(NAMES)), negations),
)
conditions = st.recursive(
    predicates,
    lambda inner: st.one_of(
        inner.map("NOT ({})".format),
        inner.map("({})".format),
        st.builds("({}) AND {}".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("{} OR {} AND {}".format, inner, inner, inner),
    ),
    max_leaves=6,
)
values: dict[ValueType, st.SearchStrategy[Value]] = {
    BOOLEAN: st.sampled_from([None, True, False]),
    INTEGER: st.one_of(st.none(), st.integers(-10, 10), st.sampled_from([2**53, -(2**53), 10**12])),
    STRING: st.sampled_from([None, "mall", "it's", "", "日本", "Z", "z"]),
}
rows = st.fixed_dictionaries({name: values[type_] for name, type_ in NAMES.items()}).map(
    lambda row: {
        # An amount has a bound of its own.
        name: max(-(10**12), min(10**12, value)) if name == "amount" and isinstance(value, int) else value
        for name, value in row.items()
    }
)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield one DuckDB for the module."""
    with duckdb.connect() as connection:
        yield connection


def answer(
    engine: duckdb.DuckDBPyConnection, expression: Expression, rows: list[dict[str, Value]]
) -> list[Value]:
    """Return what DuckDB says of each row."""
    columns = ", ".join(f'CAST(? AS {SQL_TYPES[type_]}) AS "{name}"' for name, type_ in NAMES.items())
    table = " UNION ALL ".join(f"SELECT {index} AS place, {columns}" for index in range(len(rows)))
    parameters = [row.get(name) for row in rows for name in NAMES]
    query = f"SELECT {to_sql(expression, quoted)} FROM ({table}) ORDER BY place"
    return [value for (value,) in engine.execute(query, parameters).fetchall()]


@given(text=conditions, rows=st.lists(rows, min_size=1, max_size=4))
def test_python_and_duckdb_agree(
    engine: duckdb.DuckDBPyConnection, text: str, rows: list[dict[str, Value]]
) -> None:
    """A condition has the same answer (true, false or NULL) in Python and in DuckDB."""
    expression = read(text, BOOLEAN)
    if isinstance(expression, ExpressionError):
        assert expression.message in REFUSED_BY_CHANCE
        return
    evaluate = to_python(expression)
    assert [evaluate(row) for row in rows] == answer(engine, expression, rows)
    assert parse(expression.text, NAMES, BOOLEAN) == expression


@given(text=sums, row=rows)
def test_integers_agree_and_stay_within_64_bits(
    engine: duckdb.DuckDBPyConnection, text: str, row: dict[str, Value]
) -> None:
    """An accepted integer expression has the same value in Python and in DuckDB, without overflow."""
    expression = read(text, INTEGER)
    if isinstance(expression, ExpressionError):
        assert expression.message in REFUSED_BY_CHANCE
        return
    value = to_python(expression)(row)
    assert [value] == answer(engine, expression, [row])
    assert value is None or abs(int(value)) < 2**63


def test_small_columns_do_not_overflow(engine: duckdb.DuckDBPyConnection) -> None:
    """Arithmetic is done on 64 bits even if column and constant are of smaller types."""
    expression = parse("lines * 100 + 2147483647", NAMES, INTEGER)
    query = f'SELECT {to_sql(expression, quoted)} FROM (SELECT CAST(127 AS TINYINT) AS "lines")'
    assert engine.execute(query).fetchall() == [(2147496347,)]


@pytest.mark.parametrize(
    ("text", "row", "value"),
    [
        ("gift AND amount > 5", {}, None),
        ("gift AND amount > 5", {"amount": 1}, False),
        ("gift OR amount > 5", {"amount": 6}, True),
        ("gift OR amount > 5", {"amount": 1}, None),
        ("NOT gift", {}, None),
        ("service NOT IN ('a')", {}, None),
        ("service NOT IN ('a')", {"service": "b"}, True),
        ("amount BETWEEN 1 AND lines", {"amount": 0}, False),
        ("amount BETWEEN 1 AND lines", {"amount": 2}, None),
        ("gift = FALSE", {"gift": False}, True),
        ("lines IS NULL", {}, True),
    ],
)
def test_missing_names_are_null(text: str, row: dict[str, Value], value: Value) -> None:
    """A missing name makes a condition NULL unless the rest decides it."""
    assert to_python(parse(text, NAMES, BOOLEAN))(row) is value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * DEPTH_MAX + "gift" + ")" * DEPTH_MAX, None),
        (
            "(" * (DEPTH_MAX + 1) + "gift" + ")" * (DEPTH_MAX + 1),
            "the expression is nested more than 16 deep",
        ),
        ("(" * 4000 + "gift", "the expression is nested more than 16 deep"),
        ("NOT " * DEPTH_MAX + "gift", None),
        ("NOT " * (DEPTH_MAX + 1) + "gift", "the expression is nested more than 16 deep"),
        ("- " * DEPTH_MAX + "amount > 1", None),
        ("- " * (DEPTH_MAX + 1) + "amount > 1", "the expression is nested more than 16 deep"),
        (" AND ".join(["-amount > - 5"] * 300), None),
        ("amount" + " + 1" * ARITHMETIC_OPERATORS_MAX + " > 0", None),
        (
            "amount" + " + 1" * (ARITHMETIC_OPERATORS_MAX + 1) + " > 0",
            "an expression has at most 64 of + - *",
        ),
        (" OR ".join(["gift"] * 1000), None),
        ("gift" + " " * (LENGTH_MAX - 4), None),
        ("gift" + " " * (LENGTH_MAX - 3), "an expression has at most 8192 characters, this one has 8193"),
        ("lines IN (" + ", ".join(map(str, range(1500))) + ")", None),
        ("gift=gift AND " * 580 + "gift", "an expression has at most 8192 characters, this one needs 9284"),
    ],
)
def test_limits(text: str, message: str | None, engine: duckdb.DuckDBPyConnection) -> None:
    """Up to its limits an expression works everywhere, beyond them it is refused."""
    if message is not None:
        with pytest.raises(ExpressionError) as raised:
            parse(text, NAMES, BOOLEAN)
        assert raised.value.message == message
        return
    expression = parse(text, NAMES, BOOLEAN)
    assert parse(expression.text, NAMES, BOOLEAN) == expression
    row: dict[str, Value] = {"gift": True, "amount": 7, "lines": 3}
    assert to_python(expression)(row) == answer(engine, expression, [row])[0]


def test_sql_quotes_what_it_is_given() -> None:
    """Columns are written by the caller, and strings are quoted."""
    expression = parse("NOT user.premium AND method = 'it''s' AND -lines * 2 < 3", NAMES, BOOLEAN)
    assert to_sql(expression, lambda name: f"row[{name!r}]") == (
        "((NOT row['user.premium']) AND (row['method'] = 'it''s') "
        "AND (((-CAST(row['lines'] AS BIGINT)) * CAST(2 AS BIGINT)) < 3))"
    )
