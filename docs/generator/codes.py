"""The words that Rung answers with: exit codes, reasons, causes and verdicts."""

from __future__ import annotations

from docs.generator.markdown import code, page, table
from docs.generator.meanings import meanings
from rung.batch.monitoring.monitor import Difference
from rung.batch.proof.examined import Cause
from rung.cli.errors import ExitCode
from rung.console.wording import VERDICTS
from rung.status.explanation import Verdict
from rung.status.lag import Stuck
from rung.transaction.reasons import Reason


def exit_codes_page() -> str:
    """Return the page of exit codes."""
    return page(
        "Exit codes",
        "For those who write scripts: what a command's exit code says. The numbers are part of the "
        "interface.",
        table(
            ("code", "name", "meaning"),
            (
                (str(exit_code.value), code(exit_code.name.lower()), exit_code.meaning)
                for exit_code in ExitCode
            ),
        ),
        "Results are on standard output, words for people on standard error. With `--json` a result is one "
        "JSON document, and so is an error.",
    )


def reasons_page() -> str:
    """Return the page of the codes that name a reason."""
    stuck = meanings(Stuck)
    return page(
        "Reason codes",
        "For operators and support: every code that Rung gives as a reason, and what it means. Codes never "
        "change their meaning.",
        "## Quarantine",
        "Why an event was not applied (`rung quarantine list`, `rung_events_quarantined_total`).",
        table(("code", "meaning"), ((code(reason.value), reason.sentence) for reason in Reason)),
        "## Verification",
        "Why a user's records are not what all events give (`rung batch verify`).",
        table(("code", "meaning"), ((code(cause.value), cause.sentence) for cause in Cause)),
        "## Explanation",
        "Whether a transaction counts in a period, and why not (`rung explain`).",
        table(("code", "meaning"), ((code(one.value), f"{VERDICTS[one]}.") for one in Verdict)),
        "## Partitions that cannot go on",
        "Why the worker has halted a partition (`rung lag`, `/readyz`, `rung_partition_stuck`).",
        table(("code", "meaning"), ((code(one.value), stuck[one.name]) for one in Stuck)),
        "## Comparison with a list",
        "How the payment system's list of a day differs from the lake (`rung batch monitor`).",
        table(("code", "meaning"), ((code(one.value), one.sentence) for one in Difference)),
    )
