"""Produce to topics with `flush.before.ack`: acks=all is answered when the device has it, acks=1 after the append."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from broker_bench import Bench, only
from tests.support.held_background import HeldBackground
from tests.support.log_support import idempotent_batch

from tailrace.base.errors import ErrorCode
from tailrace.base.limits import MARKER_WAIT_MAX_MS
from tailrace.base.pending import Pending
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.broker.handlers import offset_commit, produce, write_txn_markers
from tailrace.records.builder import BatchBuilder
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tailrace.wire.messages.write_txn_markers import WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest


class Held(NamedTuple):
    bench: Bench
    syncing: HeldBackground


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    syncing = HeldBackground()
    made = Bench(tmp_path, settings={"log.flush.before.ack": "true"}, syncing=syncing)
    yield Held(made, syncing)
    made.logs.shut_down()


def records() -> bytearray:
    builder = BatchBuilder()
    builder.append(1_700_000_000_000, b"k", b"v")
    return builder.build()


def send(bench: Bench, *partitions: tuple[str, int], acks: int = -1, timeout_ms: int = 1000, **more: Any) -> Any:
    batch = more.get("batch")
    data = [
        TopicProduceData(topic, ZERO_TOPIC_ID, [PartitionProduceData(index, batch or records())])
        for topic, index in partitions
    ]
    return produce.handle(bench.services, bench.context(0, 9), ProduceRequest(None, acks, timeout_ms, data))


def codes(response: Any) -> list[int]:
    answer = response.value if isinstance(response, Pending) else response
    return [partition.error_code for topic in answer.responses for partition in topic.partition_responses]


def test_acks_all_waits_for_the_device_and_acks_1_does_not(held: Held) -> None:
    held.bench.topic("a")
    waiting = send(held.bench, ("a", 0))
    assert isinstance(waiting, Pending)
    assert codes(send(held.bench, ("a", 0), acks=1)) == [0]
    assert send(held.bench, ("a", 0), acks=0) is None
    assert not waiting.done
    held.syncing.run()
    assert codes(waiting) == [0]
    assert only(only(waiting.value.responses).partition_responses).base_offset == 0


def test_every_partition_of_a_request_is_waited_for(held: Held) -> None:
    held.bench.topic("a", 2)
    waiting = send(held.bench, ("a", 0), ("a", 1), ("unknown", 0))
    held.syncing.run(1)
    assert not waiting.done
    held.syncing.run()
    assert codes(waiting) == [0, 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]


def test_what_takes_too_long_is_timed_out_and_stays(held: Held) -> None:
    """Kafka's DelayedProduce: the offset is told all the same."""
    first, second = held.bench.topic("a", 2)
    waiting = send(held.bench, ("a", 0), ("a", 1), timeout_ms=300)
    held.bench.advance(200)
    held.syncing.run()
    assert not waiting.done
    held.bench.advance(200)
    assert codes(waiting) == [0, ErrorCode.REQUEST_TIMED_OUT]
    held.syncing.run()
    assert (first.high_watermark, second.high_watermark) == (1, 1)


def test_a_retry_is_not_acknowledged_before_the_first(held: Held) -> None:
    held.bench.topic("a")
    first = send(held.bench, ("a", 0), batch=bytearray(idempotent_batch(0)))
    again = send(held.bench, ("a", 0), batch=bytearray(idempotent_batch(0)))
    assert not again.done
    held.syncing.run()
    assert (codes(first), codes(again)) == ([0], [0])
    assert len(held.syncing) == 0, "the retry asked for no sync of its own"


def test_a_topic_deleted_meanwhile_fails_those_who_wait(held: Held) -> None:
    held.bench.topic("a")
    waiting = send(held.bench, ("a", 0))
    held.bench.delete_topic("a")
    assert codes(waiting) == [ErrorCode.NOT_LEADER_OR_FOLLOWER]
    held.syncing.run()


def test_a_topic_may_choose_for_itself(held: Held) -> None:
    held.bench.topic("fast", flush_before_ack="false")
    assert codes(send(held.bench, ("fast", 0))) == [0]


def test_flush_messages_keeps_acks_1_waiting_too(tmp_path: Path) -> None:
    syncing = HeldBackground()
    bench = Bench(tmp_path, syncing=syncing)
    bench.topic("a", flush_messages="2")
    assert codes(send(bench, ("a", 0), acks=1)) == [0]
    waiting = send(bench, ("a", 0), acks=1)
    assert isinstance(waiting, Pending)
    syncing.run()
    assert codes(waiting) == [0]
    bench.logs.shut_down()


def test_a_committed_offset_waits_for_the_device_and_is_not_told_before(held: Held) -> None:
    """The coordinators' topic follows the broker's setting."""
    held.bench.topic("a")
    held.bench.services.auto_create("__consumer_offsets")
    partition = OffsetCommitRequestPartition(0, 42)
    request = OffsetCommitRequest(group_id="g", topics=[OffsetCommitRequestTopic("a", partitions=[partition])])
    waiting = offset_commit.handle(held.bench.services, held.bench.context(8, 2), request)
    assert isinstance(waiting, Pending)
    assert not waiting.done
    held.syncing.run_all()
    assert only(only(waiting.value.topics).partitions).error_code == 0


def test_a_marker_that_is_not_committed_in_time_is_to_be_asked_for_again(held: Held) -> None:
    """Another broker's coordinator asks, and must not wait for one partition before it hears of the others."""
    held.bench.topic("t", partitions=2)
    held.syncing.run_all()
    topics = [WritableTxnMarkerTopic("t", [0, 1, 7])]
    request = WriteTxnMarkersRequest([WritableTxnMarker(7, 0, True, topics, 0, 0)])
    response = write_txn_markers.handle(held.bench.services, held.bench.context(27, 1), request)
    assert isinstance(response, Pending) and not response.done
    held.bench.advance(MARKER_WAIT_MAX_MS)
    found = [each.error_code for each in response.value.markers[0].topics[0].partitions]
    late, unknown = ErrorCode.REQUEST_TIMED_OUT, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert found == [late, late, unknown]
    held.syncing.run_all()  # the markers are committed all the same, and nobody is answered twice
