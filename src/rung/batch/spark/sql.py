"""The batch layer's SQL for Spark: DuckDB's text, read by sqlglot, with what sqlglot does not map.

Each change that is made to the tree is a function here, named after what it is about. A function that neither
sqlglot nor this module knows is refused, so that nothing reaches Spark that would mean something else there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from sqlglot import ErrorLevel, exp, parse_one

from rung.campaign.model import AttributeType
from rung.transaction.attributes import INTEGER_MAX

_INDEX: Final = "i"
"""What the source calls a lambda's second parameter, which counts from 1 there and from 0 in Spark."""

_OWN: Final = frozenset(
    {"AGGREGATE", "ARRAY_POSITION", "ARRAYS_OVERLAP", "ARRAYS_ZIP", "CONV", "GET", "INLINE", "MD5"}
    | {"REGEXP_REPLACE", "REVERSE", "SCHEMA_OF_VARIANT", "SIZE", "SLICE", "SUBSTRING", "TRY_PARSE_JSON"}
    | {"TRY_VARIANT_GET", "VARIANT_GET", "XXHASH64"}
)
"""Functions of Spark that are written here by name."""


class Untranslated(Exception):
    """The SQL has something that is not known to mean the same in Spark."""


class Staged(NamedTuple):
    """A query in Spark's SQL, and what is to be computed once before it: relations by name, in order."""

    relations: tuple[tuple[str, str], ...]
    query: str


def to_spark(text: str) -> Staged:
    """Return a query of DuckDB's as Spark's; its rows come in no order.

    Relations keep their names. Unsigned integers are carried in signed ones of the same 64 bits.

    Raises:
        Untranslated: it uses a function that is not known here.
    """
    tree = parse_one(text, read="duckdb")
    tree.set("order", None)
    relations = tuple((name, _written(query)) for name, query in _materialized(tree))
    return Staged(relations, _written(tree))


def _materialized(tree: exp.Expr) -> list[tuple[str, exp.Expr]]:
    """Take out what is to be computed once: Spark would compute it again wherever it is named."""
    found: list[tuple[str, exp.Expr]] = []
    for clause in list(tree.find_all(exp.CTE)):
        if clause.args.get("materialized"):
            found.append((clause.alias, clause.this))
            others = clause.parent
            clause.pop()
            if others is not None and not others.expressions:
                others.pop()
    return found


def _written(tree: exp.Expr) -> str:
    for change in _CHANGES:
        tree = tree.transform(change)
    unknown = sorted({found.name.upper() for found in tree.find_all(exp.Anonymous)} - _OWN)
    if unknown:
        raise Untranslated(f"{', '.join(unknown)}: not known to mean the same in Spark")
    return tree.sql(dialect="spark", unsupported_level=ErrorLevel.RAISE)


def _hash(node: exp.Expr) -> exp.Expr:
    """Hashes only tell rows apart before they are compared: any good one serves."""
    return _call("XXHASH64", *node.expressions) if _is_call(node, "HASH") else node


def _join(node: exp.Expr) -> exp.Expr:
    """SEMI JOIN and ANTI JOIN are of the left side."""
    if isinstance(node, exp.Join) and node.kind in {"SEMI", "ANTI"}:
        node.set("side", "LEFT")
    return node


def _length(node: exp.Expr) -> exp.Expr:
    """Lengths are those of lists: the source takes no other."""
    return _call("SIZE", node.this) if isinstance(node, exp.Length) else node


def _element(node: exp.Expr) -> exp.Expr:
    """`list[a:b]` has both ends, counted from 1, as `list[n]` is; NULL where there is none."""
    if not isinstance(node, exp.Bracket):
        return node
    (inside,) = node.expressions
    if not isinstance(inside, exp.Slice):
        return _call("GET", node.this, _minus_one(inside))
    first, last = inside.this, inside.expression
    count = exp.Add(
        this=exp.Sub(this=exp.paren(last), expression=exp.paren(first.copy())), expression=_number(1)
    )
    return _call("SLICE", node.this, first, exp.Greatest(this=count, expressions=[_number(0)]))


def _position(node: exp.Expr) -> exp.Expr:
    """Where a value stands: 0 instead of NULL where it does not, and no condition holds for either."""
    return _call("ARRAY_POSITION", *node.expressions) if _is_call(node, "LIST_POSITION") else node


def _overlap(node: exp.Expr) -> exp.Expr:
    return (
        _call("ARRAYS_OVERLAP", node.this, node.expression) if isinstance(node, exp.ArrayOverlaps) else node
    )


