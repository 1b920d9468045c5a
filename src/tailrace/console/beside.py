"""The console beside a broker: in a thread with a loop of its own, made when the first connection is given to it.

Light on purpose: it is imported in the broker's loop, and what is heavy (starlette, uvicorn, librdkafka) in the thread,
by who serves (`beside_serving`). Invariant: `take` never waits; a connection that cannot be served is closed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any, Final

from tailrace.console.options import ConsoleOptions
from tailrace.net.outbox import StreamSocket

WAITING_MAX: Final = 64
"""Connections that wait while the thread begins. More are closed."""
STOP_MAX_S: Final = 3
"""How long the end of the thread is waited for."""

_log = logging.getLogger("tailrace.console")

Adopt = Callable[[StreamSocket, bytes], None]


class Beside:
    """The console of one process. `others` makes the routes that come before the pages'; called in the thread."""

    def __init__(
        self, options: ConsoleOptions, others: Callable[[], list[Any]], serve: Callable[[Beside], None]
    ) -> None:
        """`serve` is the thread's whole life: it imports what is heavy, then serves until `end` is called."""
        self.options = options
        self.others = others
        self._serve = serve
        self._lock = Lock()
        self._waiting: list[tuple[StreamSocket, bytes]] = []
        self._adopt: Adopt | None = None
        self._end: Callable[[], None] | None = None
        self._thread: Thread | None = None
        self._is_over = False

    def take(self, sock: StreamSocket, begun: bytes) -> None:
        """Serve a connected socket of which `begun` was read already. In any thread."""
        with self._lock:
            if self._is_over or (self._adopt is None and len(self._waiting) >= WAITING_MAX):
                sock.close()
                return
            if self._adopt is not None:
                self._adopt(sock, begun)
                return
            self._waiting.append((sock, begun))
            if self._thread is None:
                self._thread = Thread(target=self._run, name="console", daemon=True)
                self._thread.start()

    def started(self, adopt: Adopt, end: Callable[[], None]) -> None:
        """The loop runs: what waited is given to `adopt`, which may be called in any thread, as may `end`."""
        with self._lock:
            self._adopt, self._end = adopt, end
            waiting, self._waiting = self._waiting, []
            for sock, begun in waiting:
                adopt(sock, begun)
            if self._is_over:
                end()

    def stop(self) -> None:
        """End the thread; waits for at most STOP_MAX_S. Idempotent."""
        with self._lock:
            self._is_over = True
            thread, end = self._thread, self._end
        if end is not None:
            end()
        if thread is not None:
            thread.join(STOP_MAX_S)

    def _run(self) -> None:
        try:
            self._serve(self)
        except Exception as error:
            _log.critical("the console ended", exc_info=error)
        finally:
            with self._lock:
                self._is_over, self._adopt = True, None
                for sock, _ in self._waiting:
                    sock.close()
