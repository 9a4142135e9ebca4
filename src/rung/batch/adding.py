"""Adding to the figures of users beside the workers, in one guarded change."""

from __future__ import annotations

from collections.abc import Sequence

from rung.plan.run import Contributions
from rung.speed.figures import add_figures
from rung.store.port import Change, Entries, Store
from rung.transaction.routing import partition_of


def add_to_users(
    store: Store,
    partitions: int,
    catalog_revision: int,
    computed_at: int | None,
    users: Sequence[bytes],
    before: Sequence[bytes | None],
    added: Contributions,
) -> None:
    """Store what is added to users, if they are still as they were read.

    Args:
        store: The store.
        partitions: The log's number of them.
        catalog_revision: That of the catalog by which it was decided.
        computed_at: The store's moment from before the users were read.
        users: The users, each once.
        before: Their records as they were read.
        added: What is added; an owner is the index of a user.

    Raises:
        Overtaken: a user, or the catalog, was changed meanwhile: read and decide again.
    """
    store.commit(
        Change(
            catalog_revision=catalog_revision,
            expected={},
            applied={},
            users=Entries(users, before, add_figures(before, added), users),
            user_partitions={user: partition_of(user, partitions) for user in users},
            computed_at=computed_at,
        )
    )
