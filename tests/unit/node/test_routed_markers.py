"""Markers to the leaders of their partitions: who is asked, and what each answer means."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import pytest

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending, completed
from tailrace.base.types import TopicPartition
from tailrace.client.broker_client import Refusal, Told
from tailrace.cluster.metadata import Metadata
from tailrace.coordinator.transactions.markers import Ending
from tailrace.node.local_markers import LocalMarkers
from tailrace.node.routed_markers import RoutedMarkers
from tailrace.wire.messages.write_txn_markers import (
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

HERE, OTHER, NOBODY, GONE = (TopicPartition("t", each) for each in range(4))
ENDING = Ending(7, 3, True, 5, 2)
COMMITTED = frozenset[TopicPartition]()


class Led(NamedTuple):
    leader: int


class Cluster:
    """Metadata, the markers of broker 1, and the others, which answer when they are told to."""

    node_id = 1

    def __init__(self) -> None:
        self.leaders = {HERE: 1, OTHER: 2, NOBODY: -1}
        self.here: list[frozenset[TopicPartition]] = []
        self.troubles: list[tuple[int, TopicPartition, object]] = []
        self.asked: list[tuple[int, WriteTxnMarkersRequest]] = []
        self.answers: list[Told] = []
        self.markers = RoutedMarkers(cast(LocalMarkers, self), cast(Metadata, self), self._ask)

    @property
    def image(self) -> Cluster:
        return self

    def partition(self, topic: str, index: int) -> Led | None:
        found = self.leaders.get(TopicPartition(topic, index))
        return None if found is None else Led(found)

    def write(self, ending: Ending, partitions: frozenset[TopicPartition]) -> Pending[frozenset[TopicPartition]]:
        self.here.append(partitions)
        return completed(COMMITTED)

    def tell_trouble(self, producer_id: int, to: TopicPartition, error: object) -> None:
        self.troubles.append((producer_id, to, error))

    def tell_written(self, producer_id: int, to: TopicPartition) -> None: ...

    def _ask(self, broker_id: int, message: Any, told: Told) -> None:
        self.asked.append((broker_id, message))
        self.answers.append(told)

    def answer(self, code: ErrorCode) -> None:
        """To the request that is on its way, the same for every partition."""
        _, request = self.asked[-1]
        markers = []
        for marker in request.markers:
            topics = [
                WritableTxnMarkerTopicResult(
                    topic.name, [WritableTxnMarkerPartitionResult(each, code) for each in topic.partition_indexes]
                )
                for topic in marker.topics
            ]
            markers.append(WritableTxnMarkerResult(marker.producer_id, topics))
        self.answers.pop()(WriteTxnMarkersResponse(markers))


def test_each_partition_is_written_by_who_leads_it() -> None:
    """One without a leader is to be tried again, and one that does not exist needs nothing."""
    cluster = Cluster()
    outcome = cluster.markers.write(ENDING, frozenset({HERE, OTHER, NOBODY, GONE}))
    assert cluster.here == [{HERE}]
    [(broker_id, request)] = cluster.asked
    (marker,) = request.markers
    assert broker_id == 2
    assert (marker.producer_id, marker.producer_epoch, marker.transaction_result) == (7, 3, True)
    assert (marker.coordinator_epoch, marker.transaction_version) == (5, 2)
    assert [(topic.name, topic.partition_indexes) for topic in marker.topics] == [("t", [OTHER.partition])]
    assert not outcome.done
    cluster.answer(ErrorCode.NONE)
    assert outcome.value == {NOBODY}


def test_nothing_is_asked_where_every_partition_is_gone() -> None:
    cluster = Cluster()
    assert cluster.markers.write(ENDING, frozenset({GONE})).value == frozenset()
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("code", "is_over", "is_told"),
    [
        (ErrorCode.NONE, True, False),
        (ErrorCode.INVALID_PRODUCER_EPOCH, True, True),
        (ErrorCode.TRANSACTION_COORDINATOR_FENCED, False, True),
        (ErrorCode.NOT_LEADER_OR_FOLLOWER, False, False),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, False, False),
        (ErrorCode.NOT_ENOUGH_REPLICAS, False, False),
        (ErrorCode.REQUEST_TIMED_OUT, False, True),
        (ErrorCode.KAFKA_STORAGE_ERROR, False, True),
    ],
)
def test_what_an_answer_means(code: ErrorCode, is_over: bool, is_told: bool) -> None:
    cluster = Cluster()
    outcome = cluster.markers.write(ENDING, frozenset({OTHER}))
    cluster.answer(code)
    assert outcome.value == (frozenset() if is_over else {OTHER})
    assert cluster.troubles == ([(7, OTHER, code.name)] if is_told else [])


def test_a_broker_that_cannot_be_reached_is_tried_again_where_the_leader_is_then() -> None:
    cluster = Cluster()
    first = cluster.markers.write(ENDING, frozenset({OTHER}))
    second = cluster.markers.write(ENDING._replace(producer_id=8), frozenset({OTHER}))
    cluster.answers.pop()(Refusal(ErrorCode.NETWORK_EXCEPTION, "gone"))
    assert first.value == {OTHER}
    cluster.answers.pop()(Refusal(ErrorCode.NETWORK_EXCEPTION, "gone"))
    assert second.value == {OTHER}
    cluster.leaders[OTHER] = 3
    again = cluster.markers.write(ENDING, frozenset({OTHER}))
    assert cluster.asked[-1][0] == 3
    cluster.answer(ErrorCode.NONE)
    assert again.value == frozenset() and cluster.troubles == []
