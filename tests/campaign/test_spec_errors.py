"""Every way of getting a spec wrong that has a message of its own, with its place and its fix."""

from __future__ import annotations

import pytest

from rung.campaign.spec import InvalidSpec, load

SPEC = """\
campaign: step
timezone: Asia/Tokyo
currency: JPY
period: month
effective: next
attributes: {service: string, lines: integer}
user_attributes: {premium: boolean}
counts_until: 2022-03
versions:
  - version: 0
    counts_from: 2020-04
    measures:
      payments: {count: "amount >= 100"}
      total: {sum: amount}
    refunds: {post_to: purchase}
    reward:
      base_percent: "0.5"
      steps:
        - {name: fifty, when: "payments >= 50", add_percent: "0.5"}
        - {name: mall, add_percent: 6, on: "service = 'mall'"}
      cap: {per_transaction: 100, per_period: 1000}
      rounding: down
  - version: 1
    counts_from: 2021-08
    measures:
      services: {distinct: service, where: "service IN ('mall', 'flea')"}
    reward: {base_percent: 1}
"""

# A reward for the second version, with an expression in a block of either style.
STEP_WITH_BLOCK = """    reward:
      base_percent: 1
      steps:
        - name: folded
          add_percent: 1
          when: {style}
            services >= 1
            AND servces < 9
"""

