"""Which fault strikes which request: rules with a share and a filter, drawn from one seeded source."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any, Final, Literal, TypeAlias, get_args

RuleName: TypeAlias = Literal[
    "delay",
    "blackhole",
    "drop_before",
    "throttle",
    "transaction_conflict",
    "server_error",
    "strip_token",
    "unprocessed",
    "duplicate",
    "stale",
    "drop_after",
]
ORDER: Final[tuple[RuleName, ...]] = get_args(RuleName)
"""In which order they are drawn and act on a request."""

WRITES: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
_BATCHES: Final = frozenset({"BatchGetItem", "BatchWriteItem"})
_APPLY_TO: Final[dict[RuleName, frozenset[str]]] = {
    "transaction_conflict": frozenset({"TransactWriteItems", "TransactGetItems"}),
    "strip_token": frozenset({"TransactWriteItems"}),
    "unprocessed": _BATCHES,
    "duplicate": WRITES,
    "stale": frozenset({"GetItem", "BatchGetItem"}),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Strikes a share of the requests, 0 to 1, of the operations given; None is all that it can apply to."""

    share: float
    operations: frozenset[str] | None = None
    seconds: float = 0.0
    remaining: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a share is 0 to 1, not {self.share:g}")


@dataclass(slots=True)
class Request:
    """What a proxy did with one request."""

    operation: str
    body: dict[str, Any]
    struck_by: list[RuleName] = field(default_factory=list["RuleName"])
    forwarded: int = 0
    statuses: list[int] = field(default_factory=list[int])

    @property
    def is_write(self) -> bool:
        """Whether it changes items."""
        return self.operation in WRITES

    @property
    def adds(self) -> bool:
        """Whether it has an update expression with ADD, which a second time adds again."""
        updates: list[Any] = [self.body]
        updates += [item["Update"] for item in self.body.get("TransactItems", ()) if "Update" in item]
        return any("ADD" in str(update.get("UpdateExpression", "")).upper().split() for update in updates)


class Rules:
    """The rules in force, and how often each has struck."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.struck: Counter[tuple[RuleName, str]] = Counter()
        self._rules: dict[RuleName, Rule] = {}
        self._changing = Lock()

    def set(self, name: RuleName, rule: Rule) -> None:
        """Put a rule into force, in the place of an earlier one of its name."""
        if name not in ORDER:
            raise ValueError(f"there is no rule {name!r}: there are {', '.join(ORDER)}")
        with self._changing:
            # A new dictionary, because the proxy's thread reads the old one.
            self._rules = {**self._rules, name: rule}

    def clear(self, *names: RuleName) -> None:
        """Put rules out of force; without a name, all."""
        gone = names or ORDER
        with self._changing:
            self._rules = {name: rule for name, rule in self._rules.items() if name not in gone}

    def draw(self, request: Request) -> dict[RuleName, Rule]:
        """Return the rules that strike a request. Each rule that could strike draws once, in order."""
        drawn: dict[RuleName, Rule] = {}
        rules = self._rules
        for name in ORDER:
            rule = rules.get(name)
            if rule is None or not _matches(name, rule, request.operation):
                continue
            if self.random.random() < rule.share and self._has_left(name, rule):
                drawn[name] = rule
        return drawn

    def count(self, name: RuleName, request: Request) -> None:
        """Note that a rule has struck: it did something to this request."""
        request.struck_by.append(name)
        self.struck[name, request.operation] += 1

    def _has_left(self, name: RuleName, rule: Rule) -> bool:
        """Whether a rule that strikes a number of times has one left; take it."""
        if rule.remaining is None:
            return True
        if rule.remaining == 0:
            return False
        with self._changing:
            # It may have been replaced or cleared since it was drawn, and stays so.
            if self._rules.get(name) is rule:
                left = Rule(rule.share, rule.operations, rule.seconds, rule.remaining - 1)
                self._rules = {**self._rules, name: left}
        return True


def _matches(name: RuleName, rule: Rule, operation: str) -> bool:
    possible = _APPLY_TO.get(name)
    return (possible is None or operation in possible) and (
        rule.operations is None or operation in rule.operations
    )
