"""What can go wrong with a server, as one error."""

from __future__ import annotations


class ServerError(Exception):
    """A server cannot be had, does not start or does not answer; the text names what to do."""
