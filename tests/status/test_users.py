"""Which path names which user and campaign."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.status.routes import (
    OWN_CAMPAIGN,
    OWN_EXPLANATION,
    OWN_STATUS,
    OWN_STREAM,
    USER_CAMPAIGN,
    USER_EXPLANATION,
    USER_STATUS,
    USER_STREAM,
)
from rung.status.users import Target, target_of


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/users/ann/status", Target(USER_STATUS, "ann", None)),
        ("/v1/users//status", Target(USER_STATUS, "", None)),
        ("/v1/users/a/b/status", Target(USER_STATUS, "a/b", None)),
        ("/v1/users/status/status", Target(USER_STATUS, "status", None)),
        ("/v1/users/ann/campaigns/step", Target(USER_CAMPAIGN, "ann", "step")),
        ("/v1/users/ann/campaigns/status", Target(USER_CAMPAIGN, "ann", "status")),
        ("/v1/users/a/campaigns/b/campaigns/step", Target(USER_CAMPAIGN, "a/campaigns/b", "step")),
        ("/v1/users//campaigns/step", Target(USER_CAMPAIGN, "", "step")),
        ("/v1/users/ann/explain", Target(USER_EXPLANATION, "ann", None)),
        ("/v1/users/ann/status/explain", Target(USER_EXPLANATION, "ann/status", None)),
        ("/v1/users/ann/campaigns/explain", Target(USER_CAMPAIGN, "ann", "explain")),
        ("/v1/users/ann/status/stream", Target(USER_STREAM, "ann", None)),
        ("/v1/users/ann/campaigns/stream", Target(USER_CAMPAIGN, "ann", "stream")),
        ("/v1/users/ann/status/stream/status", Target(USER_STATUS, "ann/status/stream", None)),
        ("/v1/users/ann/stream", None),
        ("/v1/users/explain", None),
        ("/v1/users/me/status", Target(USER_STATUS, "me", None)),
        ("/v1/me/status", Target(OWN_STATUS, None, None)),
        ("/v1/me/campaigns/step", Target(OWN_CAMPAIGN, None, "step")),
        ("/v1/me/explain", Target(OWN_EXPLANATION, None, None)),
        ("/v1/me/status/stream", Target(OWN_STREAM, None, None)),
        ("/v1/me/ann/status", None),
        ("/v1/me/campaigns/", None),
        ("/v1/me/campaigns/a/b", None),
        ("/v1/me/status/", None),
        ("/v1/me", None),
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
    assert target_of(f"/v1/users/{user_id}/campaigns/{campaign}") == Target(USER_CAMPAIGN, user_id, campaign)
