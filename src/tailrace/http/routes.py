"""Which handler answers which address. Built once, before the first request; it never changes after.

A handler is called in the loop's thread and must not wait: work that takes longer than some milliseconds goes to a
thread or a timer, and a `Pending` answer comes when it is done, in the loop's thread again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from tailrace.base.pending import Pending
from tailrace.http.guard import Refuse
from tailrace.http.message import HttpAnswer, HttpRequest, text_answer
from tailrace.net.outbox import StreamSocket

HttpHandler = Callable[[HttpRequest], HttpAnswer | Pending[HttpAnswer]]
TakeOver = Callable[[StreamSocket, bytes], None]
"""Takes a connected socket and the bytes that were read from it. Must not wait and not fail."""

INDEX: Final = "/debug"
"""Lists the pages. So does "/", unless somebody takes it over."""

_log = logging.getLogger("tailrace.http")


class Routes:
    """Addresses and their handlers. Made with those of one process; INDEX lists them."""

    def __init__(self, refuse: Refuse = lambda _: None) -> None:
        """`refuse` is asked first, of every request that is answered here."""
        self._refuse = refuse
        self._exact: dict[str, HttpHandler] = {INDEX: self._index}
        self._beneath: dict[str, HttpHandler] = {}
        self._summaries: dict[str, str] = {}
        self.take_over: TakeOver | None = None
        """Who takes connections that ask for "/" or what is not here; None: nobody, they are answered here."""
        self.note = ""
        """A line beneath the list."""

    def add(self, path: str, summary: str, handler: HttpHandler) -> None:
        """Serve `path`; one that ends in "/" and all beneath it that has no handler of its own, the longest first.

        `summary`: a few words for the list. Asserts that nobody has the path.
        """
        assert path.startswith("/") and path not in self._summaries, path
        self._summaries[path] = summary
        self._exact[path] = handler
        if path.endswith("/"):
            self._beneath[path] = handler

    def has(self, path: str) -> bool:
        """Whether it is answered here, even when somebody takes over what is not."""
        return path != "/" and (path in self._exact or self._longest(path) is not None)

    def answer(self, request: HttpRequest) -> HttpAnswer | Pending[HttpAnswer]:
        """What the handler says; 404 where there is none, 500 where it fails, and what `refuse` says before all."""
        refused = self._refuse(request)
        if refused is not None:
            return refused
        path = INDEX if request.path == "/" else request.path
        handler = self._exact.get(path) or self._longest(path)
        if handler is None:
            return text_answer(404, f"there is no such page; {INDEX} lists those there are")
        try:
            return handler(request)
        except Exception as error:  # ours to mend: the listener and the broker go on
            _log.critical("%s %s failed", request.method, request.path, exc_info=error)
            return text_answer(500, "this page failed; the broker's log says why")

    def _longest(self, path: str) -> HttpHandler | None:
        found = [prefix for prefix in self._beneath if path.startswith(prefix)]
        return self._beneath[max(found, key=len)] if found else None

    def _index(self, _: HttpRequest) -> HttpAnswer:
        width = max((len(path) for path in self._summaries), default=0)
        lines = [f"{path:{width}}  {summary}" for path, summary in sorted(self._summaries.items())]
        return text_answer(200, "\n".join([*lines, *([self.note] if self.note else [])]))
