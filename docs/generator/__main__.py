"""Writes every generated file: python -m docs.generator."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import rung.status
from docs.generator.examples import captured
from docs.generator.pages import DOCS, PAGES
from rung.status.openapi import EXAMPLES_FILE


def main() -> None:
    """Write the files, the captured examples first, and name those that have changed."""
    _write(Path(rung.status.__path__[0]) / EXAMPLES_FILE, json.dumps(captured(), indent=1) + "\n")
    for name, text_of in PAGES.items():
        _write(DOCS / name, text_of())


def _write(file: Path, text: str) -> None:
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        sys.stderr.write(f"wrote {file.relative_to(DOCS.parent)}\n")


main()
