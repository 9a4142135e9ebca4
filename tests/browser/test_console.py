"""The console in a real Chromium: every page, in both sizes and themes, and the way of a change of rules."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import OpenPage
from browser.console_server import ADDED, SPEC, ConsoleServer, console_server
from browser.looking import LOOKS, Size, Theme, Trouble, assert_accessible
from console.console_rig import PASSWORD, current

_JOB_MILLISECONDS: Final = 180_000.0
PAGES: Final = {
    "overview": "/",
    "campaigns": "/campaigns",
    "campaign": "/campaigns/step",
    "roll-back": "/campaigns/step/roll-back",
    "changes": "/changes",
    "propose": "/changes/new?campaign=step",
    "simulate": "/simulate?campaign=step",
    "users": "/users",
    "user": "/users?id=user-012",
    "quarantine": "/quarantine",
    "batch": "/batch",
    "audit": "/audit",
    "lag": "/lag",
    "not-there": "/campaigns/none",
}

MAIN_PAGES: Final = ["overview", "campaign", "user", "batch"]

Shot = Callable[[Page, str], Path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ConsoleServer]:
    """Run a console; the tests that only look share it."""
    with console_server(tmp_path_factory.mktemp("console")) as found:
        yield found


def sideways(page: Page) -> int:
    """Return by how many pixels a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_every_page(
    server: ConsoleServer, open_page: OpenPage, trouble: Trouble, shot: Shot, size: Size, theme: Theme
) -> None:
    """Every page is accessible, fits its window, and runs under its own policy, in both sizes and themes.

    A theme changes colours and a size the layout, so each is seen on every page, and together on the main ones.
    """
    names = list(PAGES) if (size, theme) in {("desktop", "light"), ("phone", "dark")} else MAIN_PAGES
    trouble.allow(r"/campaigns/none|status of 404")
    page = open_page(size, theme)
    page.goto(f"{server.url}/sign-in")
    assert_accessible(page)
    server.sign_in(page, "ann")
    for name in names:
        page.goto(f"{server.url}{PAGES[name]}")
        expect(page.locator("h1")).to_be_visible()
        assert_accessible(page)
        assert sideways(page) <= 0, (name, size)
        shot(page, f"console-{name}-{size}-{theme}")


def test_at_320_pixels(server: ConsoleServer, open_page: OpenPage, trouble: Trouble) -> None:
    """On the narrowest phone no page has to be moved sideways."""
    trouble.expect(r"/campaigns/none|status of 404")
    page = server.sign_in(open_page("narrow"), "ann")
    for path in PAGES.values():
        page.goto(f"{server.url}{path}")
        assert sideways(page) <= 0, path


def test_without_scripts(server: ConsoleServer, open_page: OpenPage) -> None:
    """Without scripts every page can be reached and read, and forms are sent."""
    page = open_page("phone")
    page.route("**/*.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
    server.sign_in(page, "vera")
    page.get_by_role("link", name="Users").click()
    page.fill("#f-id", "user-012")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("h1")).to_have_text("User user-012")
    expect(page.get_by_text("equals the stored figures")).to_be_visible()


def test_by_keyboard(server: ConsoleServer, open_page: OpenPage) -> None:
    """Keys lead to pages and to the search, show what they do, and can be switched off."""
    page = server.sign_in(open_page(), "vera")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url(f"{server.url}/quarantine")
    page.keyboard.press("/")
    expect(page.locator("#f-q")).to_be_focused()
    page.keyboard.type("g")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Shortcuts are on").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.reload()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_themes(server: ConsoleServer, open_page: OpenPage) -> None:
    """The theme follows the system until another one is chosen, and the choice is kept."""
    page = server.sign_in(open_page(theme="dark"), "vera")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(15, 19, 24)"
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.reload()
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    assert_accessible(page)
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()
    expect(page.get_by_role("button", name="Theme")).to_have_text("Theme: auto")
    assert page.evaluate(background) == "rgb(15, 19, 24)"


def test_the_menu_of_a_phone(server: ConsoleServer, open_page: OpenPage) -> None:
    """On a phone the pages are behind a button that says whether it is open."""
    page = server.sign_in(open_page("phone"), "vera")
    button = page.get_by_role("button", name="Menu")
    expect(page.get_by_role("navigation")).to_be_hidden()
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    assert_accessible(page)
    page.get_by_role("link", name="Audit").click()
    page.wait_for_url(f"{server.url}/audit")


