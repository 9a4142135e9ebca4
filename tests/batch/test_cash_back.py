"""Cash back: exact, rounded for each transaction, and limited by the caps; compared with plain decimals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.by_hand import EXACT, ROUNDINGS
from rung.batch.settlement.cash_back import cash_back_sql, met_column, rate_scale
from rung.campaign.model import Version
from rung.campaign.spec import load

ON = {None: None, "country = 'DE'": "country", "lines > 2 OR amount < 50": "lines", "NOT gift": "gift"}


@dataclass(frozen=True)
class Bought:
    """A purchase as it is now."""

    user: str
    number: int
    at: int
    gross: int
    refunded: int
    country: str | None
    lines: int | None
    gift: bool | None

    @property
    def amount(self) -> int:
        return self.gross - self.refunded

    def is_on(self, on: str | None) -> bool:
        """Tell whether one of the conditions in `ON` is true: NULL is not."""
        if on is None:
            return True
        if ON[on] == "country":
            return self.country == "DE"
        if ON[on] == "gift":
            return self.gift is False
        return (self.lines is not None and self.lines > 2) or self.amount < 50


@dataclass(frozen=True)
class Rules:
    """A reward."""

    base: str
    steps: Sequence[tuple[str, str | None]]
    rounding: str = "down"
    per_transaction: int | None = None
    per_period: int | None = None

    def version(self) -> Version:
        limits = {"per_transaction": self.per_transaction, "per_period": self.per_period}
        cap = ", ".join(f"{name}: {limit}" for name, limit in limits.items() if limit is not None)
        steps = "".join(
            f'        - {{name: s{index}, add_percent: "{add}"' + (f', on: "{on}"}}\n' if on else "}\n")
            for index, (add, on) in enumerate(self.steps)
        )
        if self.steps:
            steps = f"      steps:\n{steps}"
        spec = f"""\
