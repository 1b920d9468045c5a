"""The engine, one for each event loop, and the asyncio loop it lives in.

`new_event_loop()` gives an ordinary asyncio loop whose selector is ours; `loop.engine` listens, connects and keeps
time. Everything asyncio offers works on it: signals, subprocesses, executors, other people's servers and clients.
Invariant: one engine a loop, used from the loop's thread; only `call_soon_threadsafe` and `wake` may come from others.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from tailrace.base.clock import Clock, SystemClock
from tailrace.net.address import Address
from tailrace.net.buffers import Buffers
from tailrace.net.connection import Connection
from tailrace.net.handler import CLIENT_OPTIONS, ConnectionOptions, FileRange, ListenOptions, Part, StreamHandler
from tailrace.net.limits import CONNECT_TIMEOUT_MS
from tailrace.net.listener import Listener
from tailrace.net.network import KernelNetwork, Network
from tailrace.net.outbox import StreamSocket
from tailrace.net.poller import Poller, new_poller
from tailrace.net.selector import PollerSelector
from tailrace.net.timers import Timer, TimingWheel

__all__ = [
    "CLIENT_OPTIONS",
    "Address",
    "Connection",
    "ConnectionOptions",
    "Engine",
    "EngineLoop",
    "FileRange",
    "ListenOptions",
    "Listener",
    "Part",
    "PollerSelector",
    "StreamHandler",
    "Timer",
    "TimingWheel",
    "new_event_loop",
    "running_engine",
]

HandlerFactory = Callable[[Connection], StreamHandler]


class Engine:
    """Listeners, connections and timers of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, selector: PollerSelector, network: Network) -> None:
        self.loop = loop
        self.network = network
        self.selector = selector
        self.timers = selector.timers
        self.connections: dict[int, Connection] = {}
        """By `Connection.id`, in order of opening."""
        self._listeners: list[Listener] = []
        self._buffers = Buffers()
        self._last_id = 0
        self._drained: asyncio.Future[None] | None = None

    def listen(
        self, address: Address, handler_factory: HandlerFactory, options: ListenOptions = ListenOptions()
    ) -> Listener:
        """Accept streams at `address`. Raises OSError, with the address in its text, when it cannot be had.

        `handler_factory` is called once a connection and must not write; `on_opened` follows at once.
        """
        try:
            sock, bound = self.network.listen(address, options)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
        listener = Listener(sock, bound, self.selector, options, partial(self._accepted, handler_factory))
        self._listeners.append(listener)
        return listener

    def adopt(
        self,
        sock: StreamSocket,
        handler_factory: HandlerFactory,
        options: ConnectionOptions = ConnectionOptions(),
    ) -> Connection:
        """Take over a connected stream socket. The engine closes it."""
        return self._open(sock, handler_factory, options, self._gone)

    async def connect(
        self,
        address: Address,
        handler_factory: HandlerFactory,
        options: ConnectionOptions = CLIENT_OPTIONS,
        timeout_ms: float = CONNECT_TIMEOUT_MS,
    ) -> Connection:
        """Connect to `address`, trying each address its name has for `timeout_ms`. Raises OSError (TimeoutError among
        them)."""
        return self.adopt(await self.network.connect(address, options, timeout_ms), handler_factory, options)

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        """Run `callback` in the loop's thread, in a coming step. Callbacks of one thread keep their order."""
        self.selector.post_threadsafe(callback)

    def wake(self) -> None:
        """End the present wait of the loop, from any thread."""
        self.selector.poller.wake()

    async def close(self, drain_ms: float = 0) -> None:
        """Stop listening, give connections `drain_ms` to send what is queued, close them. The loop lives on."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self.connections.values()):
            connection.close_after_flush()
        if self.connections and drain_ms > 0:
            await self._wait_drained(drain_ms)
        for connection in list(self.connections.values()):
            connection.close()
        while self.connections:
            await asyncio.sleep(0)

    async def _wait_drained(self, drain_ms: float) -> None:
        self._drained = self.loop.create_future()
        try:
            await asyncio.wait_for(self._drained, drain_ms / 1000)
        except TimeoutError:
            pass
        finally:
            self._drained = None

    def _accepted(self, handler_factory: HandlerFactory, listener: Listener, sock: StreamSocket) -> None:
        def gone(connection: Connection) -> None:
            self._gone(connection)
            listener.on_connection_gone()

        try:
            self._open(sock, handler_factory, listener.options.connection, gone)
        except BaseException:
            listener.connection_count -= 1
            raise

    def _open(
        self,
        sock: StreamSocket,
        handler_factory: HandlerFactory,
        options: ConnectionOptions,
        on_gone: Callable[[Connection], None],
    ) -> Connection:
        try:
            if isinstance(sock, socket.socket):
                sock.setblocking(False)
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._last_id += 1
            connection = Connection(self._last_id, sock, self.selector, self._buffers, options, on_gone)
            handler = handler_factory(connection)
        except BaseException:
            sock.close()
            raise
        self.connections[connection.id] = connection
        connection.start(handler)
        return connection

    def _gone(self, connection: Connection) -> None:
        del self.connections[connection.id]
        if self._drained is not None and not self.connections and not self._drained.done():
            self._drained.set_result(None)


class EngineLoop(asyncio.SelectorEventLoop):
    """An asyncio loop over a PollerSelector, with the engine that lives in it.

    The selector keeps turning by itself until asyncio has something to do; these three methods are how it gets some.
    """

    def __init__(self, selector: PollerSelector, network: Network) -> None:
        self._engine_selector = selector
        super().__init__(selector)
        self.engine = Engine(self, selector, network)

    def call_soon(self, *args: Any, **kwargs: Any) -> asyncio.Handle:  # type: ignore[override]
        self._engine_selector.hand_back = True
        return super().call_soon(*args, **kwargs)

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        self._engine_selector.hand_back = True
        return super().call_at(*args, **kwargs)

    def stop(self) -> None:
        self._engine_selector.hand_back = True
        super().stop()


class ClockedLoop(EngineLoop):
    """An EngineLoop whose time is that of its selector's clock, for a clock that is not the machine's.

    Seconds since the loop was made: asyncio adds a nanosecond to the time to find what is due, which a clock of many
    digits would swallow, and the loop would turn for ever.
    """

    def __init__(self, selector: PollerSelector, network: Network) -> None:
        self._start_ms = selector.clock.monotonic_ms()
        super().__init__(selector, network)

    def time(self) -> float:
        return (self._engine_selector.clock.monotonic_ms() - self._start_ms) / 1000


def new_event_loop(
    poller: Poller | None = None, clock: Clock | None = None, network: Network | None = None
) -> EngineLoop:
    """An asyncio loop with an engine in it. The caller closes it, after `Engine.close`."""
    selector = PollerSelector(poller or new_poller(), clock or SystemClock())
    return (EngineLoop if clock is None else ClockedLoop)(selector, network or KernelNetwork())


def running_engine() -> Engine:
    """The engine of the running loop. Raises RuntimeError when that loop has none."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, EngineLoop):
        raise RuntimeError("the running loop is not one of tailrace.net.loop.new_event_loop()")
    return loop.engine
