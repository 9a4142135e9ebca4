"""Claims of transaction ids: users of several partitions may claim one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Claim(NamedTuple):
    """A user's claim of a transaction id; what is claimed in more than one partition is contested.

    `appended_at` is in microseconds since the epoch, -1 if the transaction was known before.
    """

    transaction_id: str
    partition: int
    user_id: str
    appended_at: int


def contested_claims(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims, sorted by transaction, of those transactions that have more than one of them."""
    found = list(claims)
    ids = [claim.transaction_id for claim in found]
    several = {one for one, other in pairwise(ids) if one == other}
    return [claim for claim in found if claim.transaction_id in several]
