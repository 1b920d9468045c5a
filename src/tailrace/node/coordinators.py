"""The coordinators of one broker, each over its internal topic: built here, and told which partitions are theirs.

    __consumer_offsets    groups and committed offsets
    __transaction_state   transactional ids and their transactions

Invariant: a partition of such a topic is coordinated here exactly while this broker leads it and could read it.
"""

from __future__ import annotations

import logging

from tailrace.base.errors import KafkaError, StorageError
from tailrace.cluster.image import GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.coordinator.transactions.coordinator import TransactionCoordinator
from tailrace.node.coordinator_log import CoordinatorLog
from tailrace.node.group_settings import apply_group_settings, group_settings
from tailrace.node.local_markers import LocalMarkers
from tailrace.node.surroundings import Surroundings
from tailrace.node.transaction_settings import transaction_settings
from tailrace.wire.primitives import DecodeError

_log = logging.getLogger("tailrace.node")


class Coordinators:
    """Groups and transactions of one broker."""

    def __init__(self, around: Surroundings) -> None:
        metadata, logs, partitions, timers, clock, random = around
        self._metadata = metadata
        self._logs = logs
        self._group_log = CoordinatorLog(GROUP_METADATA_TOPIC, partitions, clock, logs)
        self._transaction_log = CoordinatorLog(TRANSACTION_STATE_TOPIC, partitions, clock, logs)
        self.groups = GroupCoordinator(group_settings(metadata.settings), self._group_log, timers, clock, random)
        markers = LocalMarkers(around, self.groups)
        self.transactions = TransactionCoordinator(
            transaction_settings(metadata.settings),
            (self._transaction_log, markers),
            metadata.next_producer_id,
            timers,
            clock,
        )

    def coordinate(self, topic: str) -> bool:
        """Whether what is in the topic is read as soon as its partitions are led."""
        return topic in (GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC)

    def on_topic(self, name: str, partition_count: int) -> None:
        """A topic is led here: an internal one says over how many partitions its keys are spread."""
        if name == GROUP_METADATA_TOPIC:
            self.groups.settings.offsets_topic_num_partitions = partition_count
        elif name == TRANSACTION_STATE_TOPIC:
            self.transactions.settings.transaction_state_log_num_partitions = partition_count

    def lead(self, topic: str, partition: int, leader_epoch: int) -> None:
        """Coordinate a partition, if it is of an internal topic; one that cannot be read is not, the others are."""
        try:
            if topic == GROUP_METADATA_TOPIC:
                self.groups.load(partition, self._group_log)
            elif topic == TRANSACTION_STATE_TOPIC:
                self.transactions.load(partition, leader_epoch, self._transaction_log)
        except (DecodeError, KafkaError, StorageError) as error:
            self.drop(topic, partition)
            _log.error("what %s-%d coordinates is not served: %s", topic, partition, error)
            if isinstance(error, StorageError):
                self._logs.on_storage_error(error)

    def drop(self, topic: str, partition: int) -> None:
        """Coordinate a partition no longer."""
        if topic == GROUP_METADATA_TOPIC:
            self.groups.unload(partition)
        elif topic == TRANSACTION_STATE_TOPIC:
            self.transactions.unload(partition)

    def apply_settings(self) -> None:
        """Obey the broker's settings as they are now."""
        apply_group_settings(self.groups.settings, self._metadata.settings)
