"""Transaction markers to the partitions of this broker: the adapter between the coordinator and `broker.markers`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.broker.markers import write_marker
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.coordinator.transactions.markers import Ending
from tailrace.node.surroundings import Surroundings
from tailrace.replication.transactional import Marker

_log = logging.getLogger("tailrace.node")

_FENCED = frozenset({ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.TRANSACTION_COORDINATOR_FENCED})
"""The partition has heard of a later epoch: there this transaction is over, and a marker is of no use."""


class LocalMarkers:
    """MarkerWriter of a broker that leads every partition itself."""

    __slots__ = ("_around", "_groups")

    def __init__(self, around: Surroundings, groups: GroupCoordinator) -> None:
        self._around = around
        self._groups = groups

    def write(self, ending: Ending, partitions: frozenset[TopicPartition]) -> Pending[frozenset[TopicPartition]]:
        """Write a marker to each partition; completes with those that are to be tried again."""
        outcome: Pending[frozenset[TopicPartition]] = Pending()
        waiting, remaining = set(partitions), set[TopicPartition]()

        def note(partition: TopicPartition, is_done: bool) -> None:
            waiting.discard(partition)
            if not is_done:
                remaining.add(partition)
            if not waiting:
                outcome.complete(frozenset(remaining))

        marker = Marker(*ending)
        for each in sorted(partitions):
            self._write(marker, each, partial(note, each))
        if not partitions:
            outcome.complete(frozenset())
        return outcome

    def _write(self, marker: Marker, to: TopicPartition, note: Callable[[bool], None]) -> None:
        """Write one, and note whether nothing is left to do there."""
        partition = self._around.partitions.get(*to)
        if partition is None:
            note(self._around.metadata.image.partition(*to) is None)
            return
        now_ms = self._around.clock.wall_ms()
        try:
            write_marker(partition, self._groups, marker, now_ms, lambda code: note(code is None))
        except KafkaError as error:
            if error.code in _FENCED:
                _log.warning("no marker of producer %d to %s: %s", marker.producer_id, to, error)
            note(error.code in _FENCED)
        except StorageError as error:
            _log.error("a marker of producer %d to %s is to be tried again: %s", marker.producer_id, to, error)
            self._around.logs.on_storage_error(error)
            note(False)
