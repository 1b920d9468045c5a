"""What a browser gets that is not data: the one page, its modules and styles, and the libraries they are made with.

    /static/NAME             our own files, checked for a change at each use: 304 without one (ETag)
    /assets/VERSION/NAME     the libraries (`assets.py`), kept by the browser for ever
    any other path           the page: which of its views is shown, its own router tells from the path

These routes come last in the application: the last one takes every path. No page is made here from what a cluster
says: that is asked by the modules, through /api, and shown as text.
Invariant: nothing is run that is not of this server: the policy below names no other source and no inline script.
The page names our modules beforehand, so that a browser asks for all of them at once and not import by import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from tailrace.console.assets import Assets, MissingAssets, find_assets

STATIC = Path(__file__).parent / "static"

POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval'",  # Vue compiles the views' templates, which are ours, in the browser
        "style-src 'self' 'unsafe-inline'",  # Quasar and ECharts set styles of elements
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
CHECKED = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
MEDIA_TYPES: Final = {
    ".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml",
}  # fmt: skip


def page_routes() -> list[BaseRoute]:
    """The routes, to be put behind all others. Without the libraries: one that answers what to install."""
    try:
        assets = find_assets()
    except MissingAssets as missing:
        return [Route("/{path:path}", sentence(str(missing)), methods=["GET"])]
    pages = Pages(assets)
    return [
        Route("/static/{path:path}", pages.static, methods=["GET"]),
        Route("/assets/{version}/{path:path}", pages.library, methods=["GET"]),
        Route("/{path:path}", pages.index, methods=["GET"]),
    ]


class Pages:
    """Answers for files; each is looked up in a list made at the start."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        paths = [path for path in sorted(STATIC.rglob("*")) if path.suffix in MEDIA_TYPES]
        self._static = {path.relative_to(STATIC).as_posix(): OwnFile(path) for path in paths}
        page = (STATIC / "index.html").read_text(encoding="utf-8")
        for library in ("vue", "quasar", "quasar-style", "quasar-important-style", "fonts", "echarts"):
            page = page.replace("{{" + library + "}}", assets.address(library))
        modules = [name for name in self._static if name.endswith(".js") and name != "boot.js"]
        preloads = [f'<link rel="modulepreload" href="/static/{name}">' for name in modules]
        self._page = page.replace("{{modules}}", "\n    ".join(preloads))

    async def index(self, request: Request) -> Response:
        """The page, whatever the path: a deep link is answered like the start."""
        return HTMLResponse(self._page, headers=HEADERS | {"Cache-Control": "no-cache"})

    async def static(self, request: Request) -> Response:
        """One of our own files, or 404."""
        found = self._static.get(request.path_params["path"])
        if found is None:
            return PlainTextResponse("There is no such file.", 404)
        data, tag = found.look()
        headers = CHECKED | {"ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=found.media_type, headers=headers)

    async def library(self, request: Request) -> Response:
        """One of the libraries' files, or 404; a page of another version has to be loaded again."""
        path = self._assets.files.get(request.path_params["path"])
        if path is None or request.path_params["version"] != self._assets.version:
            return PlainTextResponse("There is no such file; load the page again.", 404)
        return FileResponse(path, headers=FOR_EVER)


class OwnFile:
    """One of our files, a few kB, kept in memory and read again when it has changed, as while somebody works on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._data = b""
        self._tag = ""
        self.media_type = MEDIA_TYPES[path.suffix]

    def look(self) -> tuple[bytes, str]:
        """What it holds now, and its ETag. Raises OSError when it is gone."""
        found = self._path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._data, self._stamp = self._path.read_bytes(), stamp
            self._tag = f'"{hashlib.sha256(self._data).hexdigest()[:32]}"'
        return self._data, self._tag


def sentence(text: str) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers with a sentence, 503."""

    async def answer(request: Request) -> Response:
        return PlainTextResponse(text + "\n", 503)

    return answer
