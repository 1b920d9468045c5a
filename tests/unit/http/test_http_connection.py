"""The HTTP listener with clients of every kind, on a network in memory and virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.pending import Pending
from tailrace.base.rand import SeededRandom
from tailrace.http.connection import HttpConnection
from tailrace.http.limits import HTTP_HEAD_MAX_BYTES, HTTP_HEAD_MAX_MS, HTTP_IDLE_MAX_MS, HTTP_SEND_STALL_MS
from tailrace.http.message import HttpAnswer, HttpRequest, text_answer
from tailrace.http.routes import Routes
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.handler import ConnectionOptions, StreamHandler
from tailrace.net.loop import new_event_loop
from tailrace.net.memory import MemoryNetwork

SERVER = Address("server", 9080)
GET = b"GET %b HTTP/1.1\r\nHost: server\r\n\r\n"
BIG = b"x" * 4_000_000


class Client(StreamHandler):
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.received = b""
        self.closed_ms: float | None = None
        self.clock: ManualClock

    def on_data(self, data: memoryview) -> int:
        self.received += bytes(data)
        return len(data)

    def on_eof(self) -> None:
        self.connection.close()

    def on_closed(self, error: OSError | None) -> None:
        self.closed_ms = self.clock.monotonic_ms()

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.received)]


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.network = MemoryNetwork(self.clock, SeededRandom(1))
        self.loop = new_event_loop(self.network, self.clock, self.network)
        self.asked: list[HttpRequest] = []
        self.later: list[Pending[HttpAnswer]] = []
        self.routes = Routes()
        self.routes.add("/now", "at once", self._now)
        self.routes.add("/later", "when it is done", self._later)
        self.routes.add("/big", "more than fits", lambda _: HttpAnswer(200, BIG))
        self.routes.add("/broken", "fails", self._broken)
        self.routes.add("/tree/", "everything beneath", lambda request: text_answer(200, "tree " + request.path))
        self.routes.add("/tree/leaf", "but this", lambda _: text_answer(200, "leaf"))
        engine = self.loop.engine
        self.listener = engine.listen(SERVER, lambda connection: HttpConnection(connection, self.routes, engine.timers))

    def _now(self, request: HttpRequest) -> HttpAnswer:
        self.asked.append(request)
        return text_answer(200, f"now {request.query}")

    def _later(self, request: HttpRequest) -> Pending[HttpAnswer]:
        self.asked.append(request)
        self.later.append(Pending())
        return self.later[-1]

    def _broken(self, _: HttpRequest) -> HttpAnswer:
        raise ZeroDivisionError

    async def connect(self) -> Client:
        options = ConnectionOptions(local_host="client", reads_while_full=True)
        made = await self.loop.engine.connect(SERVER, Client, options)
        assert isinstance(made.handler, Client)
        made.handler.clock = self.clock
        return made.handler

    async def ask(self, *parts: bytes, pause_s: float = 0.01) -> Client:
        client = await self.connect()
        for part in parts:
            client.connection.write([part])
            await asyncio.sleep(pause_s)
        return client

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.loop.run_until_complete(asyncio.wait_for(main(), 3600))


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.loop.run_until_complete(world.loop.engine.close())
    world.loop.close()


def test_requests_of_one_connection(world: World) -> None:
    async def main() -> None:
        client = await world.ask(GET % b"/now?a=1", GET % b"/nowhere", GET % b"/now?b=2")
        assert client.statuses == [200, 404, 200]
        assert client.received.endswith(b"now {'b': '2'}\n")
        assert client.closed_ms is None

    world.run(main)


def test_a_head_in_single_bytes(world: World) -> None:
    async def main() -> None:
        client = await world.ask(*[bytes([each]) for each in b"\r\n" + GET % b"/now"], pause_s=0.001)
        assert client.statuses == [200]

    world.run(main)


def test_requests_sent_at_once_are_answered_in_order(world: World) -> None:
    """Of those behind one that is waited for none is begun before it is answered."""

    async def main() -> None:
        client = await world.ask(GET % b"/now" + GET % b"/later" + GET % b"/nowhere" + GET % b"/now")
        assert client.statuses == [200] and len(world.asked) == 2
        world.later[0].complete(text_answer(503, "not now"))
        await asyncio.sleep(0.01)
        assert client.statuses == [200, 503, 404, 200]

    world.run(main)


def test_head_has_the_length_and_no_body(world: World) -> None:
    async def main() -> None:
        client = await world.ask(b"HEAD /tree/leaf HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert b"Content-Length: 5\r\n" in client.received and client.received.endswith(b"\r\n\r\n")
        assert client.closed_ms is not None

    world.run(main)


def test_addresses_beneath_another(world: World) -> None:
    async def main() -> None:
        assert (await world.ask(GET % b"/tree/leaf")).received.endswith(b"\r\nleaf\n")
        assert (await world.ask(GET % b"/tree/leaf/of")).received.endswith(b"\r\ntree /tree/leaf/of\n")
        assert (await world.ask(GET % b"/tree/")).received.endswith(b"\r\ntree /tree/\n")
        assert b"/tree/leaf  but this" in (await world.ask(GET % b"/")).received
        assert (await world.ask(GET % b"/tree")).statuses == [404]

    world.run(main)


def test_a_page_that_fails_costs_itself_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client = await world.ask(GET % b"/broken", GET % b"/now")
        assert client.statuses == [500, 200]

    world.run(main)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x00\xa5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * HTTP_HEAD_MAX_BYTES, 431),
        (b"POST /now HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n" + GET % b"/now", 405),
        (b"GET /now HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n" + GET % b"/now", 413),
    ],
)
def test_what_is_refused_is_answered_and_ends_the_connection(world: World, sent: bytes, status: int) -> None:
    """Nothing behind it is taken for a request: it may have been meant as its body."""

    async def main() -> None:
        client = await world.ask(sent)
        assert client.statuses == [status] and client.closed_ms is not None
        assert not world.asked

    world.run(main)


def test_a_head_that_trickles_is_cut_off(world: World) -> None:
    async def main() -> None:
        begin_ms = world.clock.monotonic_ms()
        client = await world.connect()
        for byte in b"GET /now HTTP/1.1\r\nHost: " + b"h" * 100:
            client.connection.write([bytes([byte])])
            await asyncio.sleep(0.9)
        assert client.statuses == [408]
        assert client.closed_ms is not None and client.closed_ms - begin_ms < HTTP_HEAD_MAX_MS + 1000

    world.run(main)


def test_a_client_that_says_nothing_is_cut_off(world: World) -> None:
    async def main() -> None:
        client = await world.connect()
        await asyncio.sleep(HTTP_HEAD_MAX_MS / 1000 + 1)
        assert client.closed_ms is not None and client.received == b""

    world.run(main)


def test_a_connection_without_another_request_is_closed(world: World) -> None:
    async def main() -> None:
        client = await world.ask(GET % b"/now")
        await asyncio.sleep(HTTP_IDLE_MAX_MS / 1000 - 1)
        client.connection.write([GET % b"/now"])
        await asyncio.sleep(HTTP_IDLE_MAX_MS / 1000 - 1)
        assert client.statuses == [200, 200] and client.closed_ms is None
        await asyncio.sleep(3)
        assert client.closed_ms is not None

    world.run(main)


def test_a_client_that_does_not_read_is_cut_off(world: World) -> None:
    async def main() -> None:
        client = await world.connect()
        client.connection.pause_reading()
        client.connection.write([GET % b"/big"])
        await asyncio.sleep(HTTP_SEND_STALL_MS / 1000 + 1)
        assert world.listener.connection_count == 0

    world.run(main)


def test_an_answer_for_one_that_is_gone(world: World) -> None:
    async def main() -> None:
        client = await world.ask(GET % b"/later")
        client.connection.close()
        await asyncio.sleep(0.01)
        world.later[0].complete(text_answer(200, "too late"))
        await asyncio.sleep(0.01)
        assert world.listener.connection_count == 0

    world.run(main)


def test_a_client_that_half_closes_has_its_answer(world: World) -> None:
    async def main() -> None:
        client = await world.ask(GET % b"/now")
        client.connection.shutdown_write()
        await asyncio.sleep(0.01)
        assert client.statuses == [200] and client.closed_ms is not None

    world.run(main)
