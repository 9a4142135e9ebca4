"""What the documentation says is up to date, and reads well from the first line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import rung.status
from docs.generator.examples import captured
from docs.generator.pages import DOCS, PAGES
from rung.status.openapi import EXAMPLES_FILE

WRITTEN = sorted(
    str(page.relative_to(DOCS))
    for page in DOCS.rglob("*.md")
    if page.parent.name != "adr" and page.name != "index.md"
)


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_fresh(name: str) -> None:
    """Each page that is written from the code says what the code says now; else: make docs."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "stale: run python -m docs.generator"


def test_the_examples_are_real() -> None:
    """The examples of the API's description are what a running server answers, to the letter."""
    file = Path(rung.status.__path__[0]) / EXAMPLES_FILE
    assert json.loads(file.read_bytes()) == captured(), "stale: run python -m docs.generator"


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_says_for_whom_it_is(name: str) -> None:
    """The first words of every page name its readers."""
    text = re.sub(r"<!--.*?-->\s*", "", (DOCS / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    _, _, after_title = text.partition("\n\n")
    first = after_title.partition("\n\n")[0]
    assert re.search(r"\b(For|for) (those|operators|developers|engineers|everybody|you|somebody)\b", first), (
        first
    )
