"""Which path names which user and campaign."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.status.users import ROUTE_CAMPAIGN, ROUTE_STATUS, Target, target_of


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/users/ann/status", Target(ROUTE_STATUS, "ann", None)),
        ("/v1/users//status", Target(ROUTE_STATUS, "", None)),
        ("/v1/users/a/b/status", Target(ROUTE_STATUS, "a/b", None)),
        ("/v1/users/status/status", Target(ROUTE_STATUS, "status", None)),
        ("/v1/users/ann/campaigns/step", Target(ROUTE_CAMPAIGN, "ann", "step")),
        ("/v1/users/ann/campaigns/status", Target(ROUTE_CAMPAIGN, "ann", "status")),
        ("/v1/users/a/campaigns/b/campaigns/step", Target(ROUTE_CAMPAIGN, "a/campaigns/b", "step")),
        ("/v1/users//campaigns/step", Target(ROUTE_CAMPAIGN, "", "step")),
        ("/v1/users/ann/campaigns/", None),
        ("/v1/users/ann/campaigns/a/b", None),
        ("/v1/users/ann", None),
        ("/v1/users/", None),
        ("/v1/users/status", None),
        ("/v1/users/campaigns/step", None),
        ("/v1/users/ann/status/", None),
        ("/v1/user/ann/status", None),
        ("/", None),
    ],
)
def test_paths(path: str, target: Target | None) -> None:
    """A path names one user, and a campaign or none; every other path names nothing."""
    assert target_of(path) == target


@given(user_id=st.text(min_size=1), campaign=st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True))
def test_every_id_has_its_path(user_id: str, campaign: str) -> None:
    """Whatever characters an id has, its path with a campaign names that id and no other."""
    assert target_of(f"/v1/users/{user_id}/campaigns/{campaign}") == Target(ROUTE_CAMPAIGN, user_id, campaign)
