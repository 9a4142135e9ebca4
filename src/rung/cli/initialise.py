"""`rung init`: make a home."""

from __future__ import annotations

from rung.cli.options import DEFAULT_HOME, HomeOption


def init(home: HomeOption = DEFAULT_HOME) -> None:
    """Make a home: rung.toml with every setting explained, an empty log and an empty store."""
    from rung import bootstrap
    from rung.cli.output import say

    made = bootstrap.initialise(home)
    say(f"{'Made' if made else 'Already there'}: {home} (settings: {home / 'rung.toml'})")
    if made:
        say("Next: rung campaign apply SPEC..., then rung ingest FILE... --wait")
