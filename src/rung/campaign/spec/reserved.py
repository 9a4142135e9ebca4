"""Words that cannot be names in a spec."""

from __future__ import annotations

OWN_NAMES = frozenset({"amount", "gross_amount", "refunded_amount", "day", "user"})
"""What expressions call a purchase's own figures, and where they find a user's attributes."""

YAML_CONSTANTS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"})
"""What other readers of YAML do not take as text when it has no quotes, in lower case."""

# fmt: off
SQL_KEYWORDS = frozenset((
    "all", "and", "any", "as", "asc", "between", "by", "case", "cast", "cross", "current_date",
    "current_time", "current_timestamp", "desc", "distinct", "div", "else", "end", "except", "exists",
    "false", "for", "from", "full", "group", "having", "ilike", "in", "inner", "intersect", "into",
    "is", "join", "left", "like", "limit", "natural", "not", "null", "offset", "on", "or", "order",
    "outer", "right", "select", "some", "table", "then", "true", "union", "unique", "using", "when",
    "where", "with",
))
"""Keywords that SQL engines reserve, so that an expression reads the same to all of them."""
# fmt: on
