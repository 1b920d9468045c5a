"""The ways between the brokers of a local cluster, which can be cut, one way or both, and slowed.

    broker 1 ── connects to ──> port of link (1, 2) ──> broker 2's own port
                 bytes of 1 to 2 go the way (1, 2), the answers the way (2, 1)

A way that is cut holds what comes, bytes, connects and ends alike, and passes it when it is mended: so TCP does, which
sends again what was lost. Who gives up meanwhile is told so by its own time limit. A way that is slow passes each piece
`delay_ms` after it came; it is not narrower for it.
Invariants: bytes of one connection stay in order; what a connection holds is bounded (HELD_PIECES of PIECE_BYTES).
Not its business: which broker goes by which link (`child`). One owner, one loop.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

PIECE_BYTES: Final = 256 * 1024
HELD_PIECES: Final = 64
"""Pieces that a direction of a connection holds: at 1 GB/s some 16 ms of traffic, so a delay does not narrow a way of
test clusters. Beyond it the sender waits, as for a full socket."""
CONNECTIONS_MAX: Final = 1000
"""Connections through one link; more are refused. Brokers have a handful each."""


class Way:
    """One direction between two ends."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.delay_ms = 0.0

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes."""
        return not self.is_open.is_set()


class _Stream(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Links:
    """Every link of one cluster. Ends are numbers: node ids, and whatever else its owner gives a number to."""

    def __init__(self) -> None:
        self._ways: dict[tuple[int, int], Way] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], tuple[int, int]] = {}

    def way(self, source: int, target: int) -> Way:
        """The way from one end to another."""
        return self._ways.setdefault((source, target), Way())

    async def open(self, source: int, target: int, host: str, port: int) -> int:
        """A port of this host by which `source` reaches `target`, which listens at `host`:`port`."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections[task] = (source, target)
            try:
                if sum(1 for link in self._connections.values() if link == (source, target)) <= CONNECTIONS_MAX:
                    await self._join(_Stream(reader, writer), self.way(source, target), self.way(target, source),
                                     (host, port))  # fmt: skip
            except (OSError, asyncio.CancelledError):
                pass  # an end is gone, or the cluster is
            finally:
                del self._connections[task]
                writer.transport.abort()

        server = await asyncio.start_server(accepted, "127.0.0.1", 0, limit=PIECE_BYTES)
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """End every connection and listen no more."""
        for server in self._servers:
            server.close()
        for task in list(self._connections):
            task.cancel()
        while self._connections:
            await asyncio.sleep(0)

    async def _join(self, near: _Stream, there: Way, back: Way, target: tuple[str, int]) -> None:
        await there.is_open.wait()  # as a connect waits for its answer
        await back.is_open.wait()
        far = _Stream(*await asyncio.open_connection(*target, limit=PIECE_BYTES))
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(near.reader, far.writer, there))
                both.create_task(_pass(far.reader, near.writer, back))
        except* OSError:
            pass  # both directions end with either
        finally:
            far.writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
    """Pass what comes, and its end, as `way` allows."""
    loop = asyncio.get_running_loop()
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_PIECES)

    async def take() -> None:
        while True:
            try:
                piece = await reader.read(PIECE_BYTES)
            except OSError:
                piece = b""
            await held.put((loop.time() + way.delay_ms / 1000, piece))
            if not piece:
                return

    taking = asyncio.ensure_future(take())
    try:
        while True:
            due_s, piece = await held.get()
            left_s = due_s - loop.time()
            if left_s > 0:
                await asyncio.sleep(left_s)
            if way.is_cut:
                await way.is_open.wait()
            if not piece:
                raise ConnectionResetError  # brokers close whole connections, never one direction
            writer.write(piece)
            await writer.drain()
    finally:
        taking.cancel()
