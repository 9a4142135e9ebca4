"""Which version serves: activated with its proofs, and taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rung.batch.proof.gates import check_activation
from rung.campaign.catalog import Catalog
from rung.operations.author import Author
from rung.operations.catalog import change_campaign, period_of
from rung.store.port import Store


def activate(
    store: Store,
    folder: Path,
    clock: Callable[[], int],
    campaign: str,
    version: int,
    period: str,
    digest: str | None,
    author: Author,
    *,
    unproven: bool = False,
    checked: Callable[[Catalog], object] | None = None,
) -> tuple[Catalog, Catalog]:
    """Let a version serve from a period on, and return the catalog before and after.

    Args:
        store: The store.
        folder: The batch layer's folder, with the reports that prove the version.
        clock: Gives microseconds since the epoch.
        campaign: The campaign's name.
        version: The version that is to serve.
        period: The first counting period, as text.
        digest: The hash of the accepted diff.
        author: Who does it, and why.
        unproven: Without verification and diff; the audit list tells it.
        checked: Looks at the catalog that is about to change, and raises what stands against it.

    Raises:
        UnknownCampaign: there is no such campaign.
        OperationRefused: the text is no period of it.
        NotProven: a proof is missing.
        DiffRefused: the diff is of other versions.
        CatalogRefused: the catalog cannot be changed so.
        ScheduleMoved: somebody else moved the schedule meanwhile.
    """

    def activated(before: Catalog) -> Catalog:
        first = period_of(before.campaigns[campaign], period)
        after = before.activate(campaign, version, first)
        if not unproven:
            check_activation(folder, before, campaign, version, first, digest, clock())
        if checked is not None:
            checked(before)
        return after

    action = "campaign.activate-unproven" if unproven else "campaign.activate"
    return change_campaign(store, campaign, activated, clock, action, f"{campaign} {version}", author)


def roll_back(
    store: Store, clock: Callable[[], int], campaign: str, author: Author
) -> tuple[Catalog, Catalog]:
    """Put the schedule back as it was before the last activation; return the catalog before and after.

    Raises:
        UnknownCampaign: there is no such campaign.
        CatalogRefused: there is nothing to take back.
        ScheduleMoved: somebody else moved the schedule meanwhile.
    """
    return change_campaign(
        store,
        campaign,
        lambda before: before.roll_back(campaign),
        clock,
        "campaign.rollback",
        campaign,
        author,
    )
