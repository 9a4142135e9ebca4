"""The campaign spec: YAML text to a checked `Campaign`, or to every error with its place."""

from __future__ import annotations

from rung.campaign.spec.campaign import load
from rung.campaign.spec.canonical import canonical
from rung.campaign.spec.errors import InvalidSpec, SpecError

__all__ = ["InvalidSpec", "SpecError", "canonical", "load"]