# What is wrong, what is replaced by what in the spec above, and all of its errors.
WRONG_SPECS: list[tuple[str, list[tuple[str, str]], list[str]]] = [
    (
        "a key that does not exist",
        [("timezone: Asia/Tokyo", "time_zone: Asia/Tokyo")],
        ["2:1: a campaign has no key time_zone (did you mean timezone?)"],
    ),
    (
        "a missing key",
        [("currency: JPY\n", "")],
        ["1:1: a campaign lacks currency (add currency: JPY)"],
    ),
    (
        "a repeated key",
        [("currency: JPY", "currency: JPY\ncurrency: JPY")],
        ["4:1: currency is given twice (it is on line 3 already)"],
    ),
    (
        "a value left out",
        [("currency: JPY", "currency:")],
        ["3:10: currency is empty"],
    ),
    (
        "a list for a text",
        [("currency: JPY", "currency: [JPY]")],
        ["3:11: currency is a text, not a list"],
    ),
    (
        "a currency that is no code",
        [(": JPY", ": yen")],
        ["3:11: currency is an ISO 4217 code, not yen (three capital letters such as JPY)"],
    ),
    (
        "a currency that YAML 1.1 takes for a boolean",
        [(": JPY", ": NO")],
        ["3:11: currency is an ISO 4217 code, not NO (three capital letters such as JPY)"],
    ),
    (
        "a misspelt time zone",
        [("Asia/Tokyo", "Asia/Tokio")],
        ["2:11: timezone Asia/Tokio is unknown (did you mean Asia/Tokyo?)"],
    ),
    (
        "a city alone for a time zone",
        [("Asia/Tokyo", "Tokyo")],
        ["2:11: timezone Tokyo is unknown (did you mean Asia/Tokyo?)"],
    ),
    (
        "an abbreviation for a time zone",
        [("Asia/Tokyo", "JST+9")],
        ["2:11: timezone JST+9 is unknown (write an IANA name such as Asia/Tokyo)"],
    ),
    (
        "a misspelt period",
        [("period: month", "period: moth")],
        ["4:9: period cannot be moth (did you mean month?)"],
    ),
    (
        "an unknown effective period",
        [("effective: next", "effective: now")],
        ["5:12: effective cannot be now (known here: next, same)"],
    ),
    (
        "a campaign's name with a space and capitals",
        [("campaign: step", "campaign: Step One")],
        ["1:11: Step One cannot be a campaign's name (letters a-z, digits and hyphens, a letter first)"],
    ),
    (
        "a campaign's name that YAML 1.1 takes for a boolean",
        [("campaign: step", "campaign: on")],
        ['1:11: on is not a text to every reader of YAML (write "on" in quotes)'],
    ),
    (
        "a name that is too long",
        [("campaign: step", "campaign: " + "s" * 65)],
        ["1:11: a campaign's name has at most 64 characters"],
    ),
    (
        "an unknown attribute type, in one error only",
        [("service: string", "service: text")],
        ["6:23: an attribute's type cannot be text (known here: string, integer, boolean)"],
    ),
    (
        "an attribute with a name of Rung's own",
        [("lines: integer", "amount: integer")],
        ["6:31: amount cannot be an attribute's name: it is a name of its own (choose another name)"],
    ),
    (
        "an attribute named like an SQL keyword",
        [("lines: integer", "order: integer")],
        ["6:31: order cannot be an attribute's name: it is an SQL keyword (choose another name)"],
    ),
    (
        "an attribute with a capital letter",
        [("lines: integer", "Lines: integer")],
        [("6:31: Lines cannot be an attribute's name (letters a-z, digits and underscores, a letter first)")],
    ),
    (
        "attributes that are a list, in one error only",
        [("{service: string, lines: integer}", "[service]")],
        ["6:13: attributes is a mapping (key: value)"],
    ),
    (
        "a month without its zero",
        [("counts_until: 2022-03", "counts_until: 2022-3")],
        ["8:15: counts_until: '2022-3' is not a month such as 2021-08"],
    ),
    (
        "a month beyond the range of times",
        [("counts_until: 2022-03", "counts_until: 2101-03")],
        ["8:15: counts_until: 2101-03 is not between 1970-01 and 2100-01"],
    ),
    (
        "a version that counts after the campaign's end",
        [("counts_until: 2022-03", "counts_until: 2021-07")],
        ["24:18: version 1 counts from 2021-08, after counts_until, 2021-07"],
    ),
    (
        "a week where a month is due",
        [("counts_from: 2020-04", "counts_from: 2020-W15")],
        ["11:18: counts_from: '2020-W15' is not a month such as 2021-08"],
    ),
    (
        "versions that count from the same month",
        [("counts_from: 2021-08", "counts_from: 2020-04")],
        ["24:18: version 1 counts from 2020-04, which is not after version 0, 2020-04"],
    ),
    (
        "a version's number used twice",
        [("version: 1", "version: 0")],
        ["23:14: version 0 is there twice (the first one is on line 10)"],
    ),
    (
        "a version's number in words",
        [("version: 1", "version: one")],
        ["23:14: version is an integer from 0 to 9999, not one"],
    ),
    (
        "a negative version number",
        [("version: 1", "version: -1")],
        ["23:14: version is an integer from 0 to 9999, not -1"],
    ),
    (
        "no version at all",
        [(SPEC[SPEC.index("versions:") :], "versions: []\n")],
        ["9:11: a campaign needs a version (add - version: 0)"],
    ),
    (
        "versions that are a mapping",
        [(SPEC[SPEC.index("versions:") :], "versions: {version: 0}\n")],
        ["9:11: versions is a list (- item)"],
    ),
    (
        "max, which cannot be undone",
        [("{sum: amount}", "{max: amount}")],
        [
            (
                "14:15: max cannot be a measure: a refund must undo exactly what the purchase added "
                "(count, sum and distinct can)"
            )
        ],
    ),
    (
        "avg, which cannot be undone",
        [("{sum: amount}", "{avg: amount}")],
        [
            (
                "14:15: avg cannot be a measure: a refund must undo exactly what the purchase added "
                "(count, sum and distinct can)"
            )
        ],
    ),
    (
        "a misspelt kind of measure",
        [("{sum: amount}", "{summe: amount}")],
        ["14:15: a measure has no key summe (did you mean sum?)"],
    ),
    (
        "a measure of two kinds",
        [("{sum: amount}", '{sum: amount, count: "amount > 0"}')],
        ["14:28: a measure is one of count, sum and distinct (make two measures)"],
    ),
    (
        "a measure of no kind",
        [("{sum: amount}", '{where: "amount > 0"}')],
        ["14:14: the measure total lacks a kind (add count, sum or distinct)"],
    ),
    (
        "a measure that is a text",
        [("{sum: amount}", "amount")],
        ["14:14: the measure total is a mapping (key: value)"],
    ),
    (
        "a version without measures",
        [("services: {distinct: service, where: \"service IN ('mall', 'flea')\"}", "{}")],
        ["26:7: a version needs a measure (add payments: {count: amount >= 100})"],
    ),
    (
        "a measure with a hyphen",
        [("total: {sum", "sum-of-all: {sum")],
        [
            (
                "14:7: sum-of-all cannot be a measure's name (letters a-z, digits and underscores, a "
                "letter first)"
            )
        ],
    ),
    (
        "a measure given twice",
        [("total: {sum", "payments: {sum")],
        ["14:7: payments is given twice (it is on line 13 already)"],
    ),
    (
        "a sum of a condition",
        [("{sum: amount}", '{sum: "amount > 5"}')],
        ["14:21: an integer is due here, and this is a boolean"],
    ),
    (
        "a sum of a constant",
        [("{sum: amount}", "{sum: 1}")],
        ["14:20: this value does not depend on any name"],
    ),
    (
        "a product that could exceed 64 bits",
        [("{sum: amount}", "{sum: amount * lines}")],
        [
            (
                "14:20: this integer could exceed 64 bits (amounts go up to 10**12, other names up to "
                "2**53, results up to 2**63 - 1)"
            )
        ],
    ),
    (
        "an integer for a condition",
        [('"amount >= 100"', '"amount"')],
        ["13:26: a condition is due here, and this is an integer (compare it: amount >= 1)"],
    ),
    (
        "a condition that is always true",
        [('"amount >= 100"', '"TRUE"')],
        ["13:26: this condition does not depend on any name (amount >= 0 holds for every purchase)"],
    ),
    (
        "a constant part of a condition",
        [('"amount >= 100"', '"amount >= 100 OR 1 = 1"')],
        ["13:43: this condition does not depend on any name (amount >= 0 holds for every purchase)"],
    ),
    (
        "a misspelt name",
        [('"amount >= 100"', '"amuont >= 100"')],
        ["13:26: unknown name amuont (did you mean amount?)"],
    ),
    (
        "a name in the wrong case",
        [('"amount >= 100"', "\"amount >= 100 AND Service = 'mall'\"")],
        ["13:44: unknown name Service (did you mean service?)"],
    ),
    (
        "division",
        [('"amount >= 100"', '"amount / 2 >= 100"')],
        [
            (
                "13:33: division is not available, since its rounding would be a guess (multiply the other "
                "side instead: a >= b * 2 for a / 2 >= b)"
            )
        ],
    ),
    (
        "a decimal amount",
        [('"amount >= 100"', '"amount >= 100.50"')],
        ["13:36: 100.50 is not an integer (amounts are integers in minor units: 1000 pence, not 10.00)"],
    ),
    (
        "a function",
        [('"amount >= 100"', '"abs(amount) >= 100"')],
        ["13:26: functions are not available: abs(...) (count, sum and distinct are kinds of measures)"],
    ),
    (
        "LIKE",
        [("\"service = 'mall'\"", "\"service LIKE 'mall%'\"")],
        ["20:53: LIKE is not available (list the values: name IN ('a', 'b'))"],
    ),
    (
        "a string in double quotes",
        [("\"service = 'mall'\"", "'service = \"mall\"'")],
        ["20:55: a string is written in single quotes, a name without quotes (write 'mall' for a string)"],
    ),
    (
        "== for =",
        [('"amount >= 100"', '"amount == 100"')],
        ["13:33: `==` is not an SQL operator (write = to compare)"],
    ),
    (
        "&& for AND",
        [('"amount >= 100"', '"amount >= 100 && lines > 1"')],
        ["13:40: `&&` is not an SQL operator (write AND)"],
    ),
    (
        "a string that is not closed",
        [("\"service = 'mall'\"", '"service = \'mall"')],
        ["20:55: this string has no closing quote (a quote inside a string is written twice: 'it''s')"],
    ),
    (
        "a parenthesis that is not closed",
        [('"amount >= 100"', '"(amount >= 100"')],
        ["13:26: this ( has no closing )"],
    ),
    (
        "a parenthesis that is not opened",
        [('"amount >= 100"', '"amount >= 100)"')],
        ["13:39: this ) has no opening ("],
    ),
    (
        "a string compared with an integer",
        [("\"service = 'mall'\"", '"service = 5"')],
        ["20:45: a string cannot be compared with an integer (service is a string: write '5')"],
    ),
    (
        "an integer compared with a string",
        [("\"service = 'mall'\"", "\"lines = '5'\"")],
        [
            (
                "20:45: an integer cannot be compared with a string (lines is an integer: write 5 without "
                "quotes)"
            )
        ],
    ),
    (
        "a boolean compared with a string",
        [("payments >= 50", "user.premium = 'yes'")],
        [
            (
                "19:32: a boolean cannot be compared with a string (user.premium is a boolean: write "
                "user.premium or NOT user.premium)"
            )
        ],
    ),
    (
        "a user attribute without user.",
        [("payments >= 50", "payments >= 50 AND premium")],
        ["19:51: unknown name premium (did you mean user.premium?)"],
    ),
    (
        "an attribute of transactions in when",
        [("payments >= 50", "service = 'mall'")],
        ["19:32: unknown name service (known here: payments, total, user.premium)"],
    ),
    (
        "an attribute of users in on",
        [("service = 'mall'", "user.premium")],
        ["20:45: unknown name user.premium (what is known of a user can only be used in when)"],
    ),
    (
        "a measure of another version",
        [("payments >= 50", "services >= 3")],
        ["19:32: unknown name services (known here: payments, total, user.premium)"],
    ),
    (
        "a chained comparison",
        [("payments >= 50", "1 < payments < 50")],
        ["19:45: comparisons cannot be chained (write a < b AND b < c for a < b < c)"],
    ),
    (
        "IS TRUE",
        [("payments >= 50", "user.premium IS TRUE")],
        ["19:48: IS is only available as IS NULL and IS NOT NULL (write = or <> to compare values)"],
    ),
    (
        "NULL in a list",
        [("'mall', 'flea'", "'mall', NULL")],
        ["26:65: NULL is never found in a list (add OR name IS NULL)"],
    ),
    (
        "an empty list",
        [("('mall', 'flea')", "()")],
        ["26:57: ) is unexpected: a value (an integer, a 'string', TRUE or FALSE) is due"],
    ),
    (
        "a comment in an expression",
        [("payments >= 50", "payments >= 50 -- many")],
        ["19:47: comments are not available in an expression (for two minus signs: a - -b)"],
    ),
    (
        "a place behind an escape in double quotes",
        [("\"service IN ('mall', 'flea')\"", "\"service = '\\u0041' AND mall\"")],
        ["26:68: unknown name mall (known here: amount, gross_amount, lines, refunded_amount, service)"],
    ),
    (
        "a place behind a doubled single quote",
        [("\"service = 'mall'\"", "'service = ''mall'' AND lins > 1'")],
        ["20:68: unknown name lins (did you mean lines?)"],
    ),
    (
        "a place in a folded block",
        [("    reward: {base_percent: 1}\n", STEP_WITH_BLOCK.format(style=">-"))],
        ["34:17: unknown name servces (did you mean services?)"],
    ),
    (
        "a place in a literal block",
        [("    reward: {base_percent: 1}\n", STEP_WITH_BLOCK.format(style="|"))],
        ["34:17: unknown name servces (did you mean services?)"],
    ),
    (
        "a place in a text over two lines",
        [
            (
                "{base_percent: 1}",
                (
                    '{base_percent: 1, steps: [{name: a, add_percent: 1, when: "services >= 1\n'
                    '          AND servces < 9"}]}'
                ),
            )
        ],
        ["28:15: unknown name servces (did you mean services?)"],
    ),
    (
        "a distinct of a misspelt attribute",
        [("distinct: service", "distinct: servce")],
        ["26:28: distinct is an attribute or day, not servce (did you mean service?)"],
    ),
    (
        "a distinct of amounts",
        [("distinct: service", "distinct: amount")],
        ["26:28: distinct is an attribute or day, not amount (known here: service, lines, day)"],
    ),
    (
        "an unknown post_to",
        [("post_to: purchase", "post_to: payment")],
        ["15:24: post_to cannot be payment (known here: purchase, refund)"],
    ),
    (
        "refunds without post_to",
        [("{post_to: purchase}", "{}")],
        ["15:14: refunds lacks post_to (add post_to: purchase)"],
    ),
    (
        "a rate with a comma",
        [('base_percent: "0.5"', 'base_percent: "0,5"')],
        [
            (
                "17:21: base_percent is a decimal number, not 0,5 (write at most four decimals and no "
                'sign: "0.5")'
            )
        ],
    ),
    (
        "a negative rate",
        [('base_percent: "0.5"', "base_percent: -0.5")],
        [
            (
                "17:21: base_percent is a decimal number, not -0.5 (write at most four decimals and no "
                'sign: "0.5")'
            )
        ],
    ),
    (
        "a rate with five decimals",
        [('base_percent: "0.5"', "base_percent: 0.00001")],
        [
            (
                "17:21: base_percent is a decimal number, not 0.00001 (write at most four decimals and no "
                'sign: "0.5")'
            )
        ],
    ),
    (
        "a rate above the greatest",
        [('base_percent: "0.5"', "base_percent: 1000.5")],
        ["17:21: base_percent is at most 1000, not 1000.5"],
    ),
    (
        "a reward without its base",
        [("{base_percent: 1}", "{rounding: up}")],
        ['27:13: a reward lacks base_percent (add base_percent: "0.5")'],
    ),
    (
        "two steps of one name",
        [("name: mall", "name: fifty")],
        ["20:18: the step fifty is there twice (the first one is on line 19)"],
    ),
    (
        "a step's name with a capital",
        [("name: mall", "name: Mall")],
        ["20:18: Mall cannot be a step's name (letters a-z, digits and hyphens, a letter first)"],
    ),
    (
        "a step without a rate",
        [(', add_percent: "0.5"}', "}")],
        ['19:11: a step lacks add_percent (add add_percent: "0.5")'],
    ),
    (
        "an unknown key of a step",
        [('when: "pay', 'if: "pay')],
        ["19:25: a step has no key if (known here: name, add_percent, when, on)"],
    ),
    (
        "steps that are a mapping",
        [("{base_percent: 1}", "{base_percent: 1, steps: {}}")],
        ["27:38: steps is a list (- item)"],
    ),
    (
        "a cap per transaction above that per period",
        [("per_transaction: 100", "per_transaction: 5000")],
        ["21:30: per_transaction is above per_period, 1000 (lower it)"],
    ),
    (
        "a cap of nothing",
        [("per_transaction: 100", "per_transaction: 0")],
        ["21:30: per_transaction is an integer from 1 to 1000000000000, not 0"],
    ),
    (
        "a cap that is not an integer",
        [("per_transaction: 100", "per_transaction: 1.5")],
        ["21:30: per_transaction is an integer from 1 to 1000000000000, not 1.5"],
    ),
    (
        "a cap without a limit",
        [("{per_transaction: 100, per_period: 1000}", "{}")],
        ["21:12: a cap needs per_transaction or per_period (add per_period: 1000)"],
    ),
    (
        "an unknown rounding",
        [("rounding: down", "rounding: floor")],
        ["22:17: rounding cannot be floor (known here: down, up, half_up, half_even)"],
    ),
    (
        "an anchor",
        [("{service: string", "&a {service: string")],
        ["6:13: anchors (&) are not available in a spec (write the value where it is used)"],
    ),
    (
        "an alias",
        [("{post_to: purchase}", "*a")],
        ["15:14: aliases (*) are not available in a spec (write the value out)"],
    ),
    (
        "a tag",
        [("currency: JPY", "currency: !!str JPY")],
        ["3:11: tags (!) are not available in a spec (remove the tag)"],
    ),
    (
        "two documents",
        [("versions:", "---\nversions:")],
        ["9:1: a spec is one document, and another one starts here (remove the ---)"],
    ),
    (
        "a tab for indentation",
        [("    refunds:", "\trefunds:")],
        ["15:1: this is not YAML: found character '\\t' that cannot start any token"],
    ),
    (
        "a brace that is not closed",
        [("attributes: {service: string, lines: integer}", "attributes: {service: string")],
        ["7:16: this is not YAML: expected ',' or '}', but got ':'"],
    ),
    (
        "a control character",
        [("campaign: step", "campaign: st\x07ep")],
        ["1:13: the character U+0007 is not available in YAML"],
    ),
    (
        "a key that is a list",
        [("currency: JPY", "[currency]: JPY")],
        ["3:1: a key is a text"],
    ),
    (
        "a spec that is a list",
        [(SPEC, "- a\n")],
        ["1:1: a campaign is a mapping (key: value)"],
    ),
    (
        "a spec without content",
        [(SPEC, "# nothing\n")],
        ["1:1: the spec is empty (start with campaign: NAME)"],
    ),
    (
        "a spec that is nested too deep",
        [("{post_to: purchase}", "[" * 20 + "]" * 20)],
        ["15:27: a spec is nested at most 16 deep"],
    ),
    (
        "a spec that is too large",
        [(SPEC, "#" * (256 * 1024 + 1))],
        ["1:1: a spec has at most 262144 bytes, this one has 262145"],
    ),
    (
        "several errors, in the order of their places",
        [
            ("Asia/Tokyo", "Asia/Tokio"),
            (": JPY", ": J"),
            ("payments >= 50", "paymnts >= 50"),
            ("version: 1", "version: 0"),
        ],
        [
            "2:11: timezone Asia/Tokio is unknown (did you mean Asia/Tokyo?)",
            "3:11: currency is an ISO 4217 code, not J (three capital letters such as JPY)",
            "19:32: unknown name paymnts (did you mean payments?)",
            "23:14: version 0 is there twice (the first one is on line 10)",
        ],
    ),
    (
        "an error in a reward, which hides none in the schedule",
        [("{base_percent: 1}", "{base_percent: x}"), ("version: 1", "version: 0")],
        [
            "23:14: version 0 is there twice (the first one is on line 10)",
            (
                "27:28: base_percent is a decimal number, not x (write at most four decimals and no sign: "
                '"0.5")'
            ),
        ],
    ),
]


@pytest.mark.parametrize(
    ("replacements", "errors"),
    [(replacements, errors) for _, replacements, errors in WRONG_SPECS],
    ids=[what for what, _, _ in WRONG_SPECS],
)
def test_wrong_spec(replacements: list[tuple[str, str]], errors: list[str]) -> None:
    """A wrong spec gives exactly these errors: line, column, message and what to write instead."""
    text = SPEC
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(InvalidSpec) as raised:
        load(text, "step.yaml")
    assert [str(error).removeprefix("step.yaml:") for error in raised.value.errors] == errors


def test_spec_without_replacements() -> None:
    """The spec that the table starts from is right."""
    assert load(SPEC, "step.yaml").name == "step"
