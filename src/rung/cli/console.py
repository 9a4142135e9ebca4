"""`rung console`: the operators' console in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def console(
    home: HomeOption = DEFAULT_HOME,
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen on (default: console.host).")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, help="0 takes a free one (default: console.port)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the operators' console until Ctrl-C or SIGTERM.

    It has its own port, apart from that of `rung serve`. Whoever uses it needs an account (`rung accounts`).
    """
    from rung import bootstrap
    from rung.cli.output import print_json, say
    from rung.console.accounts import Accounts
    from rung.console_home import serve_console

    opened = bootstrap.open_home(home)
    if not Accounts(opened.console_folder).all():
        say(f"Nobody can sign in yet: rung --home {home} accounts add NAME --role approver")

    def tell(url: str) -> None:
        if as_json:
            print_json({"url": url})
        say(f"Console: {url}/")
        say("Serving until Ctrl-C")

    serve_console(opened, host, port, tell)
