"""A broker without sockets: real logs in a temporary directory, real metadata in memory, a clock that is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tailrace.base.background import Background, InlineBackground
from tailrace.base.clock import ManualClock
from tailrace.base.disk import Disk, RealDisk
from tailrace.base.rand import SeededRandom
from tailrace.broker.context import Peer, RequestContext
from tailrace.broker.faults import Faults
from tailrace.broker.fetch_sessions import FetchSessions
from tailrace.broker.services import Services
from tailrace.cluster.controller import TopicWish, decide_create_topics, decide_delete_topic
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.records import BrokerRecord
from tailrace.cluster.settings import BrokerSettings
from tailrace.log.config import LogEnvironment
from tailrace.log.logs import Logs
from tailrace.net.timers import TimingWheel
from tailrace.node.coordinators import Coordinators
from tailrace.node.leadership import Leadership
from tailrace.node.log_settings import log_config
from tailrace.node.share_serving import share_serving
from tailrace.node.surroundings import Surroundings
from tailrace.node.turns import Turns
from tailrace.replication.partition import Partition
from tailrace.replication.partitions import Partitions

PEER = Peer(1, "10.0.0.9", 5000, "10.0.0.1", 9092)


def _no_replication() -> NoReturn:
    raise AssertionError("every partition of a bench has one replica")


SOON_MAX = 10_000


class Bench:
    """Services and the means to drive them: time, deferred calls, topics."""

    def __init__(
        self,
        *log_dirs: Path,
        settings: dict[str, str] | None = None,
        disk: Disk | None = None,
        metadata: Metadata | None = None,
        syncing: Background | None = None,
    ) -> None:
        self._log_dirs = log_dirs
        self._disk = disk or RealDisk()
        self.clock = ManualClock()
        random = SeededRandom(7)
        self.timers = TimingWheel(now_ms=self.clock.monotonic_ms(), read_ms=self.clock.monotonic_ms)
        self._soon: deque[Callable[[], object]] = deque()
        broker_settings = BrokerSettings(settings or {})
        self.metadata = metadata or Metadata(MemoryStore(self.clock), 1, broker_settings, random)
        self.metadata.register_broker(BrokerRecord(1, "", 0, None))
        environment = LogEnvironment(
            self._disk, self.clock, random, syncing=InlineBackground() if syncing is None else syncing
        )
        self.logs = Logs(log_dirs, environment, lambda topic: log_config(self.metadata.topic_configs(topic), 1 << 40))
        self.logs.load_all()
        self.partitions = Partitions()
        around = Surroundings(self.metadata, self.logs, self.partitions, self.timers, self.clock, random)
        coordinators = Coordinators(around)
        self.leadership = Leadership(
            self.metadata,
            self.logs,
            self.partitions,
            coordinators,
            Turns(self.clock, self._soon.append),
            _no_replication,
        )
        self.leadership.start()
        self.services = Services(
            node_id=1,
            settings=broker_settings,
            metadata=self.metadata,
            partitions=self.partitions,
            groups=coordinators.groups,
            transactions_of=coordinators.transactions,
            share_states_of=coordinators.share_states,
            share_of=share_serving(around, coordinators.share_states),
            logs=self.logs,
            fetch_sessions=FetchSessions(10, self.clock, random),
            timers=self.timers,
            clock=self.clock,
            random=random,
            faults=Faults(),
            call_soon=self._soon.append,
        )

    def context(self, api_key: int, version: int, client_id: str | None = "test") -> RequestContext:
        return RequestContext(PEER, api_key, version, 1, client_id)

    def topic(self, name: str, partitions: int = 1, **configs: str) -> list[Partition]:
        """Create a topic; `configs` are Kafka's names with underscores."""
        named = {key.replace("_", "."): value for key, value in configs.items()}
        wish = TopicWish(name=name, partition_count=partitions, replication_factor=1, configs=named)
        decision = decide_create_topics(
            self.metadata.image, [wish], self.metadata.topic_defaults, self.metadata.new_topic_id
        )
        self.metadata.commit_now(decision.records)
        return [self.partitions.of(name, index) for index in range(partitions)]

    def delete_topic(self, name: str) -> None:
        self.metadata.commit_now(decide_delete_topic(self.metadata.image, self.metadata.image.topics[name]))

    def restarted(self) -> Bench:
        """Another broker over the same directories and metadata. This one has ended."""
        return Bench(*self._log_dirs, disk=self._disk, metadata=self.metadata)

    def run_soon(self) -> None:
        """Run what was deferred to the end of the loop's turn, and what that defers. It has to end."""
        for _ in range(SOON_MAX):
            if not self._soon:
                return
            self._soon.popleft()()
        raise AssertionError("what is deferred defers more and more")

    def advance(self, ms: float) -> None:
        """Let time pass and timers fire."""
        self.clock.advance(ms)
        while self.timers.advance(self.clock.monotonic_ms()):
            pass
        self.run_soon()


def only(items: list[Any]) -> Any:  # Any: whatever the list holds
    """The one item there is."""
    assert len(items) == 1, items
    return items[0]
