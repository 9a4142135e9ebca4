"""Callers, and the users whose figures they may see.

A `Caller` is who a request comes from, once its token or key was verified. An `AuthorisedUser` is a user
that a caller may read. Readers of statuses take nothing else, and only this module makes them: a read
that nobody has allowed does not type-check.
"""

from __future__ import annotations

from typing import Final, Self

import msgspec

from rung.access.permissions import Permission, Scope

NEVER: Final = 1 << 62
"""The end of what does not end by itself, in microseconds since the epoch."""


class NotAllowed(Exception):
    """The caller may not do this. `permission` is what would be needed."""

    def __init__(self, permission: Permission) -> None:
        super().__init__(f"needs the permission {permission.value}")
        self.permission = permission


class _Seal:
    """Only this module has one, and nobody makes an `AuthorisedUser` without it."""


_SEAL: Final = _Seal()


class AuthorisedUser(bytes):
    """The id of a user whose figures may be read by whoever holds this, as UTF-8."""

    __slots__ = ()

    def __new__(cls, user_id: bytes, seal: _Seal) -> Self:
        """Take the id; the seal says that somebody has looked whether it may be read."""
        if seal is not _SEAL:
            raise TypeError("only rung.access.subjects makes authorised users")
        return super().__new__(cls, user_id)


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who a request comes from.

    `name` tells callers apart, for limits. `user_id` is the user of a token, who may read their own figures;
    None for a service. `expires_at` is when the token or key ends, in microseconds since the epoch; of a
    token it is the time it claims, and the leeway is not in it.
    """

    name: str
    permissions: frozenset[Permission]
    user_id: AuthorisedUser | None
    expires_at: int


_USER_PERMISSIONS: Final = frozenset({Permission.OPEN, Permission.SIGNED_IN, Permission.OWN})
_SERVICE_PERMISSIONS: Final = frozenset({Permission.OPEN, Permission.SIGNED_IN})

NOBODY: Final = Caller("", frozenset({Permission.OPEN}), None, NEVER)
"""A caller who has not said who they are."""


def user_caller(user_id: bytes, expires_at: int) -> Caller:
    """Return the caller that a user's token stands for."""
    own = AuthorisedUser(user_id, _SEAL)
    return Caller(f"user:{user_id.decode()}", _USER_PERMISSIONS, own, expires_at)


def service_caller(key_id: str, scopes: frozenset[Scope], expires_at: int) -> Caller:
    """Return the caller that a service's key stands for."""
    granted = frozenset(Permission(scope.value) for scope in scopes)
    return Caller(f"key:{key_id}", _SERVICE_PERMISSIONS | granted, None, expires_at)


def check_permission(caller: Caller, permission: Permission) -> None:
    """Check that a caller may use a route that asks for a permission.

    Raises:
        NotAllowed: the caller was not given it.
    """
    if permission not in caller.permissions:
        raise NotAllowed(permission)


def own_user(caller: Caller) -> AuthorisedUser:
    """Return the user that a token stands for.

    Raises:
        NotAllowed: the caller is no user.
    """
    if caller.user_id is None or Permission.OWN not in caller.permissions:
        raise NotAllowed(Permission.OWN)
    return caller.user_id


def user_for_service(caller: Caller, permission: Permission, user_id: bytes) -> AuthorisedUser:
    """Return a user whom a service names, for a route that asks for a scope.

    Raises:
        NotAllowed: the caller is no service, or has not that scope.
    """
    is_scope = permission not in _SERVICE_PERMISSIONS
    if caller.user_id is not None or not is_scope or permission not in caller.permissions:
        raise NotAllowed(permission)
    return AuthorisedUser(user_id, _SEAL)


def for_operator(user_id: bytes) -> AuthorisedUser:
    """Return a user whom an operator asks about, on the machine itself: whoever can read the home may.

    The command line and the console call it, and no route of the API.
    """
    return AuthorisedUser(user_id, _SEAL)
