"""What the real DynamoDB answers under load, in its own shapes: the emulator never does."""

from __future__ import annotations

from random import Random
from typing import Any, Final

_SERVICE: Final = "com.amazonaws.dynamodb.v20120810#"
_THROTTLES: Final = (
    (
        f"{_SERVICE}ProvisionedThroughputExceededException",
        (
            "The level of configured provisioned throughput for the table was exceeded. "
            "Consider increasing your provisioning level with the UpdateTable API."
        ),
    ),
    (
        "com.amazon.coral.availability#ThrottlingException",
        "Rate of requests exceeds the allowed throughput.",
    ),
)
_REASONS: Final = (
    ("TransactionConflict", "Transaction is ongoing for the item"),
    ("ThrottlingError", "Throughput exceeds the current throughput limit for your table or index."),
    ("ProvisionedThroughputExceeded", "The level of configured provisioned throughput was exceeded."),
)


def throttled(random: Random) -> dict[str, Any]:
    """Return one of the two ways to say "too much"."""
    name, message = random.choice(_THROTTLES)
    return {"__type": name, "message": message}


def server_error() -> dict[str, Any]:
    """Return the answer of a server that failed."""
    return {"__type": f"{_SERVICE}InternalServerError", "message": "Internal server error"}


def canceled(items: int, random: Random) -> dict[str, Any]:
    """Return the answer to a transaction of so many items that was not carried out, for mixed reasons.

    At least one item has a reason, and at most all.
    """
    hit = set(random.sample(range(items), random.randint(1, items)))
    reasons: list[dict[str, str]] = []
    for index in range(items):
        if index in hit:
            code, message = random.choice(_REASONS)
            reasons.append({"Code": code, "Message": message})
        else:
            reasons.append({"Code": "None"})
    codes = ", ".join(reason["Code"] for reason in reasons)
    return {
        "__type": f"{_SERVICE}TransactionCanceledException",
        "Message": f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        "CancellationReasons": reasons,
    }
