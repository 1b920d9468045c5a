"""Who waits for a commit is told once: that it came, or why it will not."""

from __future__ import annotations

import errno
from pathlib import Path
from uuid import UUID

import pytest
from tests.support.held_background import HeldBackground
from tests.support.log_support import PARTITION, batch_of

from tailrace.base.errors import ErrorCode, StorageError
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log
from tailrace.replication.commit_waits import CommitWaits
from tailrace.replication.partition import Partition
from tailrace.replication.partitions import Partitions

ID = UUID(int=5)


def test_told_in_order_up_to_the_high_watermark() -> None:
    waits = CommitWaits()
    told: list[tuple[str, ErrorCode | None]] = []
    waits.add(3, lambda code: told.append(("a", code)))
    waits.add(3, lambda code: told.append(("b", code)))
    cancelled = waits.add(4, lambda code: told.append(("c", code)))
    waits.add(5, lambda code: told.append(("d", code)))
    waits.on_high_watermark(2)
    assert told == []
    waits.on_high_watermark(3)
    assert told == [("a", None), ("b", None)]
    waits.cancel(cancelled)
    waits.fail(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    assert told[2:] == [("d", ErrorCode.NOT_LEADER_OR_FOLLOWER)]
    waits.on_high_watermark(9)
    assert len(told) == 3
    assert len(waits) == 0


class Bench:
    """A partition that commits what is on the device, which waits to be let go."""

    def __init__(self, directory: Path) -> None:
        self.syncing = HeldBackground()
        self.told: list[ErrorCode | None] = []
        self.partition = Partition(
            Log.open(
                directory,
                PARTITION,
                LogConfig(flush_before_ack=True),
                LogEnvironment(syncing=self.syncing),
                was_clean=True,
            ),
            ID,
            1,
            [1],
        )
        self.partition.become_leader(0)

    def append(self) -> int:
        """The offset to wait for."""
        offset = self.partition.append(batch_of(2)).last_offset + 1
        self.partition.wait_committed(offset, self.told.append)
        return offset


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "topic-0")


def test_nobody_sees_a_record_before_it_is_on_the_device(bench: Bench) -> None:
    partition = bench.partition
    woken: list[int] = []
    partition.add_waiter(lambda p: woken.append(p.high_watermark))
    offset = bench.append()
    assert partition.must_wait(offset, -1)
    assert not partition.must_wait(offset, 1)
    assert (partition.high_watermark, bench.told, woken) == (0, [], [])
    assert partition.read(0, 1000, 0, min_one_batch=True).size == 0
    bench.syncing.run()
    assert (partition.high_watermark, bench.told, woken) == (2, [None], [2])
    assert not partition.must_wait(offset, -1)
    partition.wait_committed(offset, bench.told.append)
    assert bench.told == [None, None], "at once"


def test_a_failed_sync_is_told_to_those_who_wait_and_to_those_who_come(bench: Bench) -> None:
    bench.append()
    bench.append()
    bench.syncing._held[0] = (_failing_sync, bench.syncing._held[0][1])
    bench.syncing.run()
    assert bench.told == [ErrorCode.KAFKA_STORAGE_ERROR] * 2
    bench.append()
    assert bench.told == [ErrorCode.KAFKA_STORAGE_ERROR] * 3
    assert bench.partition.high_watermark == 0


def _failing_sync() -> None:
    raise StorageError("fsync", "x", OSError(errno.EIO, "injected"))


def test_a_partition_that_goes_away_says_so(bench: Bench) -> None:
    partitions = Partitions()
    partitions.add(bench.partition)
    bench.append()
    partitions.remove(PARTITION)
    assert bench.told == [ErrorCode.NOT_LEADER_OR_FOLLOWER]
    partitions.add(bench.partition)
    bench.append()
    partitions.take_offline(TopicPartition("topic", 0), ID)
    assert bench.told[1:] == [ErrorCode.KAFKA_STORAGE_ERROR]


def test_what_an_unclean_end_left_is_flushed_before_it_is_shown(bench: Bench, tmp_path: Path) -> None:
    """Its bytes may be in the page cache alone."""
    bench.append()
    bench.partition.log.abandon()
    again = Log.open(tmp_path / "topic-0", PARTITION, LogConfig(flush_before_ack=True), LogEnvironment())
    assert (again.log_end_offset, again.flushed_offset) == (2, 0)
    partition = Partition(again, ID, 1, [1])
    partition.become_leader(1)
    assert (again.flushed_offset, partition.high_watermark) == (2, 2)
