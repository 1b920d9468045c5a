"""The coordinators of one broker, each over its internal topic: built here, and told which partitions are theirs.

    __consumer_offsets    groups and committed offsets
    __transaction_state   transactional ids and their transactions
    __share_group_state   how far share groups have come in each partition

Invariant: a partition of such a topic is coordinated here exactly while this broker leads it and could read it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tailrace.base.errors import KafkaError, StorageError
from tailrace.cluster.image import (
    GROUP_METADATA_TOPIC,
    INTERNAL_TOPICS,
    SHARE_GROUP_STATE_TOPIC,
    TRANSACTION_STATE_TOPIC,
    MetadataImage,
)
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.node.coordinator_log import CoordinatorLog
from tailrace.node.group_settings import apply_group_settings, group_settings
from tailrace.node.surroundings import Surroundings
from tailrace.wire.api import ApiKey
from tailrace.wire.primitives import DecodeError

if TYPE_CHECKING:
    from tailrace.base.pending import Pending
    from tailrace.broker.transaction_questions import Codes, Question
    from tailrace.coordinator.share_state.coordinator import ShareStateCoordinator
    from tailrace.coordinator.share_state.ports import ShareStateKeeper
    from tailrace.coordinator.transactions.coordinator import TransactionCoordinator
    from tailrace.coordinator.transactions.markers import MarkerWriter
    from tailrace.net.loop import Engine
    from tailrace.node.peers import Ask, Peers
    from tailrace.node.remote_questions import RemoteQuestions
    from tailrace.node.turns import Turns

_log = logging.getLogger("tailrace.node")


class Coordinators:
    """Groups, transactions and the state of share groups of one broker."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        settings = around.metadata.settings
        self._group_log = self._log_of(GROUP_METADATA_TOPIC)
        self.groups = GroupCoordinator(
            group_settings(settings), self._group_log, around.timers, around.clock, around.random, self._image
        )
        self.groups.share_states = self.share_state_keeper
        self.groups.report = logging.getLogger("tailrace.groups").info
        self._transaction_log = self._log_of(TRANSACTION_STATE_TOPIC)
        self._transactions: TransactionCoordinator | None = None
        self._share_states: ShareStateCoordinator | None = None
        self._share_state_keeper: ShareStateKeeper | None = None
        self._questions: RemoteQuestions | None = None
        self._peers: list[Peers] = []
        self._turns: Turns | None = None
        self._to_load: deque[tuple[str, int, Iterator[None]]] = deque()
        self._is_loading = False

    def _image(self) -> MetadataImage:
        return self._around.metadata.image

    def _log_of(self, topic: str) -> CoordinatorLog:
        around = self._around
        return CoordinatorLog(topic, around.partitions, around.clock, around.logs)

    def transactions(self) -> TransactionCoordinator:
        """The transaction coordinator, made now if nobody asked for it before."""
        if self._transactions is None:
            # start-up time: see Services.transactions_of
            from tailrace.coordinator.transactions.coordinator import TransactionCoordinator
            from tailrace.node.transaction_settings import transaction_settings

            around = self._around
            self._transactions = TransactionCoordinator(
                transaction_settings(around.metadata.settings),
                (self._transaction_log, self._marker_writer()),
                around.metadata.producer_ids.take,
                around.timers,
                around.clock,
            )
        return self._transactions

    def _marker_writer(self) -> MarkerWriter:
        from tailrace.node.local_markers import LocalMarkers  # start-up time: as above

        around = self._around
        local = LocalMarkers(around, self.groups)
        if around.engine is None:
            return local
        from tailrace.node.routed_markers import RoutedMarkers  # start-up time: most brokers are alone

        return RoutedMarkers(local, around.metadata, self._asker(around.engine, ApiKey.WRITE_TXN_MARKERS, "markers"))

    def ask_elsewhere(self, broker_id: int, question: Question) -> Pending[Codes]:
        """Ask the transaction coordinator on another broker. For a broker that may have others beside it."""
        if self._questions is None:
            from tailrace.node.remote_questions import RemoteQuestions  # start-up time: as above

            assert self._around.engine is not None
            ask = self._asker(self._around.engine, ApiKey.ADD_PARTITIONS_TO_TXN, "transactions")
            self._questions = RemoteQuestions(ask)
        return self._questions.ask(broker_id, question)

    def _asker(self, engine: Engine, key: ApiKey, purpose: str) -> Ask:
        from tailrace.node.peers import Peers  # start-up time: as above

        peers = Peers(self._around.metadata, engine, purpose)
        self._peers.append(peers)
        return lambda broker_id, message, told: peers.ask(broker_id, key, message, told)

    def hang_up(self) -> None:
        """Ask other brokers nothing any more."""
        for peers in self._peers:
            peers.close()

    def share_states(self) -> ShareStateCoordinator:
        """The share coordinator, made now if nobody asked for it before."""
        if self._share_states is None:
            # start-up time: most brokers see no share group
            from tailrace.coordinator.share_state.coordinator import ShareStateCoordinator
            from tailrace.node.share_state_log import ShareStateLog, share_state_settings

            around = self._around
            self._share_states = ShareStateCoordinator(
                share_state_settings(around.metadata.settings),
                ShareStateLog(SHARE_GROUP_STATE_TOPIC, around.partitions, around.clock, around.logs),
                around.timers,
                around.clock,
                self._image,
            )
        return self._share_states

    def share_state_keeper(self) -> ShareStateKeeper:
        """Who keeps the states of share partitions: the coordinator here, or, of what others lead, theirs."""
        if self._around.engine is None:
            return self.share_states()
        if self._share_state_keeper is None:
            from tailrace.node.peers import Peers  # start-up time: as above
            from tailrace.node.routed_share_states import RoutedShareStates

            around = self._around
            peers = Peers(around.metadata, self._around.engine, "share-states")
            self._peers.append(peers)
            self._share_state_keeper = RoutedShareStates(self.share_states(), around.metadata, peers.ask)
        return self._share_state_keeper

    def on_topics_deleted(self, names: list[str]) -> None:
        """Forget what is kept of topics that are gone."""
        self.groups.on_topics_deleted(names)
        if self._share_states is not None:
            self._share_states.on_topics_deleted()

    def close(self) -> None:
        """Coordinate nothing any more."""
        if self._share_states is not None:
            self._share_states.close()
        if self._transactions is not None:
            self._transactions.close()
        self.groups.close()

    def coordinate(self, topic: str) -> bool:
        """Whether what is in the topic is read as soon as its partitions are led."""
        return topic in INTERNAL_TOPICS

    def on_topic(self, name: str, partition_count: int) -> None:
        """A topic is led here: an internal one says over how many partitions its keys are spread."""
        if name == GROUP_METADATA_TOPIC:
            self.groups.settings.offsets_topic_num_partitions = partition_count
        elif name == TRANSACTION_STATE_TOPIC:
            self.transactions().settings.transaction_state_log_num_partitions = partition_count
        elif name == SHARE_GROUP_STATE_TOPIC:
            self.share_states().settings.share_coordinator_state_topic_num_partitions = partition_count

    def lead(self, topic: str, partition: int, leader_epoch: int) -> None:
        """Coordinate a partition, if it is of an internal topic; one that cannot be read is not, the others are.

        From `load_in_turns` on it is loaded a few records at a time, and clients are told meanwhile that it is.
        """
        if topic == GROUP_METADATA_TOPIC:
            steps = self.groups.load_steps(partition, self._group_log)
        elif topic == TRANSACTION_STATE_TOPIC:
            steps = self.transactions().load_steps(partition, leader_epoch, self._transaction_log)
        elif topic == SHARE_GROUP_STATE_TOPIC:
            steps = self.share_states().load_steps(partition)
        else:
            return
        self._to_load.append((topic, partition, steps))
        if self._turns is None:
            deque(self._load(), maxlen=0)
        elif not self._is_loading:
            self._is_loading = True
            self._turns.run(self._load())

    def load_in_turns(self, turns: Turns) -> None:
        """Clients are served from now on: loading lets them in between."""
        self._turns = turns

    def _load(self) -> Iterator[None]:
        """Load one partition after the other."""
        while self._to_load:
            topic, partition, steps = self._to_load.popleft()
            try:
                yield from steps
            except (DecodeError, KafkaError, StorageError) as error:
                self.drop(topic, partition)
                _log.error("what %s-%d coordinates is not served: %s", topic, partition, error)
                if isinstance(error, StorageError):
                    self._around.logs.on_storage_error(error)
            yield
        self._is_loading = False

    def drop(self, topic: str, partition: int) -> None:
        """Coordinate a partition no longer."""
        if topic == GROUP_METADATA_TOPIC:
            self.groups.unload(partition)
        elif topic == TRANSACTION_STATE_TOPIC and self._transactions is not None:
            self._transactions.unload(partition)
        elif topic == SHARE_GROUP_STATE_TOPIC and self._share_states is not None:
            self._share_states.unload(partition)

    def apply_settings(self) -> None:
        """Obey the broker's settings as they are now."""
        apply_group_settings(self.groups.settings, self._around.metadata.settings)
