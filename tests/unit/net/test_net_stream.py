"""Blocking style over the in-memory network: straight-line coroutines without a task."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.pending import Pending
from tailrace.base.rand import SeededRandom
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.loop import EngineLoop, new_event_loop
from tailrace.net.memory import MemoryNetwork
from tailrace.net.stream import Stream, serve, stream_handler

SERVER = Address("server", 1)
Main = Callable[[Stream], Coroutine[Any, Any, None]]


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.network = MemoryNetwork(self.clock, SeededRandom(1))
        self.loop: EngineLoop = new_event_loop(self.network, self.clock, self.network)
        self.log: list[Any] = []

    def run(self, server: Main, client: Main, seconds: float = 10) -> list[Any]:
        """Both to their ends; returns what they logged."""

        async def main() -> None:
            serve(self.loop.engine, SERVER, server)
            await self.loop.engine.connect(SERVER, stream_handler(self.loop.engine, client))
            await asyncio.sleep(seconds)
            await self.loop.engine.close()

        self.loop.run_until_complete(main())
        return self.log


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.loop.close()


async def nothing(stream: Stream) -> None:
    while await stream.read(65536):
        pass


def test_straight_line_request_and_answer(world: World) -> None:
    async def server(stream: Stream) -> None:
        while line := await stream.read(100):
            await stream.write(b"<", line, b">")

    async def client(stream: Stream) -> None:
        for number in range(3):
            await stream.write(b"%d" % number)
            world.log.append(await stream.read_exactly(3))

    assert world.run(server, client) == [b"<0>", b"<1>", b"<2>"]
    assert world.loop.engine.connections == {}


def test_read_takes_what_is_there_in_pieces(world: World) -> None:
    async def server(stream: Stream) -> None:
        await stream.write(b"abcdefghij")

    async def client(stream: Stream) -> None:
        world.log.append(await stream.read_exactly(2))
        world.log.append(await stream.read(3))
        world.log.append(await stream.read_exactly(0))
        world.log.append(await stream.read(100))
        world.log.append(await stream.read(100))

    assert world.run(server, client) == [b"ab", b"cde", b"", b"fghij", b""]


def test_read_exactly_of_many_pieces_and_of_too_few(world: World) -> None:
    big = bytes(range(256)) * 4096  # 1 MiB, through a 64 KiB window

    async def server(stream: Stream) -> None:
        await stream.write(big, b"tail")

    async def client(stream: Stream) -> None:
        world.log.append(await stream.read_exactly(len(big)) == big)
        try:
            await stream.read_exactly(5)
        except EOFError as error:
            world.log.append(str(error))
        world.log.append(await stream.read(10))

    assert world.run(server, client) == [True, "the stream ended 1 bytes early", b"tail"]


def test_bytes_left_while_it_waits_for_something_else_are_kept(world: World) -> None:
    """The peer is not read from meanwhile, and the end of the stream is not told before its bytes."""
    pending: Pending[str] = Pending()

    async def server(stream: Stream) -> None:
        await stream.write(b"abc")
        await asyncio.sleep(0.1)
        await stream.write(b"def")

    async def client(stream: Stream) -> None:
        world.log.append(await stream.read_exactly(1))
        await asyncio.sleep(1)
        world.log.append(await stream.read_exactly(4))
        world.loop.engine.timers.schedule(100, lambda: pending.complete("value"))
        world.log.append(await stream.wait_for(pending))
        world.log.append(await stream.wait_for(pending))
        await asyncio.sleep(0)
        world.log.append(await stream.read(9))
        world.log.append(await stream.read(9))

    assert world.run(server, client) == [b"a", b"bcde", "value", "value", b"f", b""]


def test_timeout_leaves_the_stream_usable(world: World) -> None:
    """A2: a deadline fires within two ticks and the connection goes on."""

    async def server(stream: Stream) -> None:
        await asyncio.sleep(0.5)
        await stream.write(b"late")

    async def client(stream: Stream) -> None:
        start_ms = world.clock.monotonic_ms()
        try:
            await stream.read(1, timeout_ms=100)
        except TimeoutError:
            world.log.append(0 <= world.clock.monotonic_ms() - start_ms - 100 <= 10)
        world.log.append(await stream.read_exactly(4, timeout_ms=1000))
        world.log.append(len(world.loop.engine.timers))

    assert world.run(server, client) == [True, b"late", 0]


def test_writer_waits_for_a_slow_reader(world: World) -> None:
    async def server(stream: Stream) -> None:
        for _ in range(64):
            await stream.write(b"x" * 65536)
            world.log.append(stream.connection.queued_bytes)
        try:
            await stream.write(b"y" * 4_000_000, timeout_ms=100)
        except TimeoutError:
            world.log.append("timeout")

    async def client(stream: Stream) -> None:
        await asyncio.sleep(1)
        await stream.read_exactly(64 * 65536)
        await asyncio.sleep(5)

    log = world.run(server, client)
    assert log[-1] == "timeout"
    assert max(log[:-1]) <= 1024 * 1024 + 65536


def test_peers_end_reaches_every_wait_and_is_no_error_of_ours(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def server(stream: Stream) -> None:
        try:
            await stream.read(1)
        finally:
            world.log.append("server ended")
        await stream.write(b"x")

    async def client(stream: Stream) -> None:
        await asyncio.sleep(0.01)
        world.network.reset("server", "server")
        await asyncio.sleep(0.01)
        await stream.read(1)

    assert world.run(server, client) == ["server ended"]
    assert caplog.records == []


def test_a_coroutine_that_fails_is_logged_once_and_its_connection_closed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def server(stream: Stream) -> None:
        await stream.read(1)
        raise ValueError("bug")

    async def client(stream: Stream) -> None:
        await stream.write(b"x")
        world.log.append(await stream.read(1))

    assert world.run(server, client) in ([b""], [])
    assert len(caplog.records) == 1 and "coroutine failed" in caplog.text


def test_waiting_for_a_stranger_is_refused(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Stranger:
        def __await__(self) -> Any:
            yield "what?"

    async def server(stream: Stream) -> None:
        await Stranger()

    world.run(server, nothing)
    assert "cannot wait for 'what?'" in caplog.text


def test_nothing_is_left_of_a_thousand_streams(world: World) -> None:
    async def server(stream: Stream) -> None:
        while data := await stream.read(100):
            await stream.write(data)

    async def client(stream: Stream) -> None:
        await stream.write(b"x")
        world.log.append(await stream.read(1))

    async def main() -> None:
        engine = world.loop.engine
        serve(engine, SERVER, server)
        for _ in range(1000):
            await engine.connect(SERVER, stream_handler(engine, client))
        await asyncio.sleep(1)
        assert engine.connections == {} and len(engine.timers) == 0
        await engine.close()

    before = _living()
    world.loop.run_until_complete(main())
    assert world.log == [b"x"] * 1000
    assert _living() <= before


def _living() -> int:
    gc.collect()
    return sum(isinstance(thing, Connection | Stream) for thing in gc.get_objects())
