"""The console as an application: each route with its permission, and everything checked before it is asked.

A request passes, in this order: the Host, the session, the permission, and if it changes anything, its origin
and the session's token. A route without a permission keeps the console from starting.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.console.accounts import Account, AccountsRefused
from rung.console.console import Asked, Console, see
from rung.console.forms import Form, Refused, form_of, query_of
from rung.console.roles import Permission, may
from rung.console.sessions import Session, is_same_text, stamp_of
from rung.operations.expected import Kind, expected

HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""What every answer carries."""
PATH_BYTES_MAX: Final = 2_048
_STATUSES: Final = {
    Kind.BAD_INPUT: HTTPStatus.UNPROCESSABLE_ENTITY,
    Kind.PROBLEMS: HTTPStatus.CONFLICT,
    Kind.BUSY: HTTPStatus.CONFLICT,
    Kind.FAILED: HTTPStatus.SERVICE_UNAVAILABLE,
}
_TITLES: Final = {
    Kind.BAD_INPUT: "This cannot be done",
    Kind.PROBLEMS: "Something stands against it",
    Kind.BUSY: "Not now",
    Kind.FAILED: "A part of the home does not answer",
}

_log = logging.getLogger(__name__)

Handler = Callable[[Console, Asked], Response]


class RouteUnguarded(Exception):
    """A route has no permission: the console does not start with it."""


class ConsoleRoute(NamedTuple):
    """A route.

    `permission` None is refused at the start. What is `passive` is asked for by a page itself, so it keeps no
    session alive.
    """

    method: str
    path: str
    permission: Permission | None
    handler: Handler
    passive: bool = False


def application(console: Console, routes: Sequence[ConsoleRoute]) -> Starlette:
    """Return the application; the server starts and stops it.

    Raises:
        RouteUnguarded: a route has no permission, or there are two for one path and method.
    """
    seen: set[tuple[str, str]] = set()
    for route in routes:
        if route.permission is None:
            raise RouteUnguarded(f"{route.method} {route.path} has no permission")
        if (route.method, route.path) in seen:
            raise RouteUnguarded(f"{route.method} {route.path} is there twice")
        seen.add((route.method, route.path))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        console.start()
        try:
            yield
        finally:
            await asyncio.to_thread(console.stop)

    made = Starlette(
        routes=[_guarded(console, route) for route in routes],
        exception_handlers={HTTPException: partial(_no_route, console)},  # pyright: ignore[reportArgumentType]
        lifespan=lifespan,
    )
    made.router.redirect_slashes = False
    return made


async def _no_route(console: Console, request: Request, error: HTTPException) -> Response:
    """Answer what no route takes; whoever asks need not be signed in, and is told nothing else."""
    request_id = secrets.token_hex(8)
    asked = Asked(
        request_id, "", {}, Form(), Form(), None, None, "", is_part=False, now=console.services.clock()
    )
    title, text = "No such page", "Nothing is at this address."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        title, text = "Not in this way", f"This path takes {(error.headers or {}).get('Allow', '')}."
    response = console.page(asked, "error.html", error.status_code, title=title, text=text)
    return _with_headers(response, request_id)


def _with_headers(response: Response, request_id: str) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["x-request-id"] = request_id
    return response


def _guarded(console: Console, route: ConsoleRoute) -> Route:
    async def answer(request: Request) -> Response:
        return await _Guard(console, route, request).answer()

    return Route(route.path, answer, methods=[route.method])


