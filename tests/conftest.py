"""What every test shares: one Hypothesis profile, repeatable and without a clock."""

from __future__ import annotations

from hypothesis import settings

# Examples come from a fixed seed, so that a failure seen once is seen again; a slow machine is
# no failure, so there is no deadline.
settings.register_profile("rung", deadline=None, derandomize=True)
settings.load_profile("rung")
