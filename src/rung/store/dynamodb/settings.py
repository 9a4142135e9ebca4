"""Where the tables are, and how much one process asks of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PARTITIONS_MAX: Final = 98
"""One transaction moves all partitions with the catalog and an audit entry, and has room for 100 items."""


@dataclass(frozen=True, slots=True)
class DynamoSettings:
    """The settings of a DynamoDB store; credentials come from the environment, as with any AWS client.

    `endpoint_url` is for an emulator or a private endpoint; empty, it is the region's own. A call is tried
    `attempts_max` times, each for at most `request_timeout_seconds`; a client has so many calls under way
    at once.
    """

    region: str
    endpoint_url: str = ""
    table_prefix: str = "rung"
    request_timeout_seconds: float = 5.0
    attempts_max: int = 6
    concurrent_calls: int = 8
