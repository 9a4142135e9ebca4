"""The campaign spec: its keys as the reader itself names them, its limits, and what a mistake looks like."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from docs.generator.markdown import block, code, page, table
from rung.campaign import expression
from rung.campaign.calendar import PeriodKind
from rung.campaign.expression.magnitude import AMOUNT_MAX
from rung.campaign.model import KEEP_MONTHS, AttributeType, Effective, PostTo, Rounding
from rung.campaign.spec import InvalidSpec, load
from rung.campaign.spec.campaign import ATTRIBUTES_MAX, KEEP_MONTHS_MAX, VERSIONS_MAX
from rung.campaign.spec.document import BYTES_MAX, DEPTH_MAX
from rung.campaign.spec.reader import NAME_LENGTH_MAX, PERCENT_MAX
from rung.campaign.spec.version import MEASURES_MAX, STEPS_MAX, VERSION_NUMBER_MAX

EXAMPLES: Final = Path(__file__).parents[2] / "examples"

_PROBE: Final = """\
campaign: probe
timezone: UTC
currency: JPY
versions:
  - version: 0
    measures: {payments: {unknown_: "1"}}
    refunds: {unknown_: "1"}
    reward: {base_percent: "1", cap: {unknown_: "1"}, steps: [{unknown_: "1"}]}
