"""Who may do what in the console: three roles, and the permission that each route asks for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a route asks for."""

    NOTHING = "nothing"
    """Open to everybody: to sign in, and static files."""
    VIEW = "view"
    """To look."""
    OPERATE = "operate"
    """To run jobs, deal with the quarantine, and propose changes: what can be done again or undone."""
    APPROVE = "approve"
    """To let a change of somebody else pass, to let a version serve, and to settle."""


class Role(StrEnum):
    """What an account is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"


_GRANTED: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.OPERATOR: frozenset({Permission.VIEW, Permission.OPERATE}),
    Role.APPROVER: frozenset({Permission.VIEW, Permission.OPERATE, Permission.APPROVE}),
}


def may(role: Role, permission: Permission) -> bool:
    """Tell whether a role has a permission."""
    return permission is Permission.NOTHING or permission in _GRANTED[role]
