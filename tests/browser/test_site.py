"""The documentation site: built without a warning, and whole without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import expect

from browser.conftest import OpenPage
from browser.looking import LOOKS, Size, Theme
from docs.generator.site import PROJECT

_LOADED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=[\"']?([^\"' >]+)|<link[^>]+href=[\"']?([^\"' >]+)"
)
"""What a page loads by itself; a link is followed by its reader."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Keep the tests' output to the tests."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, with every warning an error, and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=PROJECT,
        env={"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    return folder


@pytest.fixture
def address(site: Path) -> Generator[str]:
    """Serve the site on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No page and no style names a file of another host, and no page draws what a script would fetch."""
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 30
    loaded = {first or second for text in pages.values() for first, second in _LOADED.findall(text)}
    assert loaded
    assert {one for one in loaded if re.match(r"(?:https?:)?//", one)} == set()
    assert [page for page, text in pages.items() if re.search(r'class="[^"]*\bmermaid\b', text)] == []
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")) == []


def test_it_is_searched_without_a_network(address: str, open_page: OpenPage) -> None:
    """Who types a word finds its pages, and the browser asks nobody but the site's own server."""
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/index.html")
    page.get_by_role("textbox", name="Search").click()
    page.keyboard.type("quarantine")
    found = page.locator(".md-search-result__link").first
    expect(found).to_be_visible()
    found.click()
    expect(page.locator("article")).to_contain_text("quarantine")
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_pages_fit(address: str, open_page: OpenPage, size: Size, theme: Theme) -> None:
    """Pages need no scrolling sideways, whatever looks at them."""
    page = open_page(size, theme)
    for name in ("index", "tutorial", "how-to/rule-change", "reference/http"):
        page.goto(f"{address}/{name}.html")
        expect(page.locator("article h1")).to_be_visible()
        width = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width[0] <= width[1], name
