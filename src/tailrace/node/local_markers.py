"""Transaction markers to the partitions of this broker: the adapter between the coordinator and `broker.markers`.

Those of other brokers' partitions go through `routed_markers`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.limits import MARKER_TROUBLES_MAX
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.broker.markers import write_marker
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.coordinator.transactions.markers import Ending
from tailrace.log.trouble import Trouble
from tailrace.node.surroundings import Surroundings
from tailrace.replication.transactional import Marker

_log = logging.getLogger("tailrace.node")


class LocalMarkers:
    """MarkerWriter for the partitions that this broker leads.

    A partition that has heard of a later epoch of the producer needs no marker: there this transaction is over. One
    that has heard of a later coordinator waits for that one's; this one will hear that it coordinates no longer.
    """

    __slots__ = ("_around", "_groups", "_told")

    def __init__(self, around: Surroundings, groups: GroupCoordinator) -> None:
        self._around = around
        self._groups = groups
        self._told: set[tuple[int, TopicPartition]] = set()
        """Producer id and partition of markers that are tried again and again, and whose trouble is in the log."""

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
        around = self._around
        partition = around.partitions.get(*to)
        if partition is None:
            note(around.metadata.image.partition(*to) is None)
            return
        if around.logs.is_full(to):
            note(False)
            return
        now_ms = around.clock.wall_ms()
        try:
            write_marker(partition, self._groups, marker, now_ms, lambda code: note(code is None))
        except KafkaError as error:
            is_over = error.code is ErrorCode.INVALID_PRODUCER_EPOCH
            if error.code is not ErrorCode.NOT_ENOUGH_REPLICAS:
                self.tell_trouble(marker.producer_id, to, error)
            if is_over:
                self.tell_written(marker.producer_id, to)
            note(is_over)
        except StorageError as error:
            if around.logs.on_storage_error(error) is Trouble.ELSEWHERE:
                self.tell_trouble(marker.producer_id, to, error)
            note(False)
        else:
            self.tell_written(marker.producer_id, to)

    def tell_trouble(self, producer_id: int, to: TopicPartition, error: object) -> None:
        """Say once that a marker cannot be written; it may be tried ten times a second for hours."""
        if (producer_id, to) not in self._told:
            if len(self._told) >= MARKER_TROUBLES_MAX:
                self._told.clear()
            self._told.add((producer_id, to))
            _log.error("no marker of producer %d to %s: %s", producer_id, to, error)

    def tell_written(self, producer_id: int, to: TopicPartition) -> None:
        """The trouble with this marker is over."""
        self._told.discard((producer_id, to))
