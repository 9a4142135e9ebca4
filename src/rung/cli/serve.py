"""`rung serve`: the API, the page and the worker together."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.options import DEFAULT_HOME, HomeOption


def serve(
    home: HomeOption = DEFAULT_HOME,
    host: Annotated[
        str | None, typer.Option("--host", help="A loopback address (default: api.host).")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="0 takes a free one (default: api.port).")
    ] = None,
) -> None:
    """Run the status API, the status page and the worker until Ctrl-C or SIGTERM."""
    from rung import bootstrap
    from rung.cli.output import say

    def tell(url: str) -> None:
        say(f"Status page: {url}/")
        say(f"Status API:  curl {url}/v1/users/USER/status")
        say("Serving until Ctrl-C")

    bootstrap.serve(bootstrap.open_home(home), host, port, tell)
