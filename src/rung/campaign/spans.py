"""Which periods a version serves, as texts: for answers in JSON and the audit list."""

from __future__ import annotations

import msgspec


class SpanDescription(msgspec.Struct, frozen=True):
    """The periods from `first` to `last` (None: without end), which a version serves."""

    version: int
    first: str
    last: str | None
