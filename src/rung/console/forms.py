"""What a form says: read within bounds, and what is wrong with it, field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import Request

BODY_BYTES_MAX: Final = 1 << 20
FIELDS_MAX: Final = 1_100
_FORM: Final = "application/x-www-form-urlencoded"


class Refused(Exception):
    """A request is not answered as it is: the status, a title, and a text that names the fix."""

    def __init__(self, status: HTTPStatus, title: str, text: str) -> None:
        super().__init__(f"{status.value} {title}: {text}")
        self.status = status
        self.title = title
        self.text = text


class Mistake(NamedTuple):
    """What is wrong with a field; "" is the form as a whole."""

    field: str
    text: str


class Form:
    """The fields of a form, or of a query; a field may come more than once."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        """Take the fields in their order."""
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str:
        """Return a field without blanks around it; "" if it is not there."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """Return a field as it was typed, with the line ends of a file; "" if it is not there."""
        values = self._values.get(name)
        return "" if values is None else values[-1].replace("\r\n", "\n")

    def every(self, name: str) -> tuple[str, ...]:
        """Return a field that may come more than once."""
        return tuple(self._values.get(name, ()))

    def kept(self) -> Mapping[str, str]:
        """Return all that was typed, but no password, so that a form can be shown again with it."""
        return {name: self.raw(name) for name in self._values if name != "password"}


def query_of(request: Request) -> Form:
    """Return the fields of a query.

    Raises:
        Refused: there are too many.
    """
    return _parsed(request.url.query.encode("latin-1", "replace"))


async def form_of(request: Request) -> Form:
    """Read a form.

    Raises:
        Refused: it is too large, or is no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Not a form",
            f"This path takes a form ({_FORM}), not {kind!r}.",
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "Too large",
                f"A form has at most {BODY_BYTES_MAX:,} bytes. Nothing was changed.",
            )
    return _parsed(bytes(body))


def _parsed(encoded: bytes) -> Form:
    try:
        pairs = parse_qsl(
            encoded.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise Refused(
            HTTPStatus.BAD_REQUEST, "Not readable", f"The fields are not UTF-8, or more than {FIELDS_MAX}."
        ) from error
    return Form(pairs)
