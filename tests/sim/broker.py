"""One broker on the timeline: the node's own parts, wired as `node.server` wires them, in a world that is not real.

Real are Metadata, Membership, Logs, Partitions, Coordinators, Leadership, Replication, Dispatch and its handlers, the
client connections and the clients of other brokers. Not here: the loop, sockets, threads, files, the machine's clocks.
A `Machine` has a disk and clocks, and outlives the processes that run on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.sim.disk import SimDisk
from tests.sim.network import SimConnection, SimEngine, SimNetwork
from tests.sim.process import Background, Process, ProcessClock, SeededIds
from tests.sim.store import HOST as STORE
from tests.sim.store import SharedStore
from tests.sim.timeline import Timeline

from tailrace.base.errors import TailraceError
from tailrace.base.types import TopicPartition
from tailrace.broker.connection import ClientConnection
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.faults import Faults
from tailrace.broker.fetch_sessions import FetchSessions
from tailrace.broker.services import Services
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.records import BrokerRecord
from tailrace.cluster.registration import Life
from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.share_state.coordinator import ShareStateCoordinator
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.logs import Logs
from tailrace.net.address import Address
from tailrace.node.cleaning import Cleaner
from tailrace.node.coordinators import Coordinators
from tailrace.node.departure import Departure, DeparturePorts
from tailrace.node.leadership import Leadership
from tailrace.node.log_settings import log_config
from tailrace.node.membership import Membership, MembershipSurroundings
from tailrace.node.peers import Peers
from tailrace.node.registration import with_directories
from tailrace.node.replication import Replication, ReplicationSurroundings
from tailrace.node.surroundings import Surroundings
from tailrace.node.turns import Turns
from tailrace.node.upkeep import Upkeep
from tailrace.replication.partition import Partition
from tailrace.replication.partitions import Partitions

PORT = 9092
LOG_DIR = Path("/data")
CLUSTER_ID = "simulated-cluster-00000"
SEGMENT_BYTES = 3000
"""So that a log has several; a setting would be refused."""
SETTINGS = {
    "replica.fetch.backoff.ms": "200",
    "replica.fetch.wait.max.ms": "1000",
    "replica.lag.time.max.ms": "3000",
    "replica.socket.timeout.ms": "2000",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    "log.flush.offset.checkpoint.interval.ms": "4000",
    "log.cleaner.enable": "false",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.heartbeat.interval.ms": "500",
}


class Machine:
    """A disk, clocks, a host name, and perhaps a broker that runs."""

    def __init__(self, node_id: int, timeline: Timeline, settings: Mapping[str, str]) -> None:
        self.node_id = node_id
        self.settings = {**SETTINGS, **settings, "node.id": str(node_id)}
        self.host = f"b{node_id}"
        self.disk = SimDisk()
        self.clock = ProcessClock(timeline, timeline.uniform(0.98, 1.02))
        self.disk_delay_ms = 0.0
        """What work of the disk takes besides the usual, while it is slow."""
        self.broker: Broker | None = None


class Broker:
    """One process."""

    def __init__(self, machine: Machine, network: SimNetwork, shared: SharedStore) -> None:
        """Start as `node.server` does. Raises TailraceError where it cannot; the process is dead then."""
        self.machine = machine
        self.node_id = machine.node_id
        self.network = network
        self.process = Process(network.timeline, machine.host, machine.clock)
        self.engine: Any = SimEngine(self.process, network)
        self.store = shared.view(self.process)
        self.replication: Replication | None = None
        self.is_stopping = False
        self.checked: dict[Partition, int] = {}
        """How far each replica was held against the model, by whoever does that."""
        try:
            self._build()
        except BaseException:
            self.kill()
            raise

    # -- starting --------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        clock, ids = self.machine.clock, SeededIds(self.network.timeline)
        settings = BrokerSettings(self.machine.settings)
        disk_work, store_work = Background(self.process, self._disk_ms), self._store_work
        environment = LogEnvironment(
            self.machine.disk, clock, ids, disk_work, cleaner=disk_work, syncing=disk_work, defer=self.process.post
        )
        self.logs = Logs([LOG_DIR], environment, self._log_config, node_id=self.node_id, cluster_id=CLUSTER_ID)
        self.settings = settings
        try:
            self.metadata = metadata = Metadata(self.store, self.node_id, settings, ids, store_work())
            self._join(clock, ids)
        except TailraceError:
            self.logs.put_back()
            raise
        self.logs.load_all(metadata.topic_id)
        self.partitions = Partitions()
        around = Surroundings(metadata, self.logs, self.partitions, self.engine.timers, clock, ids, self.engine)
        self.coordinators = Coordinators(around)
        leadership = Leadership(
            metadata, self.logs, self.partitions, self.coordinators, Turns(clock, self.process.post), self._replicated
        )
        leadership.start()
        self._listen(self._services(clock, ids))
        cleaner = Cleaner(self.logs, environment, settings)
        self.upkeep = Upkeep(self.logs, cleaner, settings, self.engine.timers, clock)
        self.upkeep.start()

    def _store_work(self) -> Background:
        network, way = self.network, (self.machine.host, STORE)

        def delay_ms() -> float:
            return network.delay_ms + network.timeline.uniform(0, network.jitter_ms) + network.slow.get(way, 0.0)

        return Background(self.process, delay_ms, is_remote=True)

    def _disk_ms(self) -> float:
        timeline = self.network.timeline
        return timeline.uniform(0.1, 5) + timeline.uniform(0, self.machine.disk_delay_ms)

    def _log_config(self, topic: str) -> LogConfig:
        found = log_config(self.metadata.topic_configs(topic), self.settings.integer("producer.id.expiration.ms"))
        return replace(found, segment_bytes=SEGMENT_BYTES)

    def _join(self, clock: ProcessClock, ids: SeededIds) -> None:
        around = MembershipSurroundings(self.metadata, self.store, self._store_work(), self.engine.timers, clock)
        life = Life(self.node_id, ids.uuid().hex)
        self.membership = Membership(around, life)
        record = BrokerRecord(self.node_id, self.machine.host, PORT, None, (), life.incarnation_id)
        self.membership.join(with_directories(self.metadata, self.logs.directories, record, forget=False))

    def _replicated(self) -> Replication:
        if self.replication is None:
            around = ReplicationSurroundings(
                self.metadata, self.partitions, self.engine, self.machine.clock, self.logs.on_storage_error
            )
            self.replication = Replication(around)
        return self.replication

    def _services(self, clock: ProcessClock, ids: SeededIds) -> Services:
        engine = self.engine
        return Services(
            node_id=self.node_id,
            settings=self.settings,
            metadata=self.metadata,
            partitions=self.partitions,
            groups=self.coordinators.groups,
            transactions_of=self.coordinators.transactions,
            ask_elsewhere=self.coordinators.ask_elsewhere,
            share_states_of=self._no_share_groups,
            share_of=self._no_share_groups,
            logs=self.logs,
            fetch_sessions=FetchSessions(
                self.settings.integer("max.incremental.fetch.session.cache.slots"), clock, ids
            ),
            timers=engine.timers,
            clock=clock,
            random=ids,
            faults=Faults(),
            call_soon=self.process.post,
            is_fenced=lambda: self.membership.is_fenced,
        )

    def _no_share_groups(self) -> ShareStateCoordinator:
        raise AssertionError("nobody consumes in a share group here")

    def _listen(self, services: Services) -> None:
        dispatch = Dispatch(services)
        request_max_bytes = self.settings.integer("socket.request.max.bytes")

        def accept(connection: SimConnection) -> ClientConnection:
            return ClientConnection(connection, dispatch, request_max_bytes, 0)  # type: ignore[arg-type]

        self.network.listen(self.process, Address(self.machine.host, PORT), accept)
        self.membership.serve(self.machine.host, PORT)

    # -- ending ----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """As SIGKILL: what was written stays, peers are told by the kernel."""
        self.process.kill()
        self.machine.disk.release_lock()
        for end in self._ends():
            end.die()

    def lose_power(self) -> None:
        """As a power cut: what was not synced may be gone, and nobody is told."""
        ends = self._ends()
        self.process.kill()
        for end in ends:
            end.vanish()
        self.machine.disk.lose_power(self.network.timeline.random)

    def _ends(self) -> list[SimConnection]:
        return [end for end in self.network.ends if end.process is self.process]

    def stop(self) -> None:
        """As SIGTERM: hand over, flush, close."""
        self.is_stopping = True
        ask = Peers(self.metadata, self.engine, "leaving").ask_whether_alive
        ports = DeparturePorts(self.membership, self.metadata, self.engine.timers, self.machine.clock, ask)
        Departure(ports, lambda: self.process.post(self._end)).begin()

    def _end(self) -> None:
        """The rest of a clean stop, at one moment."""
        self.upkeep.stop()
        if self.replication is not None:
            self.replication.close()
        self.network.unlisten(Address(self.machine.host, PORT))
        self.coordinators.hang_up()
        self.coordinators.close()
        self.membership.close()
        self.partitions.clear()
        self.membership.release()
        self.logs.shut_down()
        self.metadata.close()
        self.kill()

    # -- looking ---------------------------------------------------------------------------------------------------

    def replica(self, at: TopicPartition) -> Partition | None:
        """A partition that it holds."""
        return self.partitions.get_present(*at) or self.partitions.get_followed(at)
