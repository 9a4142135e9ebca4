"""Where the console is reached: which Host it answers to, and which requests come from its own pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from rung.status.hosts import is_loopback_host

_OPAQUE: Final = frozenset({"", "null"})


class OriginWrong(Exception):
    """The origin that was set is none; the text says what is due."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin by which browsers reach the console; "" is plain HTTP on any name of loopback."""

    text: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no origin, and an unencrypted one beyond this machine."""
        if not self.text:
            return
        parts = urlsplit(self.text)
        if self.text != f"{parts.scheme}://{parts.netloc}" or not parts.netloc or "@" in parts.netloc:
            raise OriginWrong(
                f"{self.text!r} is no origin: write how browsers reach the console, such as "
                "https://rung.example.com, without a path"
            )
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback_host(parts.netloc)):
            raise OriginWrong(
                f"{self.text} is not https: passwords would pass in the clear; put TLS before it"
            )

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it by TLS, so that cookies may ask for that."""
        return self.text.startswith("https://")

    def answers_to(self, host: str) -> bool:
        """Tell whether a Host header names the console: others may be led here by a web page of theirs."""
        return host == urlsplit(self.text).netloc if self.text else is_loopback_host(host)

    def is_own(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request comes from a page of the console, by what the browser says of it.

        Our pages send no referrer, and browsers then call the origin of a form `null`: Sec-Fetch-Site tells
        it instead. What tells nothing at all is no browser, and is refused as well.
        """
        site = headers.get("sec-fetch-site")
        if site is not None and site != "same-origin":
            return False
        told = headers.get("origin", "")
        if told in _OPAQUE:
            return site == "same-origin"
        return told == (self.text or f"http://{headers.get('host', '')}")
