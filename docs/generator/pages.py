"""All generated files: where each stands, and what makes its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.generator.codes import exit_codes_page, reasons_page
from docs.generator.command_line import command_line_page
from docs.generator.http import http_page, openapi_file
from docs.generator.metrics import metrics_page
from docs.generator.settings import settings_page
from docs.generator.spec import spec_page

DOCS: Final = Path(__file__).parents[1]

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "reference/spec.md": spec_page,
    "reference/command-line.md": command_line_page,
    "reference/settings.md": settings_page,
    "reference/http.md": http_page,
    "openapi.json": openapi_file,
    "reference/metrics.md": metrics_page,
    "reference/reasons.md": reasons_page,
    "reference/exit-codes.md": exit_codes_page,
}
"""Path below docs/ -> the function that returns the text."""
