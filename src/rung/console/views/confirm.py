"""What a dangerous action asks for besides the click: the value that is typed, and the password once more."""

from __future__ import annotations

from http import HTTPStatus

from rung.console.console import Asked, Console
from rung.console.forms import Mistake, Refused
from rung.console.words import duration_text


def confirmed(console: Console, asked: Asked, due: str, what: str) -> list[Mistake]:
    """Return what is wrong with a confirmation, nothing if it is right.

    Args:
        console: The console.
        asked: The request, with the fields `typed` and `password`.
        due: What has to be typed.
        what: What that is, in words.

    Raises:
        Refused: too many passwords were wrong.
    """
    mistakes: list[Mistake] = []
    if asked.form.text("typed") != due:
        mistakes.append(Mistake("typed", f"Type {what}, to the letter: {due}"))
    with console.signing_in:
        wait = console.attempts.wait_seconds(asked.who)
        if wait:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many attempts",
                f"Too many passwords were wrong. Nothing was changed: try again in {duration_text(wait)}.",
            )
        if console.accounts.signed_in(asked.who, asked.form.raw("password")) is None:
            console.attempts.failed(asked.who)
            mistakes.append(Mistake("password", "That is not your password."))
    return mistakes
