"""The user's page and its web component: static files that read the API, without script or style inline."""

from __future__ import annotations

from importlib import resources
from pathlib import PurePath
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_INDEX: Final = "index.html"
_FILES: Final = (
    _INDEX,
    *("page.css", "page.js", "icon.svg"),
    *(
        "cards.js",
        "conditions.js",
        "feed.js",
        "figures.js",
        "ladder.js",
        "payments.js",
        "progress.js",
        "style.js",
        "words.js",
    ),
)
_MEDIA_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_POLICY: Final = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_ANYWHERE: Final = {
    # The component's files are the same for everyone, and pages of any origin may use them.
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
}


def page_routes() -> list[Route]:
    """Read the page's files, and return their routes."""
    folder = resources.files("rung.status").joinpath("page")
    return [_route(name, folder.joinpath(name).read_bytes()) for name in _FILES]


def _route(name: str, content: bytes) -> Route:
    is_script = name.endswith(".js")
    headers = _HEADERS | _ANYWHERE if is_script else _HEADERS
    media_type = _MEDIA_TYPES[PurePath(name).suffix]

    async def serve_file(request: Request) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return Route("/" if name == _INDEX else f"/page/{name}", serve_file)
