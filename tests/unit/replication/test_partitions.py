"""The leader's rules over one log, and the lookup of partitions."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log
from tailrace.records.builder import BatchBuilder
from tailrace.replication.partition import IsolationLevel, Partition
from tailrace.replication.partitions import Partitions

ID = UUID(int=5)
START_MS = 1_700_000_000_000


@pytest.fixture
def partition(tmp_path: Path) -> Partition:
    environment = LogEnvironment(clock=ManualClock(START_MS))
    log = Log.open(tmp_path / "t-0", TopicPartition("t", 0), LogConfig(), environment, was_clean=True)
    made = Partition(log, ID, 1, [1])
    made.become_leader(3)
    return made


def append(partition: Partition, count: int, timestamp_ms: int = START_MS) -> None:
    builder = BatchBuilder()
    for index in range(count):
        builder.append(timestamp_ms + index, None, b"v")
    partition.append(memoryview(builder.build()))


def refusal(partition: Partition, epoch: int) -> ErrorCode | None:
    try:
        partition.check_leader_epoch(epoch)
    except KafkaError as error:
        return error.code
    return None


def test_one_replica_commits_what_it_appends(partition: Partition) -> None:
    append(partition, 3)
    assert (partition.log_end_offset, partition.high_watermark, partition.last_stable_offset) == (3, 3, 3)


def test_waiters_are_told_of_each_append_until_they_leave(partition: Partition) -> None:
    told: list[int] = []

    def waiter(woken: Partition) -> None:
        told.append(woken.high_watermark)

    partition.add_waiter(waiter)
    append(partition, 1)
    append(partition, 1)
    partition.remove_waiter(waiter)
    partition.remove_waiter(waiter)
    append(partition, 1)
    assert told == [1, 2]


def test_other_epochs_are_fenced(partition: Partition) -> None:
    assert [refusal(partition, epoch) for epoch in (-1, 3, 2, 4)] == [
        None,
        None,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
    ]


def test_offsets_carry_the_epoch_they_were_written_in(partition: Partition) -> None:
    append(partition, 2)
    partition.become_leader(4)
    append(partition, 2)
    isolation = IsolationLevel.READ_UNCOMMITTED
    assert partition.offset_for(-2, isolation) == (-1, 0, 3)
    assert partition.offset_for(-1, isolation) == (-1, 4, 4)
    assert partition.offset_for(START_MS + 1, isolation) == (START_MS + 1, 1, 3)
    assert partition.log.end_offset_for_epoch(3) == (3, 2)


def test_lookup_by_name_and_id_ends_with_the_topic(partition: Partition) -> None:
    partitions = Partitions()
    partitions.add(partition)
    assert partitions.get("t", 0) is partition
    assert partitions.get("t", 1) is None
    assert partitions.name_of(ID) == "t"
    assert partitions.remove(TopicPartition("t", 0)) is partition
    assert partitions.remove(TopicPartition("t", 0)) is None
    partitions.remove_topic(ID)
    assert partitions.name_of(ID) is None
    with pytest.raises(KafkaError) as caught:
        partitions.of("t", 0)
    assert caught.value.code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_partition_is_led_when_first_asked_for(partition: Partition) -> None:
    partitions = Partitions()
    asked: list[tuple[str, int]] = []

    def lead(topic: str, index: int) -> Partition | None:
        asked.append((topic, index))
        if (topic, index) != ("t", 0):
            return None
        partitions.add(partition)
        return partition

    partitions.lead_missing = lead
    assert list(partitions) == [] and partitions.get_present("t", 0) is None
    assert partitions.of("t", 0) is partition
    assert partitions.get("t", 0) is partition
    assert partitions.get("t", 1) is None
    assert asked == [("t", 0), ("t", 1)]
    partitions.take_offline(partition.topic_partition, ID)
    assert partitions.get("t", 0) is None
    partitions.clear()
    assert partitions.get("t", 0) is None
    assert asked == [("t", 0), ("t", 1)], "neither what is offline nor after the end"
