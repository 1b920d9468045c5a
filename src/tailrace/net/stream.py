"""Blocking style: `data = await stream.read(n)`, handle, `await stream.write(answer)`, one coroutine a connection.

The engine drives the coroutine itself: no Task, no Future, no copy but the bytes handed out, so a process holds tens of
thousands. Within it one may also await a Pending (`stream.wait_for`) and asyncio's futures, sleeps and queues; but
there is no current task, so `asyncio.timeout` and the like are not to be had: pass `timeout_ms`.
Invariant: a coroutine is resumed once for each wait, in the loop's thread, never from within another coroutine's step.
While it does not read, its peer is not read from. Not its business: frames.
"""

from __future__ import annotations

import errno
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, TypeVar

from tailrace.base.pending import Pending
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.handler import ListenOptions, StreamHandler
from tailrace.net.listener import Listener
from tailrace.net.loop import Engine
from tailrace.net.selector import logger

T = TypeVar("T")
StreamCoroutine = Callable[["Stream"], Coroutine[Any, Any, None]]

_READING: Final = 1
_WRITING: Final = 2


class Stream(StreamHandler):
    """One connection, for straight-line code. Its coroutine's end closes it, after what was written has left.

    Every method that waits raises the connection's OSError (or ConnectionResetError) once it is closed, and
    TimeoutError, after which the stream is usable, when `timeout_ms` pass first.
    """

    __slots__ = (
        "_coroutine",
        "_engine",
        "_eof",
        "_error",
        "_needed",
        "_position",
        "_timed_out",
        "_view",
        "_waiting",
        "connection",
    )

    def __init__(self, engine: Engine, connection: Connection, coroutine: StreamCoroutine) -> None:
        self.connection = connection
        self._engine = engine
        self._coroutine: Coroutine[Any, Any, None] = coroutine(self)
        self._view: memoryview | None = None  # what on_data was given, while it runs
        self._position = 0  # how much of it is consumed
        self._waiting = 0
        self._needed = 0  # bytes a waiting reader needs
        self._eof = False
        self._timed_out = False
        self._error: OSError | None = None

    # For the coroutine.

    async def read(self, limit: int, timeout_ms: float | None = None) -> bytes:
        """The next bytes, 1 to `limit` of them, as soon as there are any; b"" at the end of the stream."""
        assert limit > 0
        while True:
            view = self._view
            if view is not None and self._position < len(view):
                start = self._position
                self._position = end = min(start + limit, len(view))
                return bytes(view[start:end])
            if self._eof and not self.connection.held_bytes:
                return b""
            await self._wait(_READING, 1, timeout_ms)

    async def read_exactly(self, size: int, timeout_ms: float | None = None) -> bytes:
        """The next `size` bytes. Raises EOFError when the stream ends before them."""
        while True:
            view = self._view
            start = self._position
            if view is not None and len(view) - start >= size:
                self._position = start + size
                return bytes(view[start : self._position])
            if not size:
                return b""
            held = self.connection.held_bytes if view is None else len(view) - start
            if self._eof and held < size:
                raise EOFError(f"the stream ended {size - held} bytes early")
            await self._wait(_READING, size, timeout_ms)

    async def write(self, *parts: bytes | bytearray | memoryview, timeout_ms: float | None = None) -> None:
        """Send `parts`; waits while too much is unsent. See `Connection.write` for who owns the memory."""
        self._check_open()
        self.connection.write(parts)
        while self.connection.above_high_water:
            await self._wait(_WRITING, 0, timeout_ms)

    async def wait_for(self, pending: Pending[T]) -> T:
        """The value of `pending`."""
        if not pending.done:
            await _yield(pending)
        return pending.value

    # For the connection.

    def on_opened(self) -> None:
        """Run the coroutine to its first wait."""
        self._step(None)

    def on_data(self, data: memoryview) -> int:
        """Run the coroutine as far as these bytes carry it."""
        if self._waiting != _READING:
            self.connection.pause_reading()
            return 0
        if len(data) < self._needed:
            self.connection.want(self._needed)
            return 0
        self._view = data
        self._position = 0
        try:
            self._step(None)
        finally:
            self._view = None
        used = self._position
        self._position = 0
        if self._waiting != _READING:
            if used < len(data):
                self.connection.pause_reading()
        elif self._needed > 1:
            self.connection.want(self._needed)
        return used

    def on_eof(self) -> None:
        """Let a waiting reader know."""
        self._eof = True
        if self._waiting == _READING:
            self._step(None)

    def on_writable(self) -> None:
        """Let a waiting writer go on."""
        if self._waiting == _WRITING:
            self._step(None)

    def on_closed(self, error: OSError | None) -> None:
        """Break a wait for the stream. A coroutine that waits for something else finds out at its next use of the
        stream."""
        self._error = error or ConnectionResetError(errno.ECONNRESET, "the stream is closed")
        if self._waiting:
            self._step(self._error)

    # Driving.

    async def _wait(self, direction: int, needed: int, timeout_ms: float | None) -> None:
        self._check_open()
        timer = None if timeout_ms is None else self._engine.timers.schedule(timeout_ms, self._on_timeout)
        self._needed = needed
        if direction == _READING and self._view is None:
            self._ask_for_bytes()
        self._waiting = direction
        try:
            await _yield(self)
        finally:
            if timer is not None:
                timer.cancel()
        if self._timed_out:
            self._timed_out = False
            raise TimeoutError(errno.ETIMEDOUT, "the stream made no progress in time")

    def _ask_for_bytes(self) -> None:
        """Have on_data called again, when it was told to stop or bytes were left to it."""
        connection = self.connection
        connection.want(self._needed if self._needed > 1 else 0)
        if connection.paused:
            connection.resume_reading()
        elif connection.held_bytes:
            connection.offer_again()

    def _on_timeout(self) -> None:
        if self._waiting:
            self._timed_out = True
            self._step(None)

    def _step(self, error: OSError | None) -> None:
        """Run the coroutine to its next wait."""
        self._waiting = 0
        try:
            awaited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            self.connection.close_after_flush()
        except (OSError, EOFError) as failure:  # the peer's doing
            self.connection.close(failure if isinstance(failure, OSError) else None)
        except Exception as failure:
            logger.error("connection %d closed: its coroutine failed", self.connection.id, exc_info=failure)
            self.connection.close(OSError(errno.ECONNABORTED, "handler failed"))
        else:
            if awaited is not self:
                self._resume_after(awaited)

    def _resume_after(self, awaited: Any) -> None:
        post = self._engine.selector.post
        if isinstance(awaited, Pending):
            awaited.on_complete(lambda _: post(self._go_on))
        elif awaited is None:  # asyncio.sleep(0)
            post(self._go_on)
        elif getattr(awaited, "_asyncio_future_blocking", None):
            # What a Task does with a future it is given: acknowledge, and be called back.
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(lambda _: self._go_on())
        else:
            raise TypeError(f"a stream's coroutine cannot wait for {awaited!r}")

    def _go_on(self) -> None:
        self._step(None)

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error


@types.coroutine
def _yield(awaited: Any) -> Generator[Any, None, None]:
    yield awaited


def stream_handler(engine: Engine, coroutine: StreamCoroutine) -> Callable[[Connection], Stream]:
    """A handler factory for `Engine.adopt` and `Engine.connect`: each connection is driven by its own
    `coroutine(stream)`."""
    return lambda connection: Stream(engine, connection, coroutine)


def serve(
    engine: Engine, address: Address, coroutine: StreamCoroutine, options: ListenOptions = ListenOptions()
) -> Listener:
    """Accept streams at `address` and run `coroutine(stream)` for each. Raises OSError when it cannot listen."""
    return engine.listen(address, stream_handler(engine, coroutine), options)