"""
"""A spec with a key that nobody knows in every mapping: the errors name those that are known."""
_PROBES: Final = (
    "unknown_: 1",
    "{campaign: probe, timezone: UTC, currency: JPY, versions: [{unknown_: 1}]}",
    _PROBE,
    _PROBE.replace('base_percent: "1", cap', "unknown_: 1, cap"),
)

MEANINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "a campaign": {
        "campaign": "The campaign's name.",
        "timezone": "An IANA zone. Periods turn at midnight there.",
        "currency": "An ISO 4217 code. Amounts are whole minor units of it.",
        "versions": "The rule sets, in the order of their numbers.",
        "period": f"How long a counting period is: {', '.join(code(kind.value) for kind in PeriodKind)}.",
        "effective": "When an earned rate applies: in the `next` period, or in the `same` one.",
        "attributes": "What transactions carry: name and type.",
        "user_attributes": "What is known of users: name and type; used as `user.NAME` in `when`.",
        "counts_until": "The last period that counts. The rate earned in it still applies in the next.",
        "keep": f"How long transactions and figures stay in the store; {KEEP_MONTHS} months if not said.",
    },
    "a version": {
        "version": "Its number. A changed rule is a new version: what stands under a number never changes.",
        "measures": "What is counted: name and measure.",
        "reward": "The ladder.",
        "counts_from": "The first period that it counts and serves. Without it the version is a shadow.",
        "refunds": "What a refund changes. `{post_to: purchase}` if not said.",
    },
    "a measure": {
        "count": "How many purchases meet this condition.",
        "sum": "The sum of this expression over the purchases.",
        "distinct": "How many different values this attribute has; `day` counts active days.",
        "where": "Only purchases that meet this condition are looked at.",
    },
    "refunds": {"post_to": "The period that a refund changes: the `purchase`'s, or the `refund`'s own."},
    "a reward": {
        "base_percent": "The rate of everyone. Rates are exact decimals in quotes.",
        "steps": "What adds to the rate, and when.",
        "cap": "The most that can be earned.",
        "rounding": "How cash back below one minor unit is rounded, per transaction. `down` if not said.",
    },
    "a cap": {
        "per_transaction": "The most that one purchase earns, in minor units.",
        "per_period": "The most that one user earns in a period, in minor units.",
    },
    "a step": {
        "name": "Its name.",
        "add_percent": "What it adds to the rate.",
        "when": "The condition on measures and user attributes. Without it everybody meets the step.",
        "on": "The purchases whose rate is raised. Without it all are.",
    },
}
"""What each key means; a key that the reader does not know, or one that is missing here, is an error."""

_MISTAKES: Final = (
    ('count: "amount >= 100"', 'count: "amuont >= 100"'),
    ('count: "amount >= 100"', 'max: "amount"'),
    ("timezone: Asia/Tokyo", "timezone: Tokyo"),
    ('"payments >= 50"', '"payments / 2 >= 25"'),
    ("counts_from: 2021-08", "counts_from: 2020-04"),
)
"""What stands in the example, and how it might be miswritten."""


def spec_page() -> str:
    """Return the page."""
    return page(
        "Campaign spec",
        "For those who design campaigns: every key of a campaign file, every limit, and what is refused.",
        "A campaign is one YAML file. `rung campaign check` names every mistake with file, line and column; "
        "`rung campaign apply` puts the file into force.",
        block("yaml", (EXAMPLES / "step.yaml").read_text(encoding="utf-8")),
        "## Keys",
        *_keys(),
        "## Words with a fixed set",
        table(
            ("key", "words"),
            (
                ("period", _words(PeriodKind)),
                ("effective", _words(Effective)),
                ("post_to", _words(PostTo)),
                ("rounding", _words(Rounding)),
                ("the type of an attribute", _words(AttributeType)),
            ),
        ),
        "## Expressions",
        inspect.cleandoc(expression.__doc__ or "").split("\n\n", 1)[1],
        "In `count`, `sum`, `where` and `on` the names are `amount` (what is left after refunds), "
        "`gross_amount`, `refunded_amount` and the transaction's attributes. In `when` they are the "
        "version's measures, and user attributes as `user.NAME`.",
        "## Limits",
        table(("what", "most"), _limits()),
        "Names of campaigns and steps are written with letters a-z, digits and hyphens; names of "
        "attributes and measures with underscores in place of hyphens, and without the words that SQL "
        "reserves.",
        "## What a mistake looks like",
        "Each of these is one wrong line in the example above:",
        table(("written", "answer"), _mistakes()),
    )


def _keys() -> Iterator[str]:
    known, examples = _known()
    assert {what: set(keys) for what, keys in known.items()} == {
        what: set(keys) for what, keys in MEANINGS.items()
    }, "every key of the spec has its meaning in MEANINGS, and there is no other"
    for what, meanings in MEANINGS.items():
        yield f"### {what.capitalize()}"
        yield table(
            ("key", "needed", "meaning", "for example"),
            (
                (
                    code(key),
                    "yes" if (what, key) in examples else "",
                    meanings[key],
                    code(examples.get((what, key), "")),
                )
                for key in known[what]
            ),
        )


def _known() -> tuple[dict[str, list[str]], dict[tuple[str, str], str]]:
    """Return mapping -> its keys, and (mapping, key) -> example of those that must be there."""
    known: dict[str, list[str]] = {}
    examples: dict[tuple[str, str], str] = {}
    for message, suggestion in (error for probe in _PROBES for error in _errors(probe)):
        if found := re.fullmatch(r"(.+) has no key unknown_", message):
            known[found[1]] = suggestion.removeprefix("known here: ").split(", ")
        elif found := re.fullmatch(r"(.+) lacks (\w+)", message):
            examples[found[1], found[2]] = suggestion.removeprefix("add ")
    return known, examples


def _errors(text: str) -> Iterator[tuple[str, str]]:
    try:
        load(text, "campaign.yaml")
    except InvalidSpec as invalid:
        for error in invalid.errors:
            yield error.message, error.suggestion or ""
    else:
        raise AssertionError("a probe is wrong in every mapping")


def _limits() -> Iterator[tuple[str, str]]:
    yield "size of a file", f"{BYTES_MAX // 1024} KiB"
    yield "depth of a file", f"{DEPTH_MAX} levels"
    yield "versions of a campaign", f"{VERSIONS_MAX}"
    yield "a version's number", f"{VERSION_NUMBER_MAX:,}"
    yield "measures of a version", f"{MEASURES_MAX}"
    yield "steps of a version", f"{STEPS_MAX}"
    yield "attributes, and user attributes, of a campaign", f"{ATTRIBUTES_MAX} each"
    yield "a name", f"{NAME_LENGTH_MAX} characters"
    yield "a rate", f"{PERCENT_MAX:,} percent"
    yield "an amount", f"{AMOUNT_MAX:,} minor units"
    yield "keep", f"{KEEP_MONTHS_MAX} months"


def _mistakes() -> Iterator[tuple[str, str]]:
    example = (EXAMPLES / "step.yaml").read_text(encoding="utf-8")
    for right, wrong in _MISTAKES:
        try:
            load(example.replace(right, wrong, 1), "step.yaml")
        except InvalidSpec as invalid:
            yield code(wrong), "\n".join(code(str(error)) for error in invalid.errors)
        else:
            raise AssertionError(f"{wrong} is no mistake")


def _words(words: type[PeriodKind | Effective | PostTo | Rounding | AttributeType]) -> str:
    return ", ".join(code(word.value) for word in words)
