"""The grammar of expressions: what is read, how it is written canonically, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.campaign.expression import Expression, ExpressionError, ValueType, parse

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


def read(text: str, expected: ValueType | None) -> Expression | ExpressionError:
    """Return an expression, or why it is refused."""
    try:
        return parse(text, NAMES, expected)
    except ExpressionError as error:
        return error


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("amount>=100", "amount >= 100"),
        ("  amount\n\t>= 0100 ", "amount >= 100"),
        ("amount != 1", "amount <> 1"),
        ("service in ('a','it''s')", "service IN ('a', 'it''s')"),
        ("not service not in ('a')", "NOT service NOT IN ('a')"),
        ("service is not null or lines Is Null", "service IS NOT NULL OR lines IS NULL"),
        ("NOT (service IS NULL)", "service IS NOT NULL"),
        ("amount between -1 and +lines".replace("+", ""), "amount BETWEEN -1 AND lines"),
        ("(gift) = true", "gift = TRUE"),
        ("gift and (user.premium and (not gift))", "gift AND user.premium AND NOT gift"),
        ("gift or (user.premium and not gift)", "gift OR user.premium AND NOT gift"),
        ("(gift or user.premium) and not (gift or gift)", "(gift OR user.premium) AND NOT (gift OR gift)"),
        ("NOT amount = 5", "NOT amount = 5"),
        ("amount - (lines - 5) - 3 > 0", "amount - (lines - 5) - 3 > 0"),
        ("(amount - lines) - 5 > 0", "amount - lines - 5 > 0"),
        ("(2 * lines) + 3 * (amount + 1) > 0", "2 * lines + 3 * (amount + 1) > 0"),
        ("-(-amount) - -5 > - lines", "amount - -5 > -lines"),
        ("amount > -(5)", "amount > -5"),
        ("left BETWEEN 1 AND 2 AND gift", "left BETWEEN 1 AND 2 AND gift"),
        ("service < '日本' AND method <> ''", "service < '日本' AND method <> ''"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    """Spellings of one condition have one canonical text, which reads back to the same expression."""
    expression = parse(text, NAMES, BOOLEAN)
    assert expression.text == canonical
    assert parse(canonical, NAMES, BOOLEAN) == expression


@pytest.mark.parametrize(
    ("text", "message", "wrong", "suggestion"),
    [
        ("", "the expression is empty", "", None),
        (" ", "the expression is empty", "", None),
        ("amount >", "the text ends where a name, a value or ( is due", "", None),
        ("gift AND", "the text ends where a condition is due", "", None),
        ("gift AND AND gift", "AND is unexpected: a condition is due", "AND", None),
        ("> 5", "> is unexpected: a condition is due", ">", None),
        (
            "gift user.premium",
            "user is unexpected: an operator (= <> < <= > >= IN BETWEEN IS AND OR + - *) is due",
            "user",
            None,
        ),
        ("amount =< 5", "< is unexpected: a name, a value or ( is due", "<", None),
        ("amount ! 5", "`!` is not an SQL operator", "!", "write NOT"),
        ("!gift", "`!` is not an SQL operator", "!", "write NOT"),
        ("amount % 2 = 0", "remainder (%) is not available", "%", "the operators are + - * = <> < <= > >="),
        (
            "amount DIV 2 = 0",
            "division is not available, since its rounding would be a guess",
            "DIV",
            "multiply the other side instead: a >= b * 2 for a / 2 >= b",
        ),
        ("service || 'x' = 'y'", "`||` is not available", "||", "write OR to join conditions"),
        (
            "gift; gift",
            "`;` ends the expression: one expression is due",
            ";",
            "join conditions with AND or OR",
        ),
        ("SELECT 1", "queries are not available in an expression", "SELECT", None),
        ("lines IN (SELECT 1)", "queries are not available in an expression", "SELECT", None),
        ("CASE WHEN gift THEN 1 END = 1", "CASE is not available", "CASE", "join conditions with AND and OR"),
        ("amount BETWEEN 5", "BETWEEN needs two bounds", "BETWEEN", "write name BETWEEN low AND high"),
        (
            "(amount BETWEEN 5) AND gift",
            "BETWEEN needs two bounds",
            "BETWEEN",
            "write name BETWEEN low AND high",
        ),
        ("amount BETWEEN 5 OR 6", "BETWEEN needs two bounds", "BETWEEN", "write name BETWEEN low AND high"),
        ("amount = NULL", "NULL is only available as IS NULL and IS NOT NULL", "NULL", None),
        ("gift = NOT gift", "NOT belongs in front of a whole condition", "NOT", "write <> for NOT ="),
        ("lines IN amount", "amount is unexpected: ( and a list of values is due", "amount", None),
        (
            "lines IN (amount)",
            "amount is unexpected: a value (an integer, a 'string', TRUE or FALSE) is due",
            "amount",
            None,
        ),
        ("lines IN (1", "the text ends where , or ) is due", "", None),
        ("lines IN (1 2)", "2 is unexpected: , or ) is due", "2", None),
        ("lines IN (- 'a')", "'a' is unexpected: a number is due", "'a'", None),
        ("lines NOT 5", "5 is unexpected: IN or BETWEEN is due", "5", None),
        ("amount > 1e3", "1e3 is not an integer", "1e3", "write digits only"),
        ("amount > 1_000", "1_000 is not an integer", "1_000", "write digits only"),
        ("amount > 0x1F", "0x1F is not an integer", "0x1F", "write digits only"),
        (
            "amount > .5",
            ".5 is not an integer",
            ".5",
            "amounts are integers in minor units: 1000 pence, not 10.00",
        ),
        ("amount > 12345678901234567890", "an integer has at most 19 digits", "12345678901234567890", None),
        (
            "amount > 9223372036854775808",
            "this integer could exceed 64 bits",
            "9223372036854775808",
            "amounts go up to 10**12, other names up to 2**53, results up to 2**63 - 1",
        ),
        (
            "gift AND (amount * 9223372 + 1) * 2 > 0",
            "this integer could exceed 64 bits",
            "amount * 9223372 + 1) * 2",
            "amounts go up to 10**12, other names up to 2**53, results up to 2**63 - 1",
        ),
        ("amount > '5' + 1", "an integer is due here, and this is a string", "'5'", None),
        (
            "service",
            "a condition is due here, and this is a string",
            "service",
            "compare it: service = 'value'",
        ),
        (
            "gift AND lines",
            "a condition is due here, and this is an integer",
            "lines",
            "compare it: lines >= 1",
        ),
        ("NOT (amount + 1)", "a condition is due here, and this is an integer", "amount + 1", None),
        ("gift > user.premium", "booleans have no order", "gift", "use = or <>, or the name on its own"),
        (
            "gift BETWEEN TRUE AND TRUE",
            "booleans have no order",
            "gift",
            "use = or <>, or the name on its own",
        ),
        (
            "gift = (amount > 5)",
            "a condition cannot be compared",
            "amount > 5",
            "join conditions with AND, OR and NOT",
        ),
        (
            "gift = 1",
            "a boolean cannot be compared with an integer",
            "gift = 1",
            "gift is a boolean: write gift or NOT gift",
        ),
        (
            "service = TRUE",
            "a string cannot be compared with a boolean",
            "service = TRUE",
            "service is a string: write 'true'",
        ),
        (
            "5 = service",
            "an integer cannot be compared with a string",
            "5 = service",
            "service is a string: write '5'",
        ),
        ("lines IN (1, 'a')", "an integer cannot be compared with a string", "lines IN (1, 'a'", None),
        (
            "(amount + 1) IS NULL",
            "IS NULL is only available for a name",
            "amount + 1",
            "write a IS NULL OR b IS NULL for (a + b) IS NULL",
        ),
        (
            "gift AND 1 < 2",
            "this condition does not depend on any name",
            "1 < 2",
            "amount >= 0 holds for every purchase",
        ),
        (
            "NOT FALSE",
            "this condition does not depend on any name",
            "FALSE",
            "amount >= 0 holds for every purchase",
        ),
        (
            "1 IN (1)",
            "this condition does not depend on any name",
            "1 IN (1",
            "amount >= 0 holds for every purchase",
        ),
        ("user.premim", "unknown name user.premim", "user.premim", "did you mean user.premium?"),
        ("premium", "unknown name premium", "premium", "did you mean user.premium?"),
        ("user.a.b.c.d", "unknown name user.a.b.c.d", "user.a.b.c.d", None),
        ("AMOUNT > 5", "unknown name AMOUNT", "AMOUNT", "did you mean amount?"),
        ("user.5 > 1", "5 is unexpected: a name is due", "5", None),
        (
            "`gift`",
            "a string is written in single quotes, a name without quotes",
            "`gift`",
            "write 'gift' for a string",
        ),
        ('service = "', "a string is written in single quotes, a name without quotes", '"', None),
        (
            "gift /* why */",
            "comments are not available in an expression",
            "/*",
            "a comment belongs in the YAML, after #",
        ),
        (
            "gift {# why #}",
            "comments are not available in an expression",
            "{#",
            "a comment belongs in the YAML, after #",
        ),
        ("service = 'a\tb'", "a string cannot hold a control character", "\t", None),
        ("amount = N'a'", "N'a' is unexpected: a name, a value or ( is due", "N'a'", None),
    ],
)
def test_refusal(text: str, message: str, wrong: str, suggestion: str | None) -> None:
    """What is outside the grammar, or does not fit the names, is refused with its place and a fix."""
    with pytest.raises(ExpressionError) as raised:
        parse(text, NAMES, BOOLEAN)
    error = raised.value
    assert (error.message, text[error.offset : error.offset + error.length]) == (message, wrong)
    if suggestion is not None or not message.startswith("unknown"):
        assert error.suggestion == suggestion


@given(st.text(alphabet="agiftmounle.'()=<>!+-*/,05 \n\"&|_%;{#}$日", max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    """No text gives anything but an expression or an error within the text."""
    match read(text, None):
        case ExpressionError() as error:
            assert 0 <= error.offset <= len(text)
            assert error.offset + error.length <= len(text) + 1
        case expression:
            assert expression.names


words = st.lists(
    st.one_of(
        st.sampled_from(["amount", "service", "gift", "user", ".", "premium", "5", "'a'", "TRUE"]),
        st.sampled_from(["(", ")", ",", "=", "<>", "<", "AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL"]),
        st.sampled_from(["+", "-", "*"]),
    ),
    max_size=12,
).map(" ".join)


@given(words)
def test_any_words_are_read_or_refused(text: str) -> None:
    """What passes the order of words is what sqlglot reads, and reads back from its canonical text."""
    match read(text, None):
        case ExpressionError() as error:
            assert error.message
        case expression:
            assert parse(expression.text, NAMES, expression.type) == expression


def test_names_are_those_of_the_text() -> None:
    """An expression knows the names that it needs."""
    expression = parse("lines > 1 AND (user.premium OR service IN ('a')) OR lines IS NULL", NAMES, BOOLEAN)
    assert expression.names == {"lines", "user.premium", "service"}
    assert expression.type is BOOLEAN
    assert hash(expression) == hash(parse(expression.text, NAMES, None))
