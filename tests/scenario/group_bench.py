"""The group handlers without sockets: requests go through their wire form, time is told, the log can hold or refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending, completed
from tailrace.base.rand import SeededRandom
from tailrace.broker.context import Peer, RequestContext
from tailrace.cluster.image import PartitionImage
from tailrace.cluster.records import BrokerRecord, ResourceType
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.ports import CoordinatorRecord, InTransaction
from tailrace.net.timers import TimingWheel
from tailrace.replication.partitions import Partitions
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import (
    decode_request,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
)


class FakeGroupLog:
    """PartitionWriter and PartitionLoader in memory. `hold` keeps appends waiting; `refuse` fails the next ones."""

    def __init__(self) -> None:
        self.committed: dict[int, list[CoordinatorRecord]] = {}
        self.batches: list[list[CoordinatorRecord]] = []
        """What was committed, append by append."""
        self.is_holding = False
        self.refusals: list[ErrorCode] = []
        self._held: list[tuple[int, list[CoordinatorRecord], Pending[ErrorCode | None]]] = []

    def append(
        self, partition: int, records: list[CoordinatorRecord], transaction: InTransaction | None = None
    ) -> Pending[ErrorCode | None]:
        assert records and transaction is None
        outcome: Pending[ErrorCode | None] = Pending()
        if self.is_holding:
            self._held.append((partition, records, outcome))
        else:
            self._end(partition, records, outcome)
        return outcome

    @property
    def held(self) -> int:
        return len(self._held)

    def release(self, count: int | None = None) -> None:
        """End the oldest held appends, all by default."""
        count = len(self._held) if count is None else count
        released, self._held = self._held[:count], self._held[count:]
        for held in released:
            self._end(*held)

    def lose(self) -> None:
        """The process ends: what was held was never written."""
        self._held.clear()
        self.is_holding = False
        self.refusals.clear()

    def records(self, partition: int) -> Iterator[CoordinatorRecord]:
        return iter(list(self.committed.get(partition, ())))

    def _end(self, partition: int, records: list[CoordinatorRecord], outcome: Pending[ErrorCode | None]) -> None:
        if self.refusals:
            outcome.complete(self.refusals.pop(0))
            return
        self.committed.setdefault(partition, []).extend(records)
        self.batches.append(records)
        outcome.complete(None)


class FakeImage:
    """The topics there are: name -> number of partitions."""

    version = 1

    def __init__(self) -> None:
        self.topics: dict[str, SimpleNamespace] = {}
        self.group_configs: dict[str, str] = {}

    def add(self, name: str, partition_count: int) -> None:
        topic_id = UUID(int=int.from_bytes(name.encode(), "big") + 1)
        self.topics[name] = SimpleNamespace(name=name, topic_id=topic_id, partitions=[None] * partition_count)

    def configs(self, resource_type: int, resource_name: str) -> dict[str, str]:
        assert resource_type == ResourceType.GROUP
        return self.group_configs

    @property
    def brokers(self) -> dict[int, BrokerRecord]:
        return {1: BrokerRecord(1, "", 0, None)}

    def is_fenced(self, broker_id: int) -> bool:
        return False

    def partition(self, name: str, index: int) -> PartitionImage:
        return PartitionImage(1, 0, (1,), (1,), 0)

    def topic(self, name: str) -> Any:
        return self.topics.get(name)

    def topic_by_id(self, topic_id: UUID) -> Any:
        return next((topic for topic in self.topics.values() if topic.topic_id == topic_id), None)


class GroupBench:
    """One broker's groups."""

    group_suffix = ""

    def __init__(self, settings: GroupSettings | None = None) -> None:
        self.clock = ManualClock()
        self.random = SeededRandom(11)
        self.timers = TimingWheel(now_ms=self.clock.monotonic_ms(), read_ms=self.clock.monotonic_ms)
        self.settings = settings or GroupSettings(offsets_topic_num_partitions=1)
        self.log = FakeGroupLog()
        self.image = FakeImage()
        self.reports: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Lose everything that is not in the log, as a kill does, and load again."""
        self.log.lose()
        # A killed process has no timers: a wheel of its own keeps the old ones from firing.
        self.timers = TimingWheel(now_ms=self.clock.monotonic_ms(), read_ms=self.clock.monotonic_ms)
        self.groups = GroupCoordinator(
            self.settings, self.log, self.timers, self.clock, self.random, cast(Any, lambda: self.image)
        )
        self.groups.report = self.reports.append
        for partition in range(self.settings.offsets_topic_num_partitions):
            self.groups.load(partition, self.log)
        self.services: Any = SimpleNamespace(
            groups=self.groups,
            metadata=SimpleNamespace(image=self.image),
            node_id=1,
            advertised=lambda context: (context.local_host, context.local_port),
            auto_create=lambda *names: completed({}),
            partitions=Partitions(),
            transactions=SimpleNamespace(partition_for=lambda transactional_id: 0),
            share_states=SimpleNamespace(partition_for=lambda key: 0),
        )

    def advance(self, delta_ms: int) -> None:
        """Let time pass, a tenth of a second at most at once."""
        while delta_ms > 0:
            step_ms = min(delta_ms, 100)
            self.clock.advance(step_ms)
            while self.timers.advance(self.clock.monotonic_ms()):
                pass
            delta_ms -= step_ms

    def topic_id(self, name: str) -> UUID:
        found = self.image.topic(name)
        return UUID(int=0xDEAD) if found is None else found.topic_id

    def send(self, key: ApiKey, version: int, client_id: str, request: Any, on_response: Callable[[Any], None]) -> None:
        """Give a request to its handler, both ways through the wire; `on_response` when it is answered."""
        found = api(key)
        assert found is not None
        frame = memoryview(encode_request(found, version, 5, client_id, request))[4:]
        header = decode_request_header(frame)
        told_client_id, decoded = decode_request(found, header, frame)
        context = RequestContext(Peer(1, "10.0.0.9", 5000, "10.0.0.1", 9092), key, version, 5, told_client_id)
        handler = import_module(f"tailrace.broker.handlers.{key.name.lower()}").handle
        answer = handler(self.services, context, decoded)

        def deliver(response: Any) -> None:
            sent = memoryview(encode_response(found, version, 5, response))[4:]
            on_response(decode_response(found, version, sent)[1])

        if isinstance(answer, Pending):
            answer.on_complete(deliver)
        else:
            deliver(answer)
