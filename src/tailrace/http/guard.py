"""Which requests of browsers are refused: those that a page of somebody else may have made them send.

    a listener on loopback    is asked by a loopback name or address; else a site that points its own name here (DNS
                              rebinding) would read what only this machine may read. Elsewhere scrapers use any name
    /debug/...                costs, and some of it changes what the process does, though it is a GET: not from
                              another site

Programs that send no Sec-Fetch-Site are served. Not its business: what writes of a console need
(`console`); passwords. Source: the Fetch standard's Sec-Fetch-Site, which every browser sends since 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tailrace.http.message import HttpAnswer, HttpRequest, text_answer
from tailrace.net.loopback import is_loopback

Refuse = Callable[[HttpRequest], HttpAnswer | None]
"""What to answer instead of the page; None: the page."""

_COSTLY: Final = "/debug/"
_OWN_SITES: Final = ("same-origin", "none")


def guard_of(listened_host: str) -> Refuse:
    """The guard of a listener at that host, as it was told: a name or an address, without its port."""
    is_local = is_loopback(listened_host)

    def refuse(request: HttpRequest) -> HttpAnswer | None:
        host = host_of(request.headers.get("host", ""))
        if is_local and host and not is_loopback(host):
            return text_answer(403, f"this listener is of this machine alone, and is not called {host}: ask 127.0.0.1")
        site = request.headers.get("sec-fetch-site", "none")
        if request.path.startswith(_COSTLY) and site not in _OWN_SITES:
            return text_answer(403, "a page of another site may not ask for this: open the address by hand")
        return None

    return refuse


def host_of(authority: str) -> str:
    """The host of a Host header, in lower case, without port and brackets."""
    text = authority.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
