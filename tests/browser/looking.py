"""Looking at a page as a person does: at a size and in a theme, with every trouble that it has on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, Request, Response, ViewportSize

Size = Literal["desktop", "phone", "narrow"]
Theme = Literal["light", "dark"]

SIZES: Final[dict[Size, ViewportSize]] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 375, "height": 812},
    "narrow": {"width": 320, "height": 640},
}
LOOKS: Final[tuple[tuple[Size, Theme], ...]] = (
    ("desktop", "light"),
    ("desktop", "dark"),
    ("phone", "light"),
    ("phone", "dark"),
)
"""What every page is looked at in."""

WCAG_AA: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
"""The rules of the Web Content Accessibility Guidelines 2.2, levels A and AA, as axe tags them."""
_ABORTED: Final = "net::ERR_ABORTED"
_ERROR: Final = 400


@dataclass
class Trouble:
    """What went wrong on a page: console errors, exceptions, requests that failed or were refused.

    A test that provokes trouble says so before, by a pattern: what is expected has to come, or the test proves
    nothing; what is allowed may come.
    """

    found: list[str] = field(default_factory=list[str])
    expected: list[re.Pattern[str]] = field(default_factory=list[re.Pattern[str]])
    allowed: list[re.Pattern[str]] = field(default_factory=list[re.Pattern[str]])

    def expect(self, pattern: str) -> None:
        """Take trouble that has this pattern for what the test is about."""
        self.expected.append(re.compile(pattern))

    def allow(self, pattern: str) -> None:
        """Take trouble that has this pattern for nothing."""
        self.allowed.append(re.compile(pattern))

    def watch(self, page: Page) -> None:
        """Note everything from here on."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.found.append(f"exception: {error}"))
        page.on("requestfailed", self._on_failed)
        page.on("response", self._on_response)

    def assert_none(self) -> None:
        """Fail if anything came that was not expected, or did not come that was."""
        known = [*self.expected, *self.allowed]
        surprises = [trouble for trouble in self.found if not any(one.search(trouble) for one in known)]
        assert surprises == []
        missing = [one.pattern for one in self.expected if not any(map(one.search, self.found))]
        assert missing == []

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.found.append(f"console: {message.text}")

    def _on_failed(self, request: Request) -> None:
        # A page that ends a stream of its own accord, or is left, does no wrong.
        if request.failure != _ABORTED:
            self.found.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= _ERROR:
            self.found.append(f"refused: {response.status} {response.request.method} {response.url}")


def assert_accessible(page: Page) -> None:
    """Fail with every violation of WCAG 2.2 AA that axe finds, in shadow trees as well."""
    # The library's types are dictionaries of anything.
    run = cast("Callable[..., Any]", Axe().run)  # pyright: ignore[reportUnknownMemberType]
    found = cast(
        "dict[str, Any]",
        run(page, options={"runOnly": {"type": "tag", "values": list(WCAG_AA)}}).response,
    )
    told = [
        f"{violation['id']}: {violation['help']}: {node['target']}: {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
    assert told == []
    # Rules that passed nowhere looked at nothing.
    assert found["passes"]


def assert_no_sideways_scroll(page: Page) -> None:
    """Fail if the page is wider than the window."""
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1], f"{widths[0]} px wide in a window of {widths[1]} px"
