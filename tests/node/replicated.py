"""Brokers of one cluster in one process, each on a thread of its own, over real sockets and files and one metadata
store in memory. Who is alive is said by the test, as a controller would: `fence` and `unfence`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness.brokers import free_ports

from tailrace.base.clock import SystemClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicPartition
from tailrace.cluster.elections import (
    UNKNOWN_BROKER_EPOCH,
    ElectionRules,
    active_brokers,
    decide_broker_leaves,
    decide_broker_returns,
)
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import BrokerStateRecord, Record
from tailrace.cluster.store import Batch, Loaded, Watcher
from tailrace.embedded.admin import AdminConnection, append, raise_if_error, read_partition
from tailrace.embedded.host import Host
from tailrace.node.server import Server, ServerConfig
from tailrace.records.builder import build_batch
from tailrace.records.record import Record as LogRecord
from tailrace.replication.partition import Partition
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest

WAIT_S = 60.0
FAST = {
    "replica.fetch.backoff.ms": "50",
    "replica.fetch.wait.max.ms": "100",
    "replica.lag.time.max.ms": "1000",
    "log.cleaner.enable": "false",
    "offsets.topic.num.partitions": "1",
}


class SharedStore:
    """A memory store that several brokers may use: appends come from their threads, news go to their loops."""

    lock = threading.Lock()

    def __init__(self, first: MemoryStore) -> None:
        self._store = MemoryStore(SystemClock(), shared_with=first)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, expected_version: int, records: Sequence[Record]) -> int:
        with self.lock:
            return self._store.append(expected_version, records)

    def load(self) -> Loaded:
        with self.lock:
            return self._store.load()

    def load_after(self, version: int) -> list[Batch] | None:
        with self.lock:
            return self._store.load_after(version)

    def watch(self, watcher: Watcher) -> None:
        loop = asyncio.get_running_loop()

        def posted(told: Callable[..., object]) -> Callable[..., object]:
            return lambda *arguments: loop.call_soon_threadsafe(told, *arguments)

        with self.lock:
            self._store.watch(Watcher(*map(posted, watcher)))

    def close(self) -> None:
        with self.lock:
            self._store.close()


class Cluster:
    """Brokers 1, 2, ...; `settings` over those in FAST, with the broker's id in place of "%d"."""

    def __init__(self, directory: Path, count: int, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.settings = settings or {}
        self.store = MemoryStore(SystemClock())
        self.ports = dict(enumerate(free_ports(count), 1))
        self.hosts: dict[int, Host] = {}

    def __enter__(self) -> Cluster:
        for node_id in self.ports:
            self.start(node_id)
        return self

    def __exit__(self, *_: object) -> None:
        for node_id in list(self.hosts):
            self.stop(node_id)

    def start(self, node_id: int) -> None:
        address = f"127.0.0.1:{self.ports[node_id]}"
        settings = {
            **FAST,
            "http.listen": "",
            "node.id": str(node_id),
            "advertised.listeners": f"PLAINTEXT://{address}",
        }
        settings |= {name: value.replace("%d", str(node_id)) for name, value in self.settings.items()}

        def make() -> Server:
            store: Any = SharedStore(self.store)
            return Server(ServerConfig(address, self.directory / str(node_id), settings), store=store)

        host = Host(make, f"broker-{node_id}")
        host.start()
        self.hosts[node_id] = host

    def stop(self, node_id: int, *, clean: bool = True) -> None:
        self.hosts.pop(node_id).stop(clean=clean)

    def server(self, node_id: int) -> Server:
        """To look at, from another thread."""
        server = self.hosts[node_id].server
        assert isinstance(server, Server)
        return server

    # -- the controller --------------------------------------------------------------------------------------------

    def fence(self, node_id: int) -> None:
        """It leads nothing and is in sync with nothing, and everybody knows it."""

        def decide(image: MetadataImage) -> Decided[None]:
            others = active_brokers(image, without=(node_id,))
            left = decide_broker_leaves(image, node_id, others, self._rules)
            return Decided(None, [BrokerStateRecord(node_id, UNKNOWN_BROKER_EPOCH, is_fenced=True), *left.records])

        self._settle(decide)

    def unfence(self, node_id: int) -> None:
        """It is there again."""

        def decide(image: MetadataImage) -> Decided[None]:
            active = {**active_brokers(image), node_id: UNKNOWN_BROKER_EPOCH}
            back = decide_broker_returns(image, node_id, active, self._rules)
            return Decided(None, [BrokerStateRecord(node_id, UNKNOWN_BROKER_EPOCH, is_fenced=False), *back.records])

        self._settle(decide)

    def _any(self) -> Server:
        return self.server(next(iter(self.hosts)))

    def _rules(self, topic: str) -> ElectionRules:
        return self._any().services.metadata.election_rules(topic)

    def _settle(self, decide: Callable[[MetadataImage], Decided[None]]) -> None:
        host = next(iter(self.hosts.values()))
        metadata = self._any().services.metadata
        answer = host.call(lambda: metadata.propose(decide))
        until(lambda: answer.done)
        assert answer.value is None, answer.value

    # -- what tests ask --------------------------------------------------------------------------------------------

    def image(self, topic: str = "t") -> PartitionImage:
        """Partition 0 as the first broker that is up has it."""
        found = self._any().services.metadata.image.partition(topic, 0)
        assert found is not None
        return found

    def create(self, replicas: int, min_isr: int = 1, topic: str = "t") -> None:
        configs = [CreatableTopicConfig("min.insync.replicas", str(min_isr))]
        asked = CreateTopicsRequest([CreatableTopic(topic, 1, replicas, configs=configs)], timeout_ms=10_000)
        response = self.ask(next(iter(self.hosts)), lambda it: it.request(ApiKey.CREATE_TOPICS, asked))
        raise_if_error(response.topics[0].error_code, topic, response.topics[0].error_message)
        servers = [self.server(each) for each in self.hosts]
        until(lambda: all(server.services.metadata.image.topic(topic) for server in servers))

    def ask(self, node_id: int, work: Callable[[AdminConnection], Any]) -> Any:
        """Do something over a connection of its own."""

        async def run() -> Any:
            async with AdminConnection("127.0.0.1", self.ports[node_id]) as connection:
                return await work(connection)

        return asyncio.run(asyncio.wait_for(run(), WAIT_S))

    def produce(self, value: bytes, topic: str = "t", at: int | None = None) -> int:
        """With acks=all at whoever leads; raises KafkaError."""
        batch = build_batch([LogRecord(0, 1_700_000_000_000, None, value)])
        node_id = self.image(topic).leader if at is None else at
        found: int = self.ask(node_id, lambda it: append(it, topic, {0: batch}))[0]
        return found

    def produce_until_led(self, value: bytes) -> None:
        """As clients do: what the next leader cannot take yet is sent again."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                self.produce(value)
            except KafkaError as error:
                assert error.code in (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.NOT_ENOUGH_REPLICAS)
                time.sleep(0.02)
            else:
                return
        raise AssertionError("nobody takes it")

    def read(self, topic: str = "t") -> list[bytes | None]:
        """What consumers see, at whoever leads."""
        records = self.ask(self.image(topic).leader, lambda it: read_partition(it, topic, 0))
        return [record.value for record in records]

    def replicas(self, topic: str = "t") -> dict[int, Partition]:
        """Partition 0 at each broker that is up and has opened it."""
        found = {}
        for node_id in self.hosts:
            partitions = self.server(node_id).services.partitions
            partition = partitions.get_present(topic, 0) or partitions.get_followed(TopicPartition(topic, 0))
            if partition is not None:
                found[node_id] = partition
        return found

    def ends(self, topic: str = "t") -> dict[int, tuple[int, int]]:
        """(high watermark, log end) of each replica."""
        return {each: (found.high_watermark, found.log_end_offset) for each, found in self.replicas(topic).items()}

    def starts(self, topic: str = "t") -> dict[int, int]:
        """Log start of each replica."""
        return {each: found.log_start_offset for each, found in self.replicas(topic).items()}

    def log_bytes(self, node_id: int, topic: str = "t") -> bytes:
        """The segments of a replica, end to end."""
        paths = sorted((self.directory / str(node_id) / f"{topic}-0").glob("*.log"))
        return b"".join(path.read_bytes() for path in paths)


def until(holds: Callable[[], object], what: str = "") -> None:
    """Wait for it."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"did not come: {what}"
        time.sleep(0.01)
