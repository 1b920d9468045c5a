"""Group commit against power loss: what was acknowledged, or could be read, is there afterwards, whatever else is gone.

Producers append to two partitions with `flush.before.ack`; the syncs end when it pleases hypothesis, in any order; the
power goes at any moment. Issue "Storage": an honest stronger guarantee than the page cache.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.held_background import HeldBackground
from tests.support.log_support import START_MS, batch_of, read_values
from tests.support.power_loss_disk import PowerLossDisk, Survival

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode
from tailrace.base.rand import SeededRandom
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.logs import Logs
from tailrace.replication.partition import Partition

CONFIG = LogConfig(flush_before_ack=True, segment_bytes=400, index_interval_bytes=100, file_delete_delay_ms=0)
PARTITIONS = [TopicPartition("topic", index) for index in range(2)]
TOPIC_ID = UUID(int=1)
INDEX = st.integers(0, 1)
STEPS = st.one_of(
    st.tuples(st.just("append"), INDEX, st.integers(1, 3)),
    st.tuples(st.just("append"), INDEX, st.integers(1, 3)),
    st.tuples(st.just("sync"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("background"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("checkpoint"), st.just(0), st.just(0)),
    st.tuples(st.just("delete"), INDEX, st.integers(0, 5)),
)


class Broker:
    """Two partitions, their producers, and what these were told."""

    def __init__(self, root: Path) -> None:
        self.disk = PowerLossDisk(root)
        self.syncing, self.background = HeldBackground(), HeldBackground()
        env = LogEnvironment(self.disk, ManualClock(START_MS), SeededRandom(1), self.background, syncing=self.syncing)
        self.logs = Logs([root], env, lambda topic: CONFIG)
        self.logs.load_all(lambda topic: TOPIC_ID)
        self.partitions = [Partition(self.logs.create(tp, TOPIC_ID), TOPIC_ID, 1, [1]) for tp in PARTITIONS]
        for partition in self.partitions:
            partition.become_leader(0)
        self.appended: list[dict[int, bytes]] = [{}, {}]
        self.acknowledged = [0, 0]

    def append(self, index: int, count: int) -> None:
        partition = self.partitions[index]
        value = b"%d" % partition.log_end_offset
        info = partition.append(batch_of(count, value=value))
        self.appended[index].update(dict.fromkeys(range(info.first_offset, info.last_offset + 1), value))
        assert partition.must_wait(info.last_offset + 1, -1)
        partition.wait_committed(info.last_offset + 1, partial(self.told, index, info.last_offset + 1))

    def told(self, index: int, offset: int, code: ErrorCode | None) -> None:
        assert code is None
        assert self.partitions[index].log.flushed_offset >= offset
        self.acknowledged[index] = max(self.acknowledged[index], offset)

    def delete(self, index: int, count: int) -> None:
        partition = self.partitions[index]
        partition.delete_records(min(partition.log_start_offset + count, partition.high_watermark))

    def step(self, name: str, index: int, count: int) -> None:
        if name == "append":
            self.append(index, count)
        elif name == "delete":
            self.delete(index, count)
        elif name == "checkpoint":
            self.logs.write_checkpoints()
        else:
            held = self.syncing if name == "sync" else self.background
            if len(held):
                held.run(index % len(held))
        for partition, acknowledged in zip(self.partitions, self.acknowledged, strict=True):
            assert acknowledged <= partition.high_watermark <= partition.log.flushed_offset


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=40), seed=st.integers(0, 1 << 30), survival=st.sampled_from(Survival))
def test_what_was_acknowledged_or_readable_survives(
    steps: list[tuple[str, int, int]], seed: int, survival: Survival
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root, after = Path(directory, "before"), Path(directory, "after")
        root.mkdir()
        broker = Broker(root)
        for step in steps:
            broker.step(*step)
        broker.disk.lose_power(after, seed, survival)
        env = LogEnvironment(clock=ManualClock(START_MS), random=SeededRandom(2))
        again = Logs([after], env, lambda topic: CONFIG)
        again.load_all(lambda topic: TOPIC_ID)
        for index, partition in enumerate(broker.partitions):
            start, end = partition.log_start_offset, partition.high_watermark
            log = again.get(PARTITIONS[index])
            if end > start:
                assert log is not None
                found = dict(read_values(log))
                assert log.log_start_offset <= start
                assert [found.get(offset) for offset in range(start, end)] == [
                    broker.appended[index][offset] for offset in range(start, end)
                ]
            if log is not None:
                assert all(broker.appended[index][offset] == value for offset, value in read_values(log))
        broker.logs.abandon()
        again.abandon()
