"""When a consumer group may be assigned anew."""

from __future__ import annotations

from tests.scenario.group_bench import GroupBench

from tailrace.base.clock import ManualClock
from tailrace.coordinator.consumer_groups.limits import ASSIGNMENT_CHEAP_MS, ASSIGNMENT_PAUSE_FACTOR
from tailrace.coordinator.consumer_groups.pace import Pace
from tailrace.coordinator.groups.joining import Caller
from tailrace.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)


def paced(cost_ms: float) -> Pace:
    pace = Pace()
    pace.note(1_000.0, 1_000.0 + cost_ms)
    return pace


def test_the_first_assignment_is_made_at_once() -> None:
    assert Pace().wait_ms(0.0, 1_000) <= 0


def test_a_cheap_assignment_is_followed_by_the_next_at_once() -> None:
    assert paced(ASSIGNMENT_CHEAP_MS - 0.1).wait_ms(1_005.0, 1_000) <= 0


def test_a_costly_one_is_followed_by_a_pause_in_proportion() -> None:
    pace = paced(10.0)
    assert pace.wait_ms(1_010.0, 1_000) == 10.0 * ASSIGNMENT_PAUSE_FACTOR
    assert pace.wait_ms(1_010.0 + 150.0, 1_000) == 10.0 * ASSIGNMENT_PAUSE_FACTOR - 150.0
    assert pace.wait_ms(1_010.0 + 10.0 * ASSIGNMENT_PAUSE_FACTOR, 1_000) <= 0


def test_the_setting_bounds_the_pause_and_zero_means_none() -> None:
    pace = paced(400.0)
    assert pace.wait_ms(1_400.0, 1_000) == 1_000.0
    assert pace.wait_ms(1_400.0, 0) <= 0


class SlowClock(ManualClock):
    """A clock on which an assignment takes time: each reading does."""

    def monotonic_ms(self) -> float:
        self.advance(ASSIGNMENT_CHEAP_MS)
        return super().monotonic_ms()


def test_members_that_come_in_a_pause_are_assigned_together_after_it() -> None:
    bench = GroupBench()
    bench.image.add("t", 4)
    clock = bench.groups._clock = SlowClock()

    def beat(member_id: str, epoch: int) -> ConsumerGroupHeartbeatResponse:
        request = ConsumerGroupHeartbeatRequest("g", member_id, epoch)
        if epoch == 0:
            request.rebalance_timeout_ms, request.subscribed_topic_names = 1_000, ["t"]
            request.topic_partitions = []
        return bench.groups.consumer_group_heartbeat(request, Caller(1, "c", "h")).value

    def owned(response: ConsumerGroupHeartbeatResponse) -> int:
        assert response.assignment is not None
        return sum(len(topic.partitions) for topic in response.assignment.topic_partitions)

    beat("a", 0)
    assert owned(beat("b", 0)) == 0, "they are the other's still"
    for name in ("c", "d"):
        waiting = beat(name, 0)
        assert owned(waiting) == 0
        assert 0 < waiting.heartbeat_interval_ms <= ASSIGNMENT_CHEAP_MS * ASSIGNMENT_PAUSE_FACTOR
    group = bench.groups.find_group("g")
    assert group is not None and group.consumer is not None
    assert (group.consumer.epoch, group.consumer.target_epoch) == (5, 3), "two changes, and no assignment yet"
    clock.advance(ASSIGNMENT_CHEAP_MS * ASSIGNMENT_PAUSE_FACTOR)
    usual_ms = bench.settings.consumer.group_consumer_heartbeat_interval_ms
    assert beat("d", waiting.member_epoch).heartbeat_interval_ms == usual_ms
    assert group.consumer.target_epoch == 5
    assert sorted(map(len, group.consumer.targets.values())) == [1, 1, 1, 1]
