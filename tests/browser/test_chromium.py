"""Where the tests of pages find their browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.browser import NAMES, find_chromium
from servers.errors import ServerError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with one program, under the last of the names that are looked for."""
    program = tmp_path / NAMES[-1]
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    return tmp_path


def test_on_the_path(place: Path) -> None:
    """Any of the usual names on the PATH will do."""
    assert find_chromium({"PATH": str(place)}) == place / NAMES[-1]


def test_a_named_one(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """CHROMIUM names one anywhere, and goes before the PATH."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    named = {"PATH": str(elsewhere), "CHROMIUM": str(place / NAMES[-1])}
    assert find_chromium(named) == place / NAMES[-1]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "On Debian: apt-get install chromium fonts-noto-cjk. One elsewhere is named by CHROMIUM."),
        (
            {"CHROMIUM": "/nowhere/chromium"},
            "CHROMIUM=/nowhere/chromium: no program is there; name a Chromium, or unset it",
        ),
    ],
)
def test_there_is_none(tmp_path: Path, named: dict[str, str], said: str) -> None:
    """Without one the error says what to install, or what is wrong with the name."""
    with pytest.raises(ServerError) as caught:
        find_chromium({"PATH": str(tmp_path), **named})
    assert str(caught.value).endswith(said)
