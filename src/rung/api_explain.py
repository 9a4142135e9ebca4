"""The transactions behind a user's figures, as the API of a home tells them."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Final

from rung.access.subjects import AuthorisedUser
from rung.adapters import Home, opened_log, opened_whole_log, partitions_of
from rung.campaign.catalog import Catalog
from rung.log.port import Log
from rung.operations.catalog import campaign_of, period_of
from rung.operations.errors import OperationRefused
from rung.operations.explaining import EventsGone
from rung.operations.explaining import explain as explain_user
from rung.status.explanation import Explanation
from rung.status.parameters import ExplainQuery
from rung.status.problem import Problem, unavailable
from rung.store.port import Store

_PERIOD_CHARACTERS_MAX: Final = 32


def explained(
    home: Home, store: Store, log: Log | None, user: AuthorisedUser, query: ExplainQuery
) -> Explanation:
    """Explain a user's period from a log that is open, or is opened for it.

    Raises:
        UnknownCampaign: there is no such campaign.
        Problem: the period is none, the campaign does not count it, or the events are gone.
        LogError: the log cannot be used.
        StoreError: the store cannot be read.
    """
    if log is not None:
        return _explained(home, store, log, user, query)
    with opened_log(home, read_only=True) as opened:
        return _explained(home, store, opened, user, query)


def _explained(home: Home, store: Store, log: Log, user: AuthorisedUser, query: ExplainQuery) -> Explanation:
    campaign = campaign_of(Catalog.decode(store.catalog()[1]), query.campaign)
    try:
        period_of(campaign, query.period[:_PERIOD_CHARACTERS_MAX])
    except OperationRefused as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_period", f"period: {error}.") from None
    try:
        return explain_user(
            log,
            store,
            partial(opened_whole_log, home),
            partitions_of(home, store, log),
            user.decode(),
            query.campaign,
            query.period,
            query.version,
        )
    except OperationRefused:
        detail = f"period: {campaign.name} does not count {query.period}, or has no such version."
        raise Problem(HTTPStatus.NOT_FOUND, "not_counted", detail) from None
    except EventsGone:
        detail = "Not all of the user's events can be read now; ask again"
        raise unavailable("log_unavailable", detail) from None
