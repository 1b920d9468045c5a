"""One server on a thread of its own, with an event loop of its own.

Every method may be called from any other thread and blocks until the server's thread has done its part. The thread is
a daemon: a test run that forgets to stop its broker still ends.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeVar

from tailrace.net.loop import new_event_loop

START_TIMEOUT_S: Final = 30.0
"""Longest wait for a start: recovery of a large directory after a kill, on a slow disk."""

STOP_TIMEOUT_S: Final = 10.0
"""Longest wait for a stop. A served broker has 5 s to stop cleanly; a test suite's machine may be twice as slow."""

Result = TypeVar("Result")


class HostPort(Protocol):
    """Where a server listens."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


class FaultOrders(Protocol):
    """Faults that can be ordered from a server; each call belongs to the server's thread."""

    def add_error(self, api_key: int, code: Any, count: int = 1) -> None: ...

    def add_latency(self, api_key: int, latency_ms: float, count: int = 1) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Server(Protocol):
    """What `tailrace.node` builds. All of it belongs to the loop that `start` ran in."""

    @property
    def faults(self) -> FaultOrders: ...

    async def start(self) -> HostPort:
        """Return when requests are answered, with the address they are answered at."""
        ...

    async def stop(self, clean: bool = True) -> None:
        """Close every connection and file; `clean=False` leaves the data as a killed process would."""
        ...


class Host:
    """A running server and its thread. Made once a start: a stopped host is not started again."""

    def __init__(self, make_server: Callable[[], Server], name: str) -> None:
        self._make_server = make_server
        self._started: Future[HostPort] = Future()
        self._stopping: asyncio.Event | None = None
        self._clean = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def server(self) -> Server:
        """The server, once started. To be touched in its own thread only."""
        assert self._server is not None, "the host has not started"
        return self._server

    def start(self) -> HostPort:
        """Start the thread and the server; raises what the server's start raised."""
        self._thread.start()
        try:
            return self._started.result(START_TIMEOUT_S)
        except BaseException:
            self._thread.join(STOP_TIMEOUT_S)
            raise

    def stop(self, *, clean: bool) -> None:
        """Stop the server and end the thread; returns at once when it has ended already."""
        if not self._thread.is_alive() or self._loop is None:
            return
        self._clean = clean
        try:
            self._loop.call_soon_threadsafe(self._stop_soon)
        except RuntimeError:  # the loop closed between the look and the call
            pass
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive():
            raise TimeoutError(f"the embedded broker did not stop within {STOP_TIMEOUT_S:g} s")

    def call(self, function: Callable[[], Result]) -> Result:
        """Run a plain function in the server's thread and return what it returned."""

        async def run() -> Result:
            return function()

        return self.wait(run, STOP_TIMEOUT_S)

    def wait(self, start: Callable[[], Coroutine[Any, Any, Result]], timeout_s: float) -> Result:
        """Run a coroutine in the server's thread and return its result; it is cancelled after `timeout_s`.

        Raises TimeoutError, or what the coroutine raised.
        """
        assert self._loop is not None, "the host has not started"
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(start(), timeout_s), self._loop)
        return future.result(timeout_s + 1.0)

    def _stop_soon(self) -> None:
        assert self._stopping is not None
        self._stopping.set()

    def _run(self) -> None:
        loop = new_event_loop()
        self._loop = loop
        try:
            loop.run_until_complete(self._serve())
        except BaseException as failure:
            if not self._started.done():
                self._started.set_exception(failure)
                return
            raise
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        self._server = self._make_server()
        endpoint = await self._server.start()
        self._started.set_result(endpoint)
        await self._stopping.wait()
        await self._server.stop(clean=self._clean)
