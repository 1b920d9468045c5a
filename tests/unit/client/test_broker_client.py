"""Asking another broker, over a network in memory on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode
from tailrace.base.rand import SeededRandom
from tailrace.client.broker_client import IN_FLIGHT_MAX, BrokerClient, ClientOptions, Refusal
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.loop import Engine, new_event_loop
from tailrace.net.memory import Link, MemoryNetwork
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import SIZE_BYTES, decode_request, decode_request_header, encode_response, frame_size
from tailrace.wire.messages.api_versions import ApiVersion, ApiVersionsResponse
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse

ADDRESS = Address("leader", 9092)
OPTIONS = ClientOptions("broker-2", request_timeout_ms=1000, reconnect_backoff_ms=50, local_host="follower")


class Leader:
    """The other broker: answers FindCoordinator with the key's length, when `is_answering`."""

    def __init__(self, engine: Engine) -> None:
        self.versions = (0, 3)
        self.is_answering = True
        self.asked: list[tuple[int, int]] = []
        self.connections: list[Connection] = []
        self._listener = engine.listen(ADDRESS, self._accept)

    def _accept(self, connection: Connection) -> Any:
        self.connections.append(connection)
        return _Requests(self, connection)

    def answer(self, connection: Connection, frame: memoryview) -> None:
        header = decode_request_header(frame)
        described = api(header.api_key)
        assert described is not None
        client_id, request = decode_request(described, header, frame)
        assert client_id == "broker-2"
        self.asked.append((header.api_key, header.api_version))
        if header.api_key == ApiKey.API_VERSIONS:
            response: Any = ApiVersionsResponse(0, [ApiVersion(ApiKey.FIND_COORDINATOR, *self.versions)])
        elif self.is_answering:
            response = FindCoordinatorResponse(node_id=len(request.key))
        else:
            return
        connection.write([encode_response(described, header.api_version, header.correlation_id, response)])


class _Requests:
    def __init__(self, leader: Leader, connection: Connection) -> None:
        self._leader = leader
        self._connection = connection

    def on_opened(self) -> None: ...

    def on_data(self, data: memoryview) -> int:
        position = 0
        while len(data) - position >= SIZE_BYTES:
            start = position + SIZE_BYTES
            size = frame_size(data, position)
            if len(data) - start < size:
                break
            position = start + size
            self._leader.answer(self._connection, data[start:position])
        return position

    def on_eof(self) -> None:
        self._connection.close()

    def on_writable(self) -> None: ...

    def on_closed(self, error: OSError | None) -> None: ...


class World:
    """Both brokers, and what the client was told."""

    def __init__(self, engine: Engine, network: MemoryNetwork) -> None:
        self.network = network
        self.leader = Leader(engine)
        self.address: Address | None = ADDRESS
        self.client = BrokerClient(engine, lambda: self.address, OPTIONS)
        self.told: list[Any] = []

    def ask(self, key: str) -> None:
        def told(response: FindCoordinatorResponse | Refusal) -> None:
            self.told.append(response.code if isinstance(response, Refusal) else response.node_id)

        self.client.send(ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(key), told)


def run(story: Callable[[World], Any]) -> None:
    network = MemoryNetwork(ManualClock(), SeededRandom(1), Link(delay_ms=5))
    loop = new_event_loop(network, network.clock, network)

    async def whole() -> None:
        await story(World(loop.engine, network))

    try:
        loop.run_until_complete(whole())
    finally:
        loop.run_until_complete(loop.engine.close())
        loop.close()


def test_requests_go_out_together_and_are_answered_in_order() -> None:
    async def story(world: World) -> None:
        for key in ("a", "bb", "ccc"):
            world.ask(key)
        assert world.told == []
        await asyncio.sleep(0.1)
        assert world.told == [1, 2, 3]
        assert len(world.leader.connections) == 1
        assert world.leader.asked == [(ApiKey.API_VERSIONS, 0)] + [(ApiKey.FIND_COORDINATOR, 3)] * 3

    run(story)


def test_a_version_is_one_that_both_know() -> None:
    async def story(world: World) -> None:
        world.leader.versions = (0, 1)
        world.ask("a")
        await asyncio.sleep(0.1)
        assert world.leader.asked[-1] == (ApiKey.FIND_COORDINATOR, 1)
        world.leader.versions = (99, 100)
        world.leader.connections[0].close()
        await asyncio.sleep(0.1)
        world.ask("a")
        await asyncio.sleep(0.1)
        assert world.told == [1, ErrorCode.UNSUPPORTED_VERSION]

    run(story)


def test_what_is_not_answered_in_time_fails_with_all_that_waits_behind_it() -> None:
    async def story(world: World) -> None:
        world.ask("a")
        await asyncio.sleep(0.1)
        world.leader.is_answering = False
        world.ask("b")
        await asyncio.sleep(0.5)
        world.ask("c")
        await asyncio.sleep(0.4)
        assert world.told == [1]
        await asyncio.sleep(0.12)
        assert world.told == [1, ErrorCode.REQUEST_TIMED_OUT, ErrorCode.REQUEST_TIMED_OUT]
        world.leader.is_answering = True
        world.ask("d")
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert world.told[3:] == [ErrorCode.NETWORK_EXCEPTION], "not so soon again"
        await asyncio.sleep(0.1)
        world.ask("eeeee")
        await asyncio.sleep(0.1)
        assert world.told[4:] == [5]

    run(story)


def test_a_connection_that_breaks_fails_what_is_on_its_way() -> None:
    async def story(world: World) -> None:
        world.leader.is_answering = False
        world.ask("a")
        await asyncio.sleep(0.1)
        world.leader.connections[0].close()
        await asyncio.sleep(0.1)
        assert world.told == [ErrorCode.NETWORK_EXCEPTION]

    run(story)


def test_a_broker_that_is_not_there_or_has_no_address_is_refused() -> None:
    async def story(world: World) -> None:
        world.address = Address("nobody", 1)
        world.ask("a")
        await asyncio.sleep(0.5)
        assert world.told == [ErrorCode.NETWORK_EXCEPTION]
        world.address = None
        world.ask("a")
        await asyncio.sleep(0.5)
        assert world.told == [ErrorCode.NETWORK_EXCEPTION] * 2

    run(story)


def test_an_answer_to_something_else_closes_the_connection() -> None:
    async def story(world: World) -> None:
        world.leader.is_answering = False
        world.ask("a")
        await asyncio.sleep(0.1)
        described = api(ApiKey.FIND_COORDINATOR)
        assert described is not None
        wrong = encode_response(described, 3, 12345, FindCoordinatorResponse(node_id=1))
        world.leader.connections[0].write([wrong])
        await asyncio.sleep(0.1)
        assert world.told == [ErrorCode.NETWORK_EXCEPTION]

    run(story)


def test_a_client_that_is_closed_or_overrun_says_so() -> None:
    async def story(world: World) -> None:
        for _ in range(IN_FLIGHT_MAX + 1):
            world.ask("a")
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert world.told == [ErrorCode.NETWORK_EXCEPTION]
        world.client.close()
        await asyncio.sleep(0.001)
        assert world.told == [ErrorCode.NETWORK_EXCEPTION] * (IN_FLIGHT_MAX + 1)
        world.ask("a")
        await asyncio.sleep(0.001)
        assert len(world.told) == IN_FLIGHT_MAX + 2

    run(story)
