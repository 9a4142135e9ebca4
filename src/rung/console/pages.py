"""Renders the pages: templates that escape whatever they are given, and refuse what they are not given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final, cast
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined

from rung.console.words import Zoned, count_text, duration_text, money_text

MEDIA_TYPES: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}


class Pages:
    """The templates, and the static files that they name by their content."""

    def __init__(self, zoned: Zoned) -> None:
        """Read all static files; templates are read when they are first used."""
        self.files = _static_files()
        addresses = {
            name: f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
            for name, content in self.files.items()
        }
        self._environment = Environment(
            loader=FunctionLoader(_template),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # Jinja types both as holding what it begins with.
        filters = cast("dict[str, Any]", self._environment.filters)
        filters.update(
            time=zoned.time,
            clock=zoned.clock,
            day=zoned.day,
            moment=zoned.moment,
            duration=duration_text,
            money=money_text,
            count=count_text,
            number="{:,}".format,
            signed="{:+,}".format,
            part=_path_part,
            data=_data,
            pretty=_pretty,
        )
        cast("dict[str, Any]", self._environment.globals)["file"] = addresses.__getitem__

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """Return a page.

        Raises:
            UndefinedError: the template names something that it was not given.
        """
        return self._environment.get_template(name).render(values)


def _path_part(text: object) -> str:
    return quote(str(text), safe="")


def _data(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def _template(name: str) -> str:
    return resources.files("rung.console").joinpath("pages", name).read_text(encoding="utf-8")


def _static_files() -> Mapping[str, bytes]:
    folder = resources.files("rung.console").joinpath("static")
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in MEDIA_TYPES
    }