campaign: small
timezone: UTC
currency: EUR
attributes: {{country: string, lines: integer, gift: boolean}}
versions:
  - version: 0
    counts_from: 2021-01
    measures: {{total: {{sum: amount}}}}
    reward:
      base_percent: "{self.base}"
      rounding: {self.rounding}
{f"      cap: {{{cap}}}" if cap else ""}
{steps}
"""
        return load(spec, "spec").versions[0]


def by_sql(
    rules: Rules, bought: Sequence[Bought], met: Mapping[str, Sequence[bool]]
) -> dict[int, tuple[Decimal, int]]:
    """Return the rate and the cash back of each purchase by its number."""
    version = rules.version()
    purchases = pa.table(
        {
            "user_id": pa.array([one.user for one in bought], pa.string()),
            "transaction_id": pa.array([f"{one.number:03}" for one in bought], pa.string()),
            "completed_at": pa.array([one.at for one in bought], pa.int64()),
            "amount": pa.array([one.amount for one in bought], pa.int64()),
            "gross_amount": pa.array([one.gross for one in bought], pa.int64()),
            "refunded_amount": pa.array([one.refunded for one in bought], pa.int64()),
            "attribute.country": pa.array([one.country for one in bought], pa.string()),
            "attribute.lines": pa.array([one.lines for one in bought], pa.int64()),
            "attribute.gift": pa.array([one.gift for one in bought], pa.bool_()),
        }
    )
    rates = pa.table(
        {
            "user_id": pa.array(list(met), pa.string()),
            **{
                met_column(index): pa.array([met[user][index] for user in met], pa.bool_())
                for index in range(len(rules.steps))
            },
        }
    )
    with duckdb.connect() as connection:
        connection.register("purchases", purchases)
        connection.register("rates", rates)
        found = connection.sql(cash_back_sql(version, '"purchases"', '"rates"')).fetchall()
    scale = rate_scale(version.reward)
    return {int(row[1]): (Decimal(row[4]) / scale, row[5]) for row in found}


def by_decimals(
    rules: Rules, bought: Sequence[Bought], met: Mapping[str, Sequence[bool]]
) -> dict[int, tuple[Decimal, int]]:
    """Return the same, purchase by purchase."""
    answers: dict[int, tuple[Decimal, int]] = {}
    earned = dict.fromkeys(met, 0)
    for one in sorted(bought, key=lambda one: (one.at, one.number)):
        rate = Decimal(rules.base)
        for (add, on), is_met in zip(rules.steps, met[one.user], strict=True):
            if is_met and one.is_on(on):
                rate += Decimal(add)
        exact = EXACT.divide(EXACT.multiply(Decimal(one.amount), rate), Decimal(100))
        granted = int(exact.quantize(Decimal(1), ROUNDINGS[rules.rounding], EXACT))
        if rules.per_transaction is not None:
            granted = min(granted, rules.per_transaction)
        if rules.per_period is not None:
            granted = min(granted, rules.per_period - earned[one.user])
        earned[one.user] += granted
        answers[one.number] = rate, granted
    return answers


@st.composite
def percents(draw: st.DrawFn) -> str:
    """Return a percentage with up to four decimals."""
    plain = draw(st.sampled_from(["0", "0.5", "1", "6", "1000", "0.0001", "33.3333", ""]))
    return plain or str(Decimal(draw(st.integers(0, 9_999))).scaleb(-draw(st.integers(1, 3))))


@st.composite
def many_rules(draw: st.DrawFn) -> Rules:
    steps = draw(st.lists(st.tuples(percents(), st.sampled_from(list(ON))), max_size=3))
    per_transaction = draw(st.none() | st.integers(1, 40))
    per_period = draw(st.none() | st.integers(per_transaction or 1, 120))
    return Rules(draw(percents()), steps, draw(st.sampled_from(list(ROUNDINGS))), per_transaction, per_period)


@st.composite
def purchases(draw: st.DrawFn) -> list[Bought]:
    amounts = st.integers(0, 400) | st.sampled_from([50, 150, 250, 10**12 - 1, 10**12])
    bought: list[Bought] = []
    for number in draw(st.lists(st.integers(0, 20), max_size=8, unique=True)):
        gross = draw(amounts)
        bought.append(
            Bought(
                draw(st.sampled_from(["ann", "bob"])),
                number,
                draw(st.integers(0, 3)),
                gross,
                draw(st.just(0) | st.integers(0, gross)),
                draw(st.sampled_from(["DE", "FR", "", None])),
                draw(st.sampled_from([None, 1, 3])),
                draw(st.sampled_from([None, True, False])),
            )
        )
    return bought


@given(st.data(), many_rules(), purchases())
def test_as_plain_decimals(data: st.DataObject, rules: Rules, bought: list[Bought]) -> None:
    """Rates, `on`, rounding and both caps give what decimals give, purchase by purchase."""
    met = {user: [data.draw(st.booleans()) for _ in rules.steps] for user in ("ann", "bob")}
    assert by_sql(rules, bought, met) == by_decimals(rules, bought, met)


def one(amount: int, number: int = 0, at: int = 0, user: str = "ann") -> Bought:
    return Bought(user, number, at, amount, 0, "DE", 1, gift=None)


@pytest.mark.parametrize(
    ("rounding", "granted"),
    [
        ("down", [0, 0, 1, 1, 2, 2]),
        ("up", [1, 1, 2, 2, 3, 3]),
        ("half_up", [0, 1, 1, 2, 2, 3]),
        ("half_even", [0, 0, 1, 2, 2, 2]),
    ],
)
def test_rounding(rounding: str, granted: list[int]) -> None:
    """Half a percent of 99, 100, 299, 300, 499 and 500: halves, and what is just below them."""
    bought = [one(amount, number) for number, amount in enumerate([99, 100, 299, 300, 499, 500])]
    found = by_sql(Rules("0.5", [], rounding), bought, {"ann": []})
    assert [found[number][1] for number in range(6)] == granted


def test_the_one_that_reaches_the_cap_gets_the_rest() -> None:
    """A period's cap is filled in the order of time, then id, for each user; rounding comes before it."""
    rules = Rules("10", [], per_transaction=30, per_period=50)
    bought = [one(900, 3, 7), one(100, 2, 9), one(255, 1, 7), one(10**12, 0, 8), one(900, 4, 9, "bob")]
    found = by_sql(rules, bought, {"ann": [], "bob": []})
    assert {number: granted for number, (_, granted) in found.items()} == {1: 25, 3: 25, 0: 0, 2: 0, 4: 30}


def test_the_greatest_amount_at_the_greatest_rate() -> None:
    """What does not fit 64 bits on the way is exact all the same."""
    rules = Rules("1000", [("1000", None), ("999.9999", None)], "half_even")
    found = by_sql(rules, [one(10**12)], {"ann": [True, True]})
    assert found == {0: (Decimal("2999.9999"), 29_999_999_000_000)}


def test_a_user_who_is_not_rated_earns_nothing() -> None:
    """A purchase of a user whose steps are not told has no row, and no rate is guessed."""
    assert by_sql(Rules("1", []), [one(100), one(100, 1, user="eve")], {"ann": []}) == {0: (Decimal(1), 1)}
