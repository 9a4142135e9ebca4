"""`rung init`: make a home."""

from __future__ import annotations

from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def init(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make a home: rung.toml with every setting explained, an empty log and an empty store.

    With RUNG_LOG_KIND=kafka or RUNG_STORE_KIND=dynamodb nothing is made on the servers; they need not run.
    """
    from rung import bootstrap
    from rung.cli.output import print_json, say

    made = bootstrap.initialise(home)
    if as_json:
        print_json({"made": made, "home": str(home), "settings": str(home / "rung.toml")})
        return
    say(f"{'Made' if made else 'Already there'}: {home} (settings: {home / 'rung.toml'})")
    if made:
        opened = bootstrap.open_home(home)
        steps = [
            *(["rung store create"] if opened.has_dynamodb else []),
            *(["rung log create --partitions N --replication-factor R"] if opened.has_kafka else []),
            "rung campaign apply SPEC...",
            "rung ingest FILE... --wait",
        ]
        say(f"Next: {', then '.join(steps)}")
