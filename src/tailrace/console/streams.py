"""Server-sent events: a thread or a task makes them, a browser takes them, and neither outruns the other.

An event is a name and a JSON object. A stream whose browser is gone is told by its `stopped`; one whose maker fails
ends with the event "failed", which holds what another answer would.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from threading import Event
from typing import Any

from starlette.responses import StreamingResponse

from tailrace.console.kafka import KafkaCluster
from tailrace.console.limits import STREAM_EVENTS_MAX
from tailrace.console.problems import Problem, of_exception

_log = logging.getLogger("tailrace.console")


def event(name: str, value: Any) -> bytes:
    """One event as it is sent."""
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def answer(events: AsyncIterator[bytes]) -> StreamingResponse:
    """The answer that sends them."""
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


class Outlet:
    """Where a thread puts its events. `stopped` is set when nobody takes them any more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.stopped = Event()

    @property
    def is_full(self) -> bool:
        """Whether the browser is slow; who can leave something out does. May be asked in any thread."""
        return self._waiting.qsize() >= STREAM_EVENTS_MAX

    def put(self, name: str, value: Any) -> None:
        """Send an event. From the maker's thread; waits while the browser is slow."""
        while self.is_full and not self.stopped.wait(0.05):
            pass
        if not self.stopped.is_set():
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, event(name, value))

    def end(self) -> None:
        """Nothing more comes. In the loop's thread."""
        self._waiting.put_nowait(None)

    async def events(self) -> AsyncIterator[bytes]:
        """What was put, until the end."""
        try:
            while True:
                taken = await self._waiting.get()
                if taken is None:
                    return
                yield taken
        finally:
            self.stopped.set()


async def from_thread(kafka: KafkaCluster, make: Callable[[Outlet], None]) -> StreamingResponse:
    """Run `make` in a reader's thread and send what it puts. Raises Problem 429 when there is no thread."""
    outlet = Outlet()
    running = asyncio.ensure_future(kafka.read(make, outlet))
    running.add_done_callback(lambda done: _finish(done, outlet, kafka))
    await asyncio.sleep(0)  # a refusal for want of threads is known by then
    if running.done() and not running.cancelled():
        error = running.exception()
        if isinstance(error, Problem):
            raise error
    return answer(outlet.events())


def failure(error: Exception, bootstrap: str) -> dict[str, Any]:
    """What the event "failed" holds."""
    problem = of_exception(error, bootstrap)
    if problem is None:
        _log.critical("a stream of the console failed", exc_info=error)
        problem = Problem(500, "FAILED", "This is a bug of the console.", "Its log says more.")
    return problem.as_json()


def _finish(done: asyncio.Future[None], outlet: Outlet, kafka: KafkaCluster) -> None:
    if not done.cancelled():
        error = done.exception()
        if isinstance(error, Exception):
            outlet._waiting.put_nowait(event("failed", failure(error, kafka.options.bootstrap)))
    outlet.end()
