"""What a route asks for, and what a caller was given."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a service's key may do; a key has one or more."""

    STATUS_READ = "status:read"
    EXPLAIN_READ = "explain:read"
    EVENTS_WRITE = "events:write"
    METRICS_READ = "metrics:read"


class Permission(StrEnum):
    """What a route asks of its caller; each route names exactly one."""

    OPEN = "open"
    """Nothing: it answers whoever asks."""
    SIGNED_IN = "signed_in"
    """Any valid token or key."""
    OWN = "own"
    """A user's token: what it answers is of that user, whatever the request says."""
    STATUS_READ = Scope.STATUS_READ.value
    EXPLAIN_READ = Scope.EXPLAIN_READ.value
    EVENTS_WRITE = Scope.EVENTS_WRITE.value
    METRICS_READ = Scope.METRICS_READ.value
