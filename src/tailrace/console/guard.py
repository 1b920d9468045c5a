"""Who may ask what: the host by name, the origin of a write, the token of a page of ours, and read-only.

    any request       Host is loopback, the address listened at, or allowed     (else a site that points its own name
                                                                                here would be let in: DNS rebinding)
    a write           not from another site, the token of this process, JSON    (a form or an image cannot send either)

Source: the Fetch standard's Sec-Fetch-Site; RFC 6454 for Origin.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.console.options import ConsoleOptions
from tailrace.console.problems import Problem
from tailrace.net.loopback import is_loopback

TOKEN_HEADER: Final = "x-tailrace-token"
SAFE_METHODS: Final = ("GET", "HEAD")
_SAME_SITES: Final = ("same-origin", "none")
WILDCARDS: Final = ("", "0.0.0.0", "::")


class Guard:
    """ASGI middleware in front of everything."""

    def __init__(self, app: ASGIApp, options: ConsoleOptions, token: str) -> None:
        self._app = app
        self._token = token
        self._is_read_only = options.is_read_only
        listened = host_of(options.listen)
        self._allowed = {each.lower() for each in options.allowed_hosts} | {listened}
        self._is_any_address = listened in WILDCARDS and bool(options.listen)
        """Listening everywhere, it is asked for by any address of the machine; by a name still only if allowed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refused = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
            if refused is not None:
                await JSONResponse(refused.as_json(), refused.status)(scope, receive, send)
                return
            if scope["path"].startswith("/api/"):
                send = _unkept(send)
        await self._app(scope, receive, send)

    def _refusal(self, method: str, path: str, headers: Headers) -> Problem | None:
        host = host_of(headers.get("host", ""))
        if not self._is_allowed(host):
            return Problem(
                403, "FORBIDDEN", f"The console is not served by the name {host!r}.",
                f"Open it by its address, or start it with --allow-host {host}.",
            )  # fmt: skip
        if headers.get("sec-fetch-site", "none") not in _SAME_SITES and path.startswith("/api/"):
            return Problem(403, "FORBIDDEN", "This came from another site.", "Use the console's own pages.")
        if method in SAFE_METHODS:
            return None
        if self._is_read_only:
            return Problem(403, "READ_ONLY", "This console only reads.", "Start it without --read-only.")
        return self._refused_write(headers)

    def _refused_write(self, headers: Headers) -> Problem | None:
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
            return Problem(403, "FORBIDDEN", "This came from another origin.", "Use the console's own pages.")
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self._token.encode()):
            return Problem(
                403, "FORBIDDEN", "The token of this console is missing or of an earlier start.", "Load the page again."
            )
        if headers.get("content-type", "").split(";", 1)[0].strip().lower() != "application/json":
            return Problem(403, "FORBIDDEN", "A change is sent as application/json.")
        return None

    def _is_allowed(self, host: str) -> bool:
        if not host:
            return False
        return host in self._allowed or is_loopback(host) or (self._is_any_address and _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unkept(send: Send) -> Send:
    """Answers of the API are not kept by browsers, nor taken for anything else than they say."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Cache-Control"] = "no-store"
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return with_headers


def host_of(authority: str) -> str:
    """The host of "host:port", in lower case, without brackets."""
    text = authority.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") <= 1 else text
