"""The addresses of /debug/pprof/*. What answers them, `profiles`, is imported when one is asked for: who scrapes
metrics does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.base.pending import Pending
from tailrace.http.message import HttpAnswer, HttpRequest
from tailrace.http.routes import HttpHandler, Routes
from tailrace.node.observed import Observed

if TYPE_CHECKING:
    from tailrace.node.profiles import ProfilePages

_SUMMARIES = {
    "profile": "profile of processor time; ?seconds=N",
    "heap": "live memory by where it was allocated; the first look begins the trace, ?stop=1 ends it",
    "allocs": "what is allocated; ?seconds=N",
    "trace": "timeline of turns, callbacks, requests and syncs, for Perfetto; ?seconds=N",
    "tasks": "what each thread and task waits for; ?format=pprof",
}


def add_profile_pages(routes: Routes, observed: Observed) -> None:
    """Register all of them."""
    pages: ProfilePages | None = None

    def handler(name: str) -> HttpHandler:
        def answer(request: HttpRequest) -> HttpAnswer | Pending[HttpAnswer]:
            from tailrace.node.profiles import ProfilePages  # memory: most brokers are never profiled

            nonlocal pages
            if pages is None:
                pages = ProfilePages(observed)
            return pages.answer(name, request)

        return answer

    for name, summary in _SUMMARIES.items():
        routes.add(f"/debug/pprof/{name}", summary, handler(name))
