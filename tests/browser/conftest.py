"""A real Chromium for the tests of pages, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from browser.looking import SIZES, Size, Theme, Trouble
from servers.browser import find_chromium

_FLAGS: Final = (
    "--no-sandbox",  # the sandbox does not start as root; only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SCREENSHOTS: Final = "SCREENSHOTS"
"""The variable that names where screenshots are kept, such as docs/screenshots; else they go with the test."""
_TIMEOUT_MILLISECONDS: Final = 30_000.0
expect.set_options(timeout=_TIMEOUT_MILLISECONDS)


class OpenPage(Protocol):
    """Opens an empty page in a browser profile of its own."""

    def __call__(
        self,
        size: Size = "desktop",
        theme: Theme = "light",
        *,
        locale: str = "en-GB",
        timezone: str = "Asia/Tokyo",
        reduced_motion: bool = False,
    ) -> Page: ...


# For each file: while it runs, Playwright has an event loop in this thread, and tests of other files want theirs.
@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """Run Chromium, with a profile that is thrown away."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=find_chromium(), headless=True, args=list(_FLAGS)
        ) as chromium,
    ):
        yield chromium


@pytest.fixture
def trouble() -> Generator[Trouble]:
    """Note what goes wrong on the pages of a test, and fail the test by it at its end; see `Trouble.expect`."""
    found = Trouble()
    yield found
    found.assert_none()


@pytest.fixture
def open_page(browser: Browser, trouble: Trouble) -> Generator[OpenPage]:
    """Give a function that opens pages, which are watched for trouble."""
    contexts: list[BrowserContext] = []

    def open_one(
        size: Size = "desktop",
        theme: Theme = "light",
        *,
        locale: str = "en-GB",
        timezone: str = "Asia/Tokyo",
        reduced_motion: bool = False,
    ) -> Page:
        context = browser.new_context(
            viewport=SIZES[size],
            color_scheme=theme,
            locale=locale,
            timezone_id=timezone,
            reduced_motion="reduce" if reduced_motion else "no-preference",
        )
        context.set_default_timeout(_TIMEOUT_MILLISECONDS)
        contexts.append(context)
        page = context.new_page()
        trouble.watch(page)
        return page

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def shot(tmp_path: Path) -> Callable[[Page, str], Path]:
    """Return a function that keeps a screenshot of a whole page as NAME.png, and says where."""
    folder = Path(os.environ.get(_SCREENSHOTS, tmp_path))

    def keep(page: Page, name: str) -> Path:
        file = folder / f"{name}.png"
        page.screenshot(path=file, full_page=True, animations="disabled")
        return file

    return keep
