"""What the site shows beside docs/, as a hook of MkDocs: the documents at the root, and all decisions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PROJECT: Final = Path(__file__).parents[2]

DOCUMENTS: Final = {
    "architecture.md": "ARCHITECTURE.md",
    "changelog.md": "CHANGELOG.md",
    "how-to/embedding.md": "examples/embedding/README.md",
}
"""Page -> the document elsewhere in the project that it shows."""
_FILE_BESIDE: Final = re.compile(r"\[[^]]*\]\(([\w-]+\.(?:html|js|css))\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs/, so that nothing is written down twice."""
    for page, document in DOCUMENTS.items():
        text = (PROJECT / document).read_text(encoding="utf-8")
        text = text.replace("](docs/adr/)", "](decisions.md)").replace("](docs/", "](")
        # What stands beside the document is no page of the site: it is named.
        text = _FILE_BESIDE.sub(rf"`{Path(document).parent}/\1`", text)
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "decisions.md", content=_decisions()))
    return files


def _decisions() -> str:
    rows = [
        f"| [{name[:4]}](adr/{name}) | {title} |"
        for file in sorted((PROJECT / "docs" / "adr").glob("*.md"))
        for name, title in [(file.name, _title(file))]
    ]
    return "\n".join(
        (
            "# Decisions",
            "",
            "For those who ask why it is the way it is: each hard or odd decision, with its reasons.",
            "",
            "| number | decision |",
            "|---|---|",
            *rows,
            "",
        )
    )


def _title(file: Path) -> str:
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return re.sub(r"^# \d+\. ", "", first)
