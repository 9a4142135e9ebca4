"""`rung serve`: the API, the page and the worker together."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def serve(
    home: HomeOption = DEFAULT_HOME,
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen on (default: api.host).")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="0 takes a free one (default: api.port).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the status API, the status page and the worker until Ctrl-C or SIGTERM."""
    from urllib.parse import urlsplit

    from rung import bootstrap
    from rung.cli.output import print_json, say
    from rung.status.hosts import is_loopback_address

    def tell(url: str) -> None:
        if as_json:
            print_json({"url": url})
        say(f"Status page: {url}/")
        say(f'Status API:  curl -H "Authorization: Bearer $KEY" {url}/v1/users/USER/status')
        say("             KEY=$(rung keys create SERVICE --scope status:read) makes a key")
        if not is_loopback_address(urlsplit(url).hostname or ""):
            say("This is plain HTTP: have a proxy with TLS before it, and let nobody else reach it.")
        say("Serving until Ctrl-C")

    bootstrap.serve(bootstrap.open_home(home), host, port, tell)
