"""Who may read whom: users come from a caller's own token, from a service's scope, or from an operator."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cli.command import PROJECT
from rung.access.permissions import Permission, Scope
from rung.access.subjects import (
    NEVER,
    NOBODY,
    AuthorisedUser,
    Caller,
    NotAllowed,
    check_permission,
    for_operator,
    own_user,
    service_caller,
    user_caller,
    user_for_service,
)
from rung.status.reader import JointReader, StatusReader

ANN = user_caller(b"ann", 5)
MAKERS = {"own_user", "user_for_service", "for_operator", "AuthorisedUser"}


def service(*scopes: Scope) -> Caller:
    """Return a service's caller."""
    return service_caller("1", frozenset(scopes), NEVER)


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (NOBODY, {Permission.OPEN}),
        (ANN, {Permission.OPEN, Permission.SIGNED_IN, Permission.OWN}),
        *(
            (service(scope), {Permission.OPEN, Permission.SIGNED_IN, Permission(scope.value)})
            for scope in Scope
        ),
    ],
)
def test_who_may_what(caller: Caller, may: set[Permission]) -> None:
    """Each kind of caller has its permissions and no others."""
    for permission in Permission:
        if permission in may:
            check_permission(caller, permission)
        else:
            with pytest.raises(NotAllowed) as caught:
                check_permission(caller, permission)
            assert caught.value.permission is permission


def test_a_user_is_their_own() -> None:
    """A token stands for its own user; nobody else has one."""
    assert own_user(ANN) == b"ann"
    for caller in (NOBODY, service(*Scope)):
        with pytest.raises(NotAllowed):
            own_user(caller)


@pytest.mark.parametrize("permission", [Permission.STATUS_READ, Permission.EXPLAIN_READ])
def test_services_name_users(permission: Permission) -> None:
    """A service with the scope may name any user; users, and services without it, may name none."""
    caller = service(Scope(permission.value))
    assert user_for_service(caller, permission, b"bob") == b"bob"
    others = service(*(scope for scope in Scope if scope.value != permission.value))
    for refused in (NOBODY, ANN, others):
        with pytest.raises(NotAllowed):
            user_for_service(refused, permission, b"bob")


@pytest.mark.parametrize("permission", [Permission.OPEN, Permission.SIGNED_IN, Permission.OWN])
def test_a_user_is_named_by_scope_alone(permission: Permission) -> None:
    """What anybody may do names no user."""
    with pytest.raises(NotAllowed):
        user_for_service(service(*Scope), permission, b"bob")


def test_nobody_else_makes_one() -> None:
    """An authorised user cannot be made without the seal of its module."""
    with pytest.raises(TypeError, match=r"only rung\.access\.subjects"):
        AuthorisedUser(b"ann", object())  # pyright: ignore[reportArgumentType]


def unchecked(reader: StatusReader, joint: JointReader) -> None:
    """Reads that do not type-check: the type checker complains if one of them does.

    It is not run. Each comment is an error of the type checker's if there is nothing to ignore.
    """
    reader.read([b"ann"])  # pyright: ignore[reportArgumentType]
    reader.status(b"ann", 0)  # pyright: ignore[reportArgumentType]
    joint.read(b"ann")  # pyright: ignore[reportArgumentType]
    reader.read([for_operator(b"ann")])


def test_where_users_are_authorised() -> None:
    """In the product few places make an authorised user: the API by its caller, others as an operator."""
    found: dict[str, set[str]] = {}
    for path in sorted((PROJECT / "src").rglob("*.py")):
        names = {node.id for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Name)}
        calls = names & MAKERS - {"AuthorisedUser"}
        if calls and path.parts[-2] != "access":
            found[str(Path(*path.parts[-2:]))] = calls
    by_callers = {path: calls for path, calls in found.items() if "for_operator" not in calls}
    assert by_callers == {
        "status/common_routes.py": {"user_for_service"},
        "status/users.py": {"own_user", "user_for_service"},
    }
    assert not [path for path in found if path not in by_callers and path.startswith("status/")]
