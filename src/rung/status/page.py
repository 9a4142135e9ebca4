"""The status page: static files that read the API; no script or style stands in the page itself."""

from __future__ import annotations

from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FILES: Final = {
    "/": ("index.html", "text/html"),
    "/page/status.css": ("status.css", "text/css"),
    "/page/status.js": ("status.js", "text/javascript"),
    "/page/words.js": ("words.js", "text/javascript"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY: Final = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page_routes() -> list[Route]:
    """Read the page's files, and return their routes."""
    folder = resources.files("rung.status").joinpath("page")
    return [
        _route(path, folder.joinpath(name).read_bytes(), media_type)
        for path, (name, media_type) in _FILES.items()
    ]


def _route(path: str, content: bytes, media_type: str) -> Route:
    async def serve_file(request: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)

    return Route(path, serve_file)
