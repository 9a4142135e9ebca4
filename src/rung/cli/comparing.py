"""What `rung simulate` and `rung campaign diff` share: their snapshot, and how they show what they find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rung.cli.charts import bar, histogram

if TYPE_CHECKING:
    from rung.batch.forecast.numbers import Compared, Money, NearThreshold, Outcome, StepUsers

_BAR_CELLS: Final = 40

SnapshotOption = Annotated[
    bool,
    typer.Option(
        "--as-of-snapshot", help="Use the newest snapshot as it is, without the events that came after it."
    ),
]


def print_steps(periods: Sequence[Compared]) -> None:
    """Print how many users meet each step, and how many gain and lose it."""
    from rung.cli.output import print_table

    rows: list[tuple[str, ...]] = []
    for found in periods:
        before = {} if found.before is None else {step.step: step for step in found.before.steps}
        after = {step.step: step for step in found.after.steps}
        moves = {} if found.moves is None else {move.step: move for move in found.moves.steps}
        for name in [*after, *(name for name in before if name not in after)]:
            move = moves.get(name)
            rows.append(
                (
                    found.period,
                    name,
                    _condition(after.get(name)),
                    _users(before.get(name)),
                    _users(after.get(name)),
                    "" if move is None else f"{move.gained:,}",
                    "" if move is None else f"{move.lost:,}",
                )
            )
    columns = ("period", "step", "condition", "users before", "users after", "gain it", "lose it")
    print_table(columns, rows, numbers=columns[3:])


def print_rates(found: Compared) -> None:
    """Print how many users have which rate, and a chart of how rates differ."""
    from rung.cli.output import print_table

    before = {} if found.before is None else {rate.percent: rate.users for rate in found.before.rates}
    after = {rate.percent: rate.users for rate in found.after.rates}
    most = max([*before.values(), *after.values()], default=0)
    print_table(
        ("rate", "users before", "users after", ""),
        [
            (
                f"{percent}%",
                f"{before.get(percent, 0):,}",
                f"{after.get(percent, 0):,}",
                bar(after.get(percent, 0), most, _BAR_CELLS),
            )
            for percent in sorted({*before, *after}, key=float)
        ],
        numbers=("rate", "users before", "users after"),
    )
    if found.moves is None:
        return
    most = max((one.users for one in found.moves.rates), default=0)
    print_table(
        ("rate differs by", "users", ""),
        [
            (f"{one.percent} points", f"{one.users:,}", bar(one.users, most, _BAR_CELLS))
            for one in found.moves.rates
        ],
        numbers=("rate differs by", "users"),
    )


def print_thresholds(periods: Sequence[Compared]) -> None:
    """Print how many users stand just below and above each threshold, with a histogram of all of them."""
    from rung.cli.output import print_table

    rows = [
        (found.period, *_threshold(found.after, one)) for found in periods for one in found.after.thresholds
    ]
    if rows:
        columns = (
            "period",
            "step",
            "threshold",
            "just below",
            "just above",
            "users from 0 to twice and above",
        )
        print_table(columns, rows, numbers=("just below", "just above"))


def print_cash_back(periods: Sequence[Compared]) -> None:
    """Print the cash back of each period before and after, and chart it."""
    from rung.cli.output import print_table

    rows: list[tuple[str, ...]] = []
    for found in periods:
        before, after, moves = found.before, found.after, found.moves
        rows.append(
            (
                found.period,
                f"{found.users:,}",
                "none" if before is None else f"version {before.version}",
                "" if before is None else money_text(before.cash_back),
                money_text(after.cash_back),
                "" if moves is None else f"{moves.cash_back.amount:+,}",
                "" if moves is None else f"{moves.up:,}",
                "" if moves is None else f"{moves.down:,}",
                "" if moves is None else f"{moves.same:,}",
                f"{after.basis} in {after.purchases_in}",
            )
        )
    columns = (
        "period",
        "users",
        "against",
        "before",
        "after",
        "difference",
        "up",
        "down",
        "same",
        "cash back",
    )
    print_table(columns, rows, numbers=("users", "before", "after", "difference", "up", "down", "same"))
    amounts = [(f"{one.period} {what}", of) for one in periods for what, of in _sides(one)]
    most = max((amount for _, amount in amounts), default=0)
    print_table(
        ("cash back", "amount", ""),
        [(what, f"{amount:,}", bar(amount, most, _BAR_CELLS)) for what, amount in amounts],
        numbers=("amount",),
    )


def money_text(money: Money) -> str:
    """Return an amount with its interval: "1,200 (1,100 to 1,300)"."""
    return f"{money.amount:,} ({money.low:,} to {money.high:,})"


def _sides(found: Compared) -> list[tuple[str, int]]:
    before = [] if found.before is None else [("before", found.before.cash_back.amount)]
    return [*before, ("after", found.after.cash_back.amount)]


def _condition(step: StepUsers | None) -> str:
    if step is None:
        return "(no step of this name after)"
    return ("always" if step.when is None else step.when) + ("" if step.on is None else f", on {step.on}")


def _users(step: StepUsers | None) -> str:
    return "" if step is None else f"{step.users:,}"


def _threshold(outcome: Outcome, one: NearThreshold) -> tuple[str, ...]:
    return one.step, one.condition, f"{one.below:,}", f"{one.above:,}", histogram(one.histogram)