class _Guard:
    """One request of one route."""

    def __init__(self, console: Console, route: ConsoleRoute, request: Request) -> None:
        self._console = console
        self._route = route
        self._request = request
        self._id = secrets.token_hex(8)
        self._account: Account | None = None
        self._session: Session | None = None
        self._token = ""
        self._is_part = request.headers.get("hx-request") == "true"

    async def answer(self) -> Response:
        try:
            response = await self._answer()
        except Exception as error:
            response = await asyncio.to_thread(self._refused, error)
        return _with_headers(response, self._id)

    async def _answer(self) -> Response:
        request, permission = self._request, self._route.permission
        if not self._console.origin.answers_to(request.headers.get("host", "")):
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "Another host",
                "The console does not answer to this name. Its own is the setting console.origin.",
            )
        if len(request.url.path) + len(request.url.query) > PATH_BYTES_MAX:
            raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "Too long", "The address is too long.")
        await asyncio.to_thread(self._recognise)
        if permission is not Permission.NOTHING:
            if self._account is None:
                return self._sign_in_first()
            assert permission is not None, "checked at the start"
            if not may(self._account.role, permission):
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    "Not with this account",
                    f"This needs the permission to {permission}, and {self._account.name} is a "
                    f"{self._account.role}. Somebody else has to do it.",
                )
        form = Form()
        if request.method == "POST":
            self._check_own_page()
            form = await form_of(request)
            if permission is not Permission.NOTHING:
                self._check_token(form)
        asked = self._asked(query_of(request), form)
        return await asyncio.to_thread(self._route.handler, self._console, asked)

    def _recognise(self) -> None:
        """Find out who is signed in: with the account and the password as they are now."""
        console = self._console
        token = self._request.cookies.get(cookie_name(console), "")
        session = console.sessions.find(token, passive=self._route.passive) if token else None
        if session is None:
            return
        account = console.accounts.find(session.name)
        if account is None or not is_same_text(stamp_of(account), session.stamp):
            console.sessions.close(token)
            return
        self._account, self._session, self._token = account, session, token

    def _sign_in_first(self) -> Response:
        request = self._request
        if self._is_part:
            # The page goes to sign in as a whole; a part of it has no place for that.
            return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"hx-redirect": "/sign-in"})
        if request.method != "GET":
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "Signed out",
                "You were signed out meanwhile. Nothing was changed: sign in in another tab, then send this "
                "again.",
            )
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return see("/sign-in") if target == "/" else see("/sign-in", next=target)

    def _check_own_page(self) -> None:
        if not self._console.origin.is_own(self._request.headers):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "Not from this console",
                "This request does not come from a page of this console. Nothing was changed. If it did, the "
                "setting console.origin is not the address that the browser shows.",
            )

    def _check_token(self, form: Form) -> None:
        if self._session is not None and not is_same_text(form.raw("csrf"), self._session.csrf):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "An old form",
                "This form is from before you signed in. Nothing was changed: load the page anew.",
            )

    def _asked(self, query: Form, form: Form) -> Asked:
        return Asked(
            self._id,
            self._request.url.path,
            dict(self._request.path_params),
            query,
            form,
            self._account,
            self._session,
            self._token,
            self._is_part,
            self._console.services.clock(),
        )

    def _refused(self, error: Exception) -> Response:
        """Return what is told of an error: never its traceback, and its text only if it is for people."""
        if isinstance(error, AccountsRefused):
            error = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The accounts cannot be read", str(error))
        if not isinstance(error, Refused):
            known = expected(error)
            if known is None:
                _log.error(
                    "page_failed", exc_info=error, extra={"route": self._route.path, "request": self._id}
                )
                error = Refused(
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    "The console failed",
                    f"That is a fault of ours. The console's log has it under the request {self._id}.",
                )
            else:
                _log.warning(
                    "page_refused",
                    extra={"route": self._route.path, "request": self._id, "cause": known.text},
                )
                error = Refused(_STATUSES[known.kind], _TITLES[known.kind], known.text)
        asked = self._asked(Form(), Form())
        return self._console.page(
            asked,
            "part-error.html" if self._is_part else "error.html",
            error.status.value,
            title=error.title,
            text=error.text,
        )


def cookie_name(console: Console) -> str:
    """Return the name of the session's cookie: with TLS one that no other host and no plain page can set."""
    return "__Host-rung-session" if console.origin.is_secure else "rung-session"


def local_path(text: str) -> str:
    """Return a path of this console to go on to; what leads elsewhere is the first page."""
    parts = urlsplit(text)
    leads_here = text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.netloc
    return text if leads_here and "\\" not in text and text.isprintable() else "/"
