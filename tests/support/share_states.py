"""A share coordinator over a log in memory, with time that is told and topics that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from tests.scenario.group_bench import FakeGroupLog

from tailrace.base.clock import ManualClock
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.share_state.coordinator import ShareStateCoordinator
from tailrace.coordinator.share_state.ports import SharePartitionKey, StateBatch, StateWrite
from tailrace.coordinator.share_state.settings import ShareStateSettings
from tailrace.net.timers import TimingWheel

TOPIC = UUID(int=7)
KEY = SharePartitionKey("g", TOPIC, 0)


class FakeStateLog(FakeGroupLog):
    """A log that also has offsets and a start."""

    def __init__(self) -> None:
        super().__init__()
        self.start: dict[int, int] = {}

    def next_offset(self, partition: int) -> int:
        assert not self.is_holding or not self.held
        return len(self.committed.get(partition, ()))

    def records_with_offsets(self, partition: int) -> Iterator[tuple[int, CoordinatorRecord]]:
        start = self.start.get(partition, 0)
        return ((offset, each) for offset, each in enumerate(self.records(partition)) if offset >= start)

    def delete_before(self, partition: int, offset: int) -> bool:
        self.start[partition] = offset
        return True

    def kept(self) -> int:
        return sum(len(found) - self.start.get(index, 0) for index, found in self.committed.items())


class StateBench:
    """One partition of the topic, unless told otherwise."""

    def __init__(self, partitions: int = 1, updates_per_snapshot: int = 3) -> None:
        self.clock = ManualClock()
        self.log = FakeStateLog()
        self.topics: dict[UUID, Any] = {TOPIC: SimpleNamespace(partitions=[None] * 3)}
        self.settings = ShareStateSettings(updates_per_snapshot, partitions)
        self.restart()

    def restart(self) -> None:
        """The process ends and another begins."""
        self.log.lose()
        self.timers = TimingWheel(now_ms=self.clock.monotonic_ms(), read_ms=self.clock.monotonic_ms)
        image = cast(Any, SimpleNamespace(topic_by_id=self.topics.get))
        self.states = ShareStateCoordinator(self.settings, self.log, self.timers, self.clock, lambda: image)
        for partition in range(self.settings.share_coordinator_state_topic_num_partitions):
            self.states.load(partition)

    def advance(self, ms: int) -> None:
        self.clock.advance(ms)
        while self.timers.advance(self.clock.monotonic_ms()):
            pass


def write(*batches: StateBatch, start: int = -1, state_epoch: int = 1, leader_epoch: int = 0) -> StateWrite:
    """A leader's write."""
    return StateWrite(state_epoch, leader_epoch, start, 0, batches)
