"""Which file of the page answers which path, and under which rules a browser may use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent
ADDRESS = "/_simulator/page"
FILES: Mapping[str, tuple[str, str]] = {
    ADDRESS: ("page.html", "text/html; charset=utf-8"),
    f"{ADDRESS}/page.css": ("page.css", "text/css; charset=utf-8"),
    f"{ADDRESS}/page.js": ("page.js", "text/javascript; charset=utf-8"),
    f"{ADDRESS}/page.svg": ("page.svg", "image/svg+xml"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page_file(request: Request) -> Response | None:
    """Answer a browser that asks for the page, which needs no token to be loaded; None for any other path."""
    if request.method not in {"GET", "HEAD"}:
        return None
    if request.url.path == "/":
        return Response(None, 303, {**HEADERS, "Location": ADDRESS})
    if request.url.path not in FILES:
        return None
    name, kind = FILES[request.url.path]
    return Response((FOLDER / name).read_bytes(), 200, dict(HEADERS), kind)