def _list_sum(node: exp.Expr) -> exp.Expr:
    if not _is_call(node, "LIST_SUM"):
        return node
    names = [exp.to_identifier("total"), exp.to_identifier("one")]
    adding = exp.Lambda(
        this=exp.Add(this=exp.column("total"), expression=exp.column("one")), expressions=names
    )
    return _call("AGGREGATE", node.expressions[0], exp.cast(_number(0), "BIGINT"), adding)


def _lambda_index(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Lambda) and len(node.expressions) == 2:
        for used in list(node.this.find_all(exp.Column, exp.Identifier)):
            is_name = isinstance(used, exp.Column) or not isinstance(used.parent, exp.Column)
            if is_name and used.name == _INDEX:
                used.replace(exp.paren(exp.Add(this=used.copy(), expression=_number(1))))
    return node


def _parallel_lists(node: exp.Expr) -> exp.Expr:
    """Several lists of one length in one SELECT make one row for each place, and not for each pair."""
    if not isinstance(node, exp.Select):
        return node
    columns: list[exp.Expr] = node.expressions
    lists = [one for one in columns if isinstance(one.unalias(), exp.Explode | exp.Unnest)]
    if len(lists) < 2:
        return node
    zipped = _call("INLINE", _call("ARRAYS_ZIP", *(_list_of(one.unalias()) for one in lists)))
    names = [exp.to_identifier(one.alias, quoted=True) for one in lists]
    others = [one for one in columns if one not in lists]
    node.set("expressions", [*others, exp.Aliases(this=zipped, expressions=names)])
    return node


def _token(node: exp.Expr) -> exp.Expr:
    """The lower half of an MD5 digest, little-endian: its bytes, written in hexadecimal, in reverse."""
    if not _is_call(node, "MD5_NUMBER_LOWER"):
        return node
    half = _call("SUBSTRING", _call("MD5", *node.expressions), _number(17))
    swapped = _call(
        "REGEXP_REPLACE", _call("REVERSE", half), exp.Literal.string("(.)(.)"), exp.Literal.string("$2$1")
    )
    return exp.cast(_call("CONV", swapped, _number(16), exp.Neg(this=_number(10))), "BIGINT")


def _attribute(node: exp.Expr) -> exp.Expr:
    """The value of an attribute if it is of its type: of JSON, only a variant still knows the type."""
    for kind, (name, type_) in _ATTRIBUTES.items():
        if _is_call(node, f"ATTRIBUTE_{kind.value}"):
            told, attribute = node.expressions
            parsed, place = _call("TRY_PARSE_JSON", told), exp.Literal.string(f"$.{attribute.name}")
            found = _call("VARIANT_GET", parsed, place, exp.Literal.string("variant"))
            value = _call("TRY_VARIANT_GET", parsed.copy(), place.copy(), exp.Literal.string(type_))
            fits: exp.Expr = exp.EQ(
                this=_call("SCHEMA_OF_VARIANT", found), expression=exp.Literal.string(name)
            )
            if kind is AttributeType.INTEGER:
                bound = exp.Literal.number(INTEGER_MAX)
                within = exp.Between(this=value, low=exp.Neg(this=bound), high=bound.copy())
                fits = exp.and_(fits, within)
            return exp.Case(ifs=[exp.If(this=fits, true=value.copy())])
    return node


def _unsigned(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.DataType) and node.this is exp.DType.UBIGINT:
        return exp.DataType.build("BIGINT")
    return node


_ATTRIBUTES: Final = {
    AttributeType.STRING: ("STRING", "string"),
    AttributeType.INTEGER: ("BIGINT", "bigint"),
    AttributeType.BOOLEAN: ("BOOLEAN", "boolean"),
}
"""What Spark calls the type of such a variant, and what it is read as."""

_CHANGES: Final[tuple[Callable[[exp.Expr], exp.Expr], ...]] = (
    _hash,
    _join,
    _length,
    _lambda_index,
    _element,
    _position,
    _overlap,
    _list_sum,
    _parallel_lists,
    _token,
    _attribute,
    _unsigned,
)


def _list_of(node: exp.Expr) -> exp.Expr:
    return node.expressions[0] if isinstance(node, exp.Unnest) else node.this


def _minus_one(index: exp.Expr) -> exp.Expr:
    return exp.Sub(this=exp.paren(index), expression=_number(1))


def _is_call(node: exp.Expr, name: str) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.upper() == name.upper()


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)
