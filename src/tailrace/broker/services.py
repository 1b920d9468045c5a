"""What request handlers may use, and the one way they may end a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailrace.base.clock import Clock
from tailrace.base.errors import KafkaError, StorageError, TailraceError
from tailrace.base.page_cache import ColdReads, InlineReads
from tailrace.base.rand import Random
from tailrace.broker.context import RequestContext
from tailrace.broker.faults import Faults
from tailrace.broker.fetch_sessions import FetchSessions
from tailrace.cluster.auto_topics import auto_topic
from tailrace.cluster.controller import decide_auto_create
from tailrace.cluster.image import INTERNAL_TOPICS, PartitionImage
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.log.logs import Logs
from tailrace.log.trouble import Trouble as Trouble
from tailrace.net.timers import TimingWheel
from tailrace.replication.partitions import Partitions

if TYPE_CHECKING:  # start-up time: most brokers see no transaction in their first second, and many never
    from tailrace.coordinator.share_state.coordinator import ShareStateCoordinator
    from tailrace.coordinator.transactions.coordinator import TransactionCoordinator

_log = logging.getLogger("tailrace.broker")


class CloseConnection(TailraceError):
    """Raised by a handler when the protocol leaves nothing to answer but a closed connection."""


@dataclass(slots=True)
class Services:
    """Everything a handler may reach. Built once by `node`."""

    node_id: int
    settings: BrokerSettings
    metadata: Metadata
    partitions: Partitions
    groups: GroupCoordinator
    transactions_of: Callable[[], TransactionCoordinator]
    """The transaction coordinator, which is made when it is first asked for."""
    share_states_of: Callable[[], ShareStateCoordinator]
    """The share coordinator, made likewise."""
    logs: Logs
    fetch_sessions: FetchSessions
    timers: TimingWheel
    clock: Clock
    random: Random
    faults: Faults
    call_soon: Callable[[Callable[[], None]], object]
    advertised_address: tuple[str, int] | None = None
    """Host and port of `advertised.listeners`; None when clients should use what they dialled."""
    internal_topics: frozenset[str] = INTERNAL_TOPICS
    cold_reads: ColdReads = field(default_factory=InlineReads)
    """Loads what reads miss in memory, so that the loop does not wait for the disk."""
    _refusals: dict[str, str] = field(default_factory=dict)
    """Internal topic -> why it could not be made, as it was last logged."""

    @property
    def transactions(self) -> TransactionCoordinator:
        """The coordinator of every transactional id."""
        return self.transactions_of()

    @property
    def share_states(self) -> ShareStateCoordinator:
        """The coordinator of every share partition's state."""
        return self.share_states_of()

    def advertised(self, context: RequestContext) -> tuple[str, int]:
        """(host, port) a client should use: `advertised.listeners` when set, else the address it dialled."""
        return self.advertised_address or (context.local_host, context.local_port)

    def auto_create(self, name: str) -> None:
        """Create the topic a client or a coordinator needs, if it is not there. Raises KafkaError when refused."""
        if self.metadata.image.topic(name) is None:
            try:
                self._create(name)
            except KafkaError as error:
                self._tell_refusal(name, str(error))
                raise

    def _create(self, name: str) -> None:
        metadata = self.metadata
        self.logs.space.check_create()
        wish = auto_topic(name, self.settings)
        metadata.commit(decide_auto_create(metadata.image, wish, metadata.topic_defaults, metadata.new_topic_id))

    def _tell_refusal(self, name: str, reason: str) -> None:
        """Log why a topic that the broker itself needs is not made, once: clients show a timeout and ask for ever."""
        if name in INTERNAL_TOPICS and self._refusals.get(name) != reason:
            self._refusals[name] = reason
            _log.error("the topic %s cannot be created, and what needs it does not work: %s", name, reason)

    def partition_state(self, topic: str, index: int) -> tuple[PartitionImage, list[int]]:
        """A partition of the image as clients should see it, and its offline replicas.

        One whose log directory is offline has no leader, though the image, which may lie on the same disk, names one.
        """
        partition = self.metadata.image.topics[topic].partitions[index]
        offline = [replica for replica in partition.replicas if replica not in self.metadata.image.brokers]
        if self.partitions.is_offline(topic, index):
            return partition._replace(leader=-1), [*offline, self.node_id]
        return partition, offline

    def able_to_lead(self, topic: str, index: int) -> dict[int, int]:
        """Brokers that may lead a partition, as `cluster.elections` wants them: not this one where its disk failed."""
        able = dict.fromkeys(self.metadata.image.brokers, 0)
        if self.partitions.is_offline(topic, index):
            able.pop(self.node_id, None)
        return able

    def on_storage_error(self, error: StorageError) -> Trouble:
        """The environment failed below a log: what follows from it, and one line where people look.

        Of a directory that failed or is full, `node` says so once.
        """
        trouble = self.logs.on_storage_error(error)
        if trouble is Trouble.ELSEWHERE:
            _log.error("storage failure: %s", error)
        return trouble
