"""The life of an embedded broker, over a server that only remembers what it was told."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from tailrace.embedded.broker import Broker
from tailrace.embedded.host import Host


class Endpoint(NamedTuple):
    host: str
    port: int


class FakeServer:
    """Stands for node.server.Server. `told` holds (event, thread name)."""

    def __init__(self, port: int = 4242, failure: Exception | None = None) -> None:
        self.told: list[tuple[object, str]] = []
        self.faults = self
        self._port = port
        self._failure = failure

    def tell(self, *event: object) -> None:
        self.told.append((event, threading.current_thread().name))

    async def start(self) -> Endpoint:
        await asyncio.sleep(0)
        if self._failure is not None:
            raise self._failure
        self.tell("start")
        return Endpoint("127.0.0.1", self._port)

    async def stop(self, clean: bool = True) -> None:
        self.tell("stop", clean)

    def add_error(self, api_key: int, code: int, count: int = 1) -> None:
        self.tell("error", int(api_key), int(code), count)

    def add_latency(self, api_key: int, latency_ms: float, count: int = 1) -> None:
        self.tell("latency", int(api_key), latency_ms, count)

    def pause(self) -> None:
        self.tell("pause")

    def resume(self) -> None:
        self.tell("resume")


class FakedBroker(Broker):
    """A Broker whose servers are fakes, all kept in `servers`."""

    failure: Exception | None = None

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.servers: list[FakeServer] = []

    def _new_server(self) -> FakeServer:
        self.servers.append(FakeServer(self._port or 4242, self.failure))
        return self.servers[-1]

    def events(self) -> list[tuple[object, ...]]:
        return [event for server in self.servers for event, _ in server.told]


def test_with_starts_and_stops_and_leaves_nothing() -> None:
    with FakedBroker() as broker:
        assert broker.running
        assert broker.bootstrap_servers == "127.0.0.1:4242"
        assert broker.data_dir.is_dir()
        directory = broker.data_dir
    assert not broker.running
    assert not directory.exists()
    assert broker.events() == [("start",), ("stop", True)]
    assert not any(thread.name.startswith("tailrace-broker") for thread in threading.enumerate())


def test_async_with() -> None:
    async def use() -> str:
        async with FakedBroker() as broker:
            return broker.bootstrap_servers

    assert asyncio.run(use()) == "127.0.0.1:4242"


def test_the_server_lives_in_a_thread_of_its_own() -> None:
    with FakedBroker() as broker:
        broker.inject_error("Produce", "NOT_LEADER_OR_FOLLOWER", count=3)
        broker.inject_latency("fetch", 250)
        broker.pause()
        broker.resume()
    assert broker.events()[1:-1] == [("error", 0, 6, 3), ("latency", 1, 250, 1), ("pause",), ("resume",)]
    threads = {name for server in broker.servers for _, name in server.told}
    assert len(threads) == 1 and threads.pop().startswith("tailrace-broker")


def test_a_restart_keeps_port_and_data() -> None:
    with FakedBroker() as broker:
        directory = broker.data_dir
        (directory / "kept").touch()
        broker.restart()
        assert (broker.data_dir, broker.port) == (directory, 4242)
        assert (directory / "kept").exists()
        assert broker.events() == [("start",), ("stop", True), ("start",)]


def test_a_kill_is_not_clean_and_the_broker_can_start_again() -> None:
    with FakedBroker() as broker:
        broker.kill()
        assert not broker.running
        assert broker.port == 4242  # a client may go on trying
        with pytest.raises(RuntimeError, match="does not run"):
            broker.pause()
        broker.start()
        assert broker.events() == [("start",), ("stop", False), ("start",)]


def test_starting_and_stopping_twice_is_nothing() -> None:
    broker = FakedBroker().start()
    assert broker.start() is broker
    broker.stop()
    broker.stop()
    assert broker.events() == [("start",), ("stop", True)]


def test_a_given_directory_is_kept(tmp_path: Path) -> None:
    with FakedBroker(data_dir=tmp_path / "data") as broker:
        assert broker.data_dir == tmp_path / "data"
        (tmp_path / "data").mkdir()
    assert (tmp_path / "data").exists()


def test_a_server_that_does_not_start_raises_here_and_leaves_nothing() -> None:
    broker = FakedBroker()
    broker.failure = OSError("address in use")
    with pytest.raises(OSError, match="address in use"):
        broker.start()
    assert not broker.running
    with pytest.raises(RuntimeError, match="no data directory"):
        _ = broker.data_dir
    assert not any(thread.name.startswith("tailrace-broker") for thread in threading.enumerate())


def test_several_at_once() -> None:
    brokers = [FakedBroker(port=port).start() for port in (5001, 5002, 5003)]
    assert [broker.port for broker in brokers] == [5001, 5002, 5003]
    assert len({broker.data_dir for broker in brokers}) == 3
    for broker in brokers:
        broker.stop()


def test_before_the_start_there_is_no_address() -> None:
    with pytest.raises(RuntimeError, match="no address"):
        _ = Broker().bootstrap_servers


def test_faults_are_checked_before_they_are_ordered() -> None:
    with FakedBroker() as broker:
        with pytest.raises(ValueError, match="count must be 1 or more"):
            broker.inject_error("Fetch", 6, count=0)
        with pytest.raises(ValueError, match="unknown API"):
            broker.inject_latency("Fetsch", 1)
    assert broker.events() == [("start",), ("stop", True)]


def test_ipv6_addresses_get_brackets() -> None:
    broker = FakedBroker()
    broker._endpoint = Endpoint("::1", 9092)
    assert broker.bootstrap_servers == "[::1]:9092"


def test_a_wait_that_takes_too_long_is_cancelled_in_the_servers_thread() -> None:
    host = Host(FakeServer, "tailrace-broker-slow")
    host.start()
    cancelled = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        host.wait(forever, 0.01)
    assert cancelled.wait(5)
    host.stop(clean=True)
    host.stop(clean=True)


def test_settings_are_written_as_kafka_writes_them() -> None:
    broker = Broker(settings={"auto.create.topics.enable": True, "num.partitions": 3, "log.retention.ms": "-1"})
    assert broker._settings == {"auto.create.topics.enable": "true", "num.partitions": "3", "log.retention.ms": "-1"}
