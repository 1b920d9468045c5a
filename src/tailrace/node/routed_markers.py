"""Transaction markers to the leaders of their partitions, on this broker and on others.

    partitions ──> leader each, by the metadata of this moment
                     this broker         LocalMarkers
                     another             WriteTxnMarkers, with what else is to go there
                     nobody              to be tried again
                     no such partition   needs none

Whoever tries again looks for the leader anew. A refusal is final for one code only: INVALID_PRODUCER_EPOCH, by a
partition that has heard of a later epoch of the producer, where this transaction is over. Kafka's coordinator then
sends nothing more, and the transaction stays open until another coordinator loads it; here it is completed.
Source: Kafka TransactionMarkerChannelManager, TransactionMarkerRequestCompletionHandler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode
from tailrace.base.limits import MARKERS_PER_REQUEST_MAX
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.client.broker_client import Refusal
from tailrace.client.lanes import Gathering, Lanes
from tailrace.cluster.metadata import Metadata
from tailrace.coordinator.transactions.markers import Ending
from tailrace.node.local_markers import LocalMarkers
from tailrace.node.peers import Ask
from tailrace.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

Remaining = frozenset[TopicPartition]

_MOVING: Final = frozenset(
    {ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NOT_ENOUGH_REPLICAS}
)
"""Refusals that go by themselves, soon, and that nobody needs to read of."""


class _Item(NamedTuple):
    """One transaction's markers to one broker."""

    ending: Ending
    partitions: Remaining
    told: Callable[[Remaining], None]
    """Is told which of them are to be tried again."""


class RoutedMarkers:
    """MarkerWriter of a broker that has others beside it."""

    def __init__(self, local: LocalMarkers, metadata: Metadata, ask: Ask) -> None:
        self._local = local
        self._metadata = metadata
        self._lanes: Lanes[int, _Item] = Lanes(ask, Gathering(_message, self._on_response, MARKERS_PER_REQUEST_MAX))

    def write(self, ending: Ending, partitions: Remaining) -> Pending[Remaining]:
        """Write a marker to each partition; completes with those that are to be tried again."""
        outcome: Pending[Remaining] = Pending()
        by_leader: dict[int, set[TopicPartition]] = {}
        remaining: set[TopicPartition] = set()
        for each in sorted(partitions):
            image = self._metadata.image.partition(*each)
            if image is None:
                continue
            if image.leader < 0:
                remaining.add(each)
            else:
                by_leader.setdefault(image.leader, set()).add(each)
        waiting = set(by_leader)

        def note(leader: int, left: Remaining) -> None:
            waiting.discard(leader)
            remaining.update(left)
            if not waiting:
                outcome.complete(frozenset(remaining))

        if not by_leader:
            outcome.complete(frozenset(remaining))
        for leader, led in by_leader.items():
            self._write_to(leader, ending, frozenset(led), lambda left, leader=leader: note(leader, left))  # type: ignore[misc]
        return outcome

    def _write_to(self, leader: int, ending: Ending, partitions: Remaining, told: Callable[[Remaining], None]) -> None:
        if leader == self._metadata.node_id:
            self._local.write(ending, partitions).on_complete(told)
        else:
            self._lanes.put(leader, _Item(ending, partitions, told))

    def _on_response(self, items: Sequence[_Item], response: WriteTxnMarkersResponse | Refusal) -> None:
        codes: dict[tuple[int, TopicPartition], int] = {}
        if not isinstance(response, Refusal):
            for marker in response.markers:
                for topic in marker.topics:
                    for each in topic.partitions:
                        place = TopicPartition(topic.name, each.partition_index)
                        codes[marker.producer_id, place] = each.error_code
        for item in items:
            item.told(self._remaining(item, codes))

    def _remaining(self, item: _Item, codes: dict[tuple[int, TopicPartition], int]) -> Remaining:
        remaining = []
        producer_id = item.ending.producer_id
        for each in item.partitions:
            code = codes.get((producer_id, each), ErrorCode.NETWORK_EXCEPTION)
            if code in (ErrorCode.NONE, ErrorCode.INVALID_PRODUCER_EPOCH):
                self._local.tell_written(producer_id, each)
            else:
                remaining.append(each)
            if code not in _MOVING and code not in (ErrorCode.NONE, ErrorCode.NETWORK_EXCEPTION):
                self._local.tell_trouble(producer_id, each, ErrorCode(code).name)
        return frozenset(remaining)


def _message(items: Sequence[_Item]) -> WriteTxnMarkersRequest:
    markers = []
    for ending, partitions, _ in items:
        by_topic: dict[str, list[int]] = {}
        for topic, index in sorted(partitions):
            by_topic.setdefault(topic, []).append(index)
        topics = [WritableTxnMarkerTopic(*each) for each in by_topic.items()]
        markers.append(
            WritableTxnMarker(
                ending.producer_id,
                ending.producer_epoch,
                ending.is_commit,
                topics,
                ending.coordinator_epoch,
                ending.transaction_version,
            )
        )
    return WriteTxnMarkersRequest(markers)