def test_live_and_paused(server: ConsoleServer, open_page: OpenPage, trouble: Trouble) -> None:
    """The overview looks again by itself, until it is paused; when nothing answers, it says so beside the figures."""
    page = server.sign_in(open_page(), "vera")
    stamp = page.locator("#live .as-of").first
    before = stamp.inner_text()
    expect(stamp).not_to_have_text(before)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#live-state")).to_have_text("Paused")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(6_000)
    assert asked == []
    page.get_by_role("button", name="Go on").click()
    trouble.expect("ERR_FAILED|failed|htmx:")
    page.route("**/live", lambda route: route.abort())
    expect(page.locator("#live-state")).to_contain_text("Not refreshed: the console does not answer.")
    page.unroute("**/live")
    expect(page.locator("#live-state")).to_have_text("Looks again every 5 s")


def test_a_chart_and_its_table(server: ConsoleServer, open_page: OpenPage) -> None:
    """The chart of the overview says in words what it shows, and its numbers are in a table."""
    page = server.sign_in(open_page(), "vera")
    expect(page.locator("#lately-chart canvas")).to_be_visible()
    expect(page.locator("#lately-chart")).to_have_attribute(
        "aria-label", page.locator("#series-summary").inner_text()
    )
    page.get_by_text("Show as table").click()
    expect(page.locator("#series-table tbody tr").first).to_be_visible()


@pytest.mark.timeout(600)
def test_a_change_of_rules(open_page: OpenPage, trouble: Trouble, shot: Shot, tmp_path: Path) -> None:
    """Bob brings a file, and goes the way up to the comparison; ann approves on her phone, and activates."""
    spec = tmp_path / "step.yaml"
    spec.write_text(SPEC + ADDED, encoding="utf-8")
    start = str(current().next())
    with console_server(tmp_path) as server:
        bob = server.sign_in(open_page("desktop"), "bob")
        bob.goto(f"{server.url}/campaigns/step")
        bob.get_by_role("link", name="Propose a change").click()
        trouble.expect("422")
        bob.fill("#f-spec", "campaign: step\ntimezon: Asia/Tokyo\n")
        bob.fill("#f-reason", "Reward those who use several services.")
        bob.get_by_role("button", name="Check and propose").click()
        expect(bob.locator("#mistakes")).to_be_focused()
        expect(bob.get_by_text("did you mean timezone?")).to_be_visible()
        assert_accessible(bob)
        shot(bob, "console-change-mistakes")
        bob.set_input_files("#spec-file", spec)
        expect(bob.locator("#f-spec")).to_have_value(SPEC + ADDED)
        bob.fill("#f-serves_from", start)
        bob.get_by_role("button", name="Check and propose").click()
        bob.get_by_role("button", name="Apply version 1 as a shadow").click()
        bob.get_by_role("button", name="Add the past of version 1").click()
        expect(bob.get_by_role("heading", name="Next: Verify")).to_be_visible(timeout=_JOB_MILLISECONDS)
        bob.get_by_role("button", name="Verify every user").click()
        expect(bob.get_by_role("heading", name="Next: Compare")).to_be_visible(timeout=_JOB_MILLISECONDS)
        bob.fill("#f-period", str(current().previous()))
        bob.get_by_role("button", name="Compare").click()
        expect(bob.get_by_role("heading", name="Next: Approve")).to_be_visible(timeout=_JOB_MILLISECONDS)
        assert_accessible(bob)
        shot(bob, "console-change-compared")

        ann = server.sign_in(open_page("phone", "dark"), "ann")
        ann.get_by_role("link", name="Review it").click()
        assert_accessible(ann)
        assert sideways(ann) <= 0
        shot(ann, "console-change-review-phone-dark")
        ann.get_by_role("button", name="Approve").click()
        ann.fill("#f-reason", "as announced")
        ann.fill("#f-typed", "step")
        ann.fill("#f-password", PASSWORD)
        shot(ann, "console-change-activate-phone-dark")
        ann.get_by_role("button", name=f"Activate version 1 from {start}").click()
        expect(ann.get_by_text(f"Version 1 of step serves from {start} on.")).to_be_visible()

        bob.goto(f"{server.url}/campaigns/step")
        bob.get_by_role("button", name="Count them now").click()
        expect(bob.get_by_role("heading", name="payments >= 10")).to_be_visible(timeout=_JOB_MILLISECONDS)
        bob.goto(f"{server.url}/campaigns/step")
        expect(bob.locator(".chart.bars canvas").first).to_be_visible()
        assert_accessible(bob)
        shot(bob, "console-campaign-counted")
