"""The in-memory network: the real engine on virtual time, with delay, loss and cuts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import Recorder

from tailrace.base.clock import ManualClock
from tailrace.base.rand import SeededRandom
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.handler import ConnectionOptions, FileRange
from tailrace.net.loop import EngineLoop, new_event_loop
from tailrace.net.memory import Link, MemoryNetwork

SERVER = Address("server", 9092)
FROM_CLIENT = ConnectionOptions(local_host="client", reads_while_full=True)


class Echo(Recorder):
    def on_data(self, data: memoryview) -> int:
        self.connection.write([data])
        return super().on_data(data)

    def on_eof(self) -> None:
        super().on_eof()
        self.connection.close_after_flush()


class World:
    def __init__(self, seed: int = 1, link: Link | None = None) -> None:
        self.clock = ManualClock()
        self.network = MemoryNetwork(self.clock, SeededRandom(seed), link)
        self.loop: EngineLoop = new_event_loop(self.network, self.clock, self.network)
        self.servers: list[Recorder] = []

    def listen(self, handler: type[Recorder] = Echo) -> None:
        def make(connection: Connection) -> Recorder:
            self.servers.append(handler(connection))
            return self.servers[-1]

        self.loop.engine.listen(SERVER, make)

    async def connect(self, timeout_ms: float = 10_000) -> Recorder:
        made = await self.loop.engine.connect(SERVER, Recorder, FROM_CLIENT, timeout_ms)
        assert isinstance(made.handler, Recorder)
        return made.handler

    def now_ms(self) -> float:
        return self.clock.monotonic_ms() - 1_700_000_000_000

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.loop.run_until_complete(asyncio.wait_for(main(), 3600))


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.loop.close()


def text(recorder: Recorder) -> bytes:
    return b"".join(event for event in recorder.events if isinstance(event, bytes))


def test_time_passes_by_itself_and_costs_nothing(world: World) -> None:
    async def main() -> None:
        await asyncio.sleep(3000)
        assert world.now_ms() == pytest.approx(3_000_000, abs=5)

    world.run(main)


def test_echo_takes_two_delays_each_way(world: World) -> None:
    world.network.link("client", "server").delay_ms = 30
    world.network.link("server", "client").delay_ms = 10

    async def main() -> None:
        world.listen()
        client = await world.connect()
        assert world.now_ms() == pytest.approx(40, abs=2)
        client.connection.write([b"ping"])
        await asyncio.sleep(0.035)
        assert text(client) == b""
        await asyncio.sleep(0.010)
        assert text(client) == b"ping"

    world.run(main)


def test_refusal_and_timeout(world: World) -> None:
    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await world.connect()
        world.listen()
        world.network.cut("client", "server")
        with pytest.raises(TimeoutError):
            await world.connect(timeout_ms=500)
        assert world.now_ms() == pytest.approx(500, abs=5)
        with pytest.raises(OSError, match="server:9092"):
            world.listen()

    world.run(main)


def test_cut_holds_bytes_in_order_and_heal_delivers_them(world: World) -> None:
    world.network.link("client", "server").delay_ms = 20

    async def main() -> None:
        world.listen()
        client = await world.connect()
        client.connection.write([b"one,"])  # under way when the link is cut
        await asyncio.sleep(0.005)
        world.network.cut("client", "server")
        client.connection.write([b"two,"])
        await asyncio.sleep(60)
        assert text(world.servers[0]) == b""
        world.network.heal("client", "server")
        client.connection.write([b"three"])
        await asyncio.sleep(1)
        assert text(world.servers[0]) == b"one,two,three" == text(client)

    world.run(main)


def test_loss_delays_but_loses_and_reorders_nothing() -> None:
    world = World(link=Link(delay_ms=5, jitter_ms=3, loss=0.3))

    async def main() -> None:
        world.listen()
        client = await world.connect()
        for number in range(200):
            client.connection.write([b"%d;" % number])
            await asyncio.sleep(0.001)
        await asyncio.sleep(120)
        assert text(client) == b"".join(b"%d;" % number for number in range(200))

    world.run(main)
    world.loop.close()


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> tuple[float, list[Any]]:
        world = World(seed, Link(delay_ms=5, jitter_ms=10, loss=0.2))

        async def main() -> None:
            world.listen()
            clients = [await world.connect() for _ in range(5)]
            for number in range(20):
                for client in clients:
                    client.connection.write([b"%d;" % number])
                await asyncio.sleep(0.01)

        world.run(main)
        world.loop.close()
        return world.now_ms(), [server.events for server in world.servers]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_reset_reaches_both_ends(world: World) -> None:
    async def main() -> None:
        world.listen()
        client = await world.connect()
        await asyncio.sleep(0.1)
        world.network.reset("server", "client")
        await asyncio.sleep(0.1)
        for end in (client, world.servers[0]):
            assert end.events[-1] == ("closed", "ConnectionResetError")

    world.run(main)


def test_a_slow_reader_is_not_read_from_and_loses_nothing(world: World) -> None:
    """1 MB echoed through a 64 KiB window to a peer that stops reading: bounded queue, no byte lost."""

    async def main() -> None:
        world.listen()
        client = await world.connect()
        client.connection.pause_reading()
        payload = bytes(range(256)) * 32_768
        client.connection.write([payload])
        await asyncio.sleep(1)
        server = world.servers[0].connection
        assert server.above_high_water
        assert server.queued_bytes < 2 * 1024 * 1024 < len(payload)
        client.connection.resume_reading()
        await asyncio.sleep(1)
        assert text(client) == payload
        assert "writable" in world.servers[0].events

    world.run(main)


def test_half_close_and_file_ranges(world: World, tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"0123456789" * 20_000)
    with path.open("rb") as file:

        class Sends(Recorder):
            def on_eof(self) -> None:
                super().on_eof()
                self.connection.write([b"<", FileRange(file, 10, 199_990), b">"])
                self.connection.close_after_flush()

        async def main() -> None:
            world.listen(Sends)
            client = await world.connect()
            client.connection.shutdown_write()
            await asyncio.sleep(1)
            assert text(client) == b"<" + b"0123456789" * 19_999 + b">"
            assert client.events[-2:] == ["eof", ("closed", None)], "nothing is left to be said either way"

        world.run(main)


def test_a_file_closed_before_it_was_sent_breaks_the_answer(world: World, tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"x" * 500_000)

    class Sends(Recorder):
        def on_opened(self) -> None:
            with path.open("rb") as file:
                self.connection.write([FileRange(file, 0, 500_000)])

    async def main() -> None:
        world.listen(Sends)
        client = await world.connect()
        await asyncio.sleep(1)
        assert world.servers[0].events == [("closed", "OSError")]
        assert len(text(client)) < 500_000

    world.run(main)


def test_bytes_for_a_closed_end_reset_the_sender(world: World) -> None:
    async def main() -> None:
        world.listen()
        client = await world.connect()
        await asyncio.sleep(0.01)
        world.servers[0].connection.close()
        client.connection.write([b"x"])
        await asyncio.sleep(0.01)
        client.connection.write([b"y"])
        await asyncio.sleep(0.01)
        assert client.events[-1] == ("closed", "ConnectionResetError")

    world.run(main)


def test_engine_close_drains_for_as_long_as_told(world: World) -> None:
    async def main() -> None:
        world.listen()
        peer = await world.network.connect(SERVER, FROM_CLIENT, 1000)
        while world.servers == [] or not world.servers[0].connection.queued_bytes:
            try:
                peer.send(b"x" * 65536)
            except BlockingIOError:
                pass
            await asyncio.sleep(0.01)
        before_ms = world.now_ms()
        await world.loop.engine.close(drain_ms=300)
        assert 300 <= world.now_ms() - before_ms < 320
        assert world.loop.engine.connections == {}
        assert world.servers[0].events[-1] == ("closed", None)
        await world.loop.engine.close(drain_ms=300)

    world.run(main)
