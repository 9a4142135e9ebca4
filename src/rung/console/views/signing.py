"""To sign in and out, and the files that every page needs."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from rung.console.application import cookie_name, local_path
from rung.console.console import Asked, Console, see
from rung.console.forms import Mistake, Refused
from rung.console.pages import MEDIA_TYPES
from rung.console.words import duration_text

_log = logging.getLogger(__name__)

_STATIC_HEADERS: Final = {"cache-control": "public, max-age=31536000, immutable"}


def sign_in_form(console: Console, asked: Asked) -> Response:
    """Ask for a name and a password."""
    if asked.account is not None:
        return see(local_path(asked.query.text("next")))
    return console.page(
        asked, "sign-in.html", next=asked.query.text("next"), empty=not console.accounts.all()
    )


def sign_in(console: Console, asked: Asked) -> Response:
    """Sign in, and go on to the page that was asked for."""
    name, password = asked.form.text("name"), asked.form.raw("password")
    following = asked.form.text("next")
    if not name or not password:
        return _again(console, asked, "Write your name and your password.", HTTPStatus.UNPROCESSABLE_ENTITY)
    with console.signing_in:
        wait = console.attempts.wait_seconds(name)
        if wait:
            text = f"Too many attempts failed. Try again in {duration_text(wait)}."
            response = _again(console, asked, text, HTTPStatus.TOO_MANY_REQUESTS)
            response.headers["retry-after"] = str(int(wait) + 1)
            return response
        account = console.accounts.signed_in(name, password)
        if account is None:
            console.attempts.failed(name)
            # A name that is none may be a password in the wrong field.
            known = name if console.accounts.find(name) else "unknown"
            _log.warning("sign_in_failed", extra={"cause": known, "request": asked.id})
    if account is None:
        return _again(console, asked, "Name and password do not belong together.", HTTPStatus.FORBIDDEN)
    if asked.token:
        console.sessions.close(asked.token)
    response = see(local_path(following))
    response.set_cookie(
        cookie_name(console),
        console.sessions.open(account),
        httponly=True,
        secure=console.origin.is_secure,
        samesite="strict",
    )
    return response


def sign_out(console: Console, asked: Asked) -> Response:
    """Sign out."""
    console.sessions.close(asked.token)
    response = see("/sign-in")
    response.delete_cookie(
        cookie_name(console), httponly=True, secure=console.origin.is_secure, samesite="strict"
    )
    return response


def static(console: Console, asked: Asked) -> Response:
    """Give a file that pages name by its content, so that it never changes."""
    name = asked.parameters["name"]
    content = console.pages.files.get(name)
    if content is None:
        raise Refused(HTTPStatus.NOT_FOUND, "No such page", "Nothing is at this address.")
    return Response(content, headers=_STATIC_HEADERS, media_type=MEDIA_TYPES[name.rpartition(".")[2]])


def _again(console: Console, asked: Asked, text: str, status: HTTPStatus) -> Response:
    return console.form_again(
        asked,
        "sign-in.html",
        [Mistake("name", text)],
        status.value,
        next=asked.form.text("next"),
        empty=False,
    )
