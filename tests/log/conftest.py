"""An embedded log to work on, and where it is."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from log.opening import opened
from rung.log.embedded import EmbeddedLog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "log"


@pytest.fixture
def log(folder: Path) -> Generator[EmbeddedLog]:
    with opened(folder) as log:
        yield log
