"""Reading answers: strict about what is known, and tolerant of what a later server adds."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from rung.client.errors import BadAnswer

_Decoded = TypeVar("_Decoded")


def decoded(text: bytes | str, kind: type[_Decoded]) -> _Decoded:
    """Return what an answer holds; fields that are not known are passed over.

    Raises:
        BadAnswer: it is something else.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise bad_answer(str(error)) from error


def check_user(told: str, asked: str | None) -> None:
    """Check whose figures they are: what stands between client and server may have changed the path.

    Raises:
        BadAnswer: they are another user's; None asked for the user whose token it is.
    """
    if asked is not None and told != asked:
        raise bad_answer("it is about another user than the one who was asked for")


def bad_answer(reason: str) -> BadAnswer:
    """Return the error of an answer that cannot be used."""
    return BadAnswer(
        "bad_answer",
        f"The answer is none that this version of the client knows: {reason}. Is the address right?",
    )
