"""Expressions: a closed subset of SQL, checked against declared names, for Python and for DuckDB.

The grammar is: names and `user.NAME`, integers, strings in single quotes, TRUE and FALSE;
`= <> != < <= > >=`, `[NOT] IN (values)`, `[NOT] BETWEEN low AND high`, `IS [NOT] NULL`;
`+ - *` and unary minus on integers; AND, OR, NOT and parentheses. Keywords are in any case, names
are not. NULL is SQL's: a missing name is NULL, and a condition is true, false or NULL.
"""

from __future__ import annotations

from rung.campaign.expression.node import Expression, ExpressionError, UnknownName, Value, ValueType
from rung.campaign.expression.parse import parse
from rung.campaign.expression.python import to_python
from rung.campaign.expression.shape import Comparison, alternatives, comparison, conjuncts
from rung.campaign.expression.sql import to_sql

__all__ = [
    "Comparison",
    "Expression",
    "ExpressionError",
    "UnknownName",
    "Value",
    "ValueType",
    "alternatives",
    "comparison",
    "conjuncts",
    "parse",
    "to_python",
    "to_sql",
]
