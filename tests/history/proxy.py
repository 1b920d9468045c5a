"""A TCP proxy between the clients and the broker: where connections are cut, stalled and refused.

It runs in a thread of the test's process and has one port for the whole run, which the broker advertises, so clients
never learn the broker's own. What it holds back it delivers later, as a network does: an old connection may say
something after a new one has. It knows nothing of the protocol.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from enum import Flag, auto
from random import Random

CHUNK_BYTES = 64 * 1024
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST, and what is unsent is dropped."""


class Direction(Flag):
    IN = auto()
    """From the clients to the broker."""
    OUT = auto()


class _Connection:
    """One client's connection and the one made for it. `half` cuts it in the middle of what comes next."""

    def __init__(self, proxy: Proxy, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._proxy = proxy
        self._writers = writers
        self.half = False
        self._is_over = False

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        """Pass on what comes, until either side ends."""
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._proxy.passage(direction)
                if self._is_over:
                    return
                if self.half:
                    writer.write(data[: len(data) // 2])
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        self.reset()

    def reset(self) -> None:
        """End both with RST."""
        self._is_over = True
        for writer in self._writers:
            opened = writer.get_extra_info("socket")
            if opened is not None and opened.fileno() >= 0:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


class Proxy:
    """Listens from the start; passes on to `target`, a port of this machine, once there is one."""

    def __init__(self, seed: int) -> None:
        self.target = 0
        self.port = 0
        self._random = Random(f"{seed} proxy")
        self._connections: set[_Connection] = set()
        self._open = dict.fromkeys((Direction.IN, Direction.OUT), True)
        self._opened: asyncio.Condition
        self.refuses = False
        """Whether no connection can be made."""
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()
        assert self._listening.wait(10), "the proxy does not listen"

    def is_open(self, direction: Direction) -> bool:
        """Whether something that goes in the direction is passed on."""
        return any(self._open[each] for each in direction)

    # Faults: each returns when it is over

    def cut(self) -> None:
        """Reset every connection."""
        self._do(lambda: [connection.reset() for connection in list(self._connections)])

    def cut_some(self) -> None:
        """Reset a quarter of the connections, and another quarter in the middle of what they pass on next."""

        def act() -> None:
            for connection in list(self._connections):
                chance = self._random.random()
                if chance < 0.25:
                    connection.reset()
                elif chance < 0.5:
                    connection.half = True

        self._do(act)

    def refuse(self, lasts_s: float) -> None:
        """Reset every connection, and let none be made for a while."""
        self.refuses = True
        self.cut()
        time.sleep(lasts_s)
        self.refuses = False

    def stall(self, direction: Direction, lasts_s: float) -> None:
        """Hold back what goes in a direction for a while."""
        for each in direction:
            self._open[each] = False
        time.sleep(lasts_s)
        for each in direction:
            self._open[each] = True
        self._do(lambda: asyncio.ensure_future(self._wake()))

    def lose_answers(self, lasts_s: float) -> None:
        """Pass on nothing that the broker answers for a while, and then reset every connection."""
        self._open[Direction.OUT] = False
        time.sleep(lasts_s)
        self.cut()
        self.stall(Direction.OUT, 0)

    def close(self) -> None:
        self.cut()
        self._loop.set_exception_handler(lambda loop, context: None)  # what is cancelled below is no failure
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # Passing on

    async def passage(self, direction: Direction) -> None:
        """Wait until the direction is open."""
        if not self._open[direction]:
            async with self._opened:
                await self._opened.wait_for(lambda: self._open[direction])

    async def _wake(self) -> None:
        async with self._opened:
            self._opened.notify_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.refuses:
                raise ConnectionRefusedError
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, (writer, onward_writer))
        self._connections.add(connection)
        try:
            await asyncio.gather(
                connection.pump(reader, onward_writer, Direction.IN),
                connection.pump(onward_reader, writer, Direction.OUT),
            )
        finally:
            self._connections.discard(connection)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._opened = asyncio.Condition()
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    def _do(self, act: Callable[[], object]) -> None:
        done = threading.Event()

        def run() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(10)
