"""Brokers that are cut off, paused, killed and restarted at random: no two serve one partition, and all heals."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.memberships import INTERVAL_MS, STEP_MS, TIMEOUT_MS, World

BROKERS = (1, 2, 3)
OPERATIONS = ("cut", "mend", "pause", "resume", "kill", "restart", "stop")
PARTITIONS = ((1, 2, 3), (2, 3), (3, 1), (1,))

EXAMPLES = int(os.environ.get("TAILRACE_MEMBERSHIP_SCHEDULES", "60"))

steps = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.sampled_from(BROKERS), st.integers(0, 2 * TIMEOUT_MS // STEP_MS)),
    max_size=25,
)


class Schedule:
    """A world under a schedule, looked at after every step of time."""

    def __init__(self) -> None:
        self.world = World()
        for broker_id in BROKERS:
            self.world.start(broker_id)
        self.world.create(*PARTITIONS)

    def do(self, operation: str, broker_id: int) -> None:
        broker = self.world.brokers.get(broker_id)
        if broker is None:
            if operation == "restart":  # connected: it is its later life that may be cut off
                self.world.start(broker_id)
            return
        match operation:
            case "cut":
                broker.store.is_cut = True
            case "mend":
                broker.store.is_cut = False
            case "pause":
                broker.pause()
            case "resume":
                broker.resume()
                self.check()  # a client's request may come before any timer
                broker.store.hear()
            case "kill":
                broker.die()
                del self.world.brokers[broker_id]
            case "stop" if not broker.store.is_cut and not broker.store.is_paused:
                broker.stop()
                del self.world.brokers[broker_id]

    def check(self) -> None:
        for index in range(len(PARTITIONS)):
            serving = {
                broker_id: epoch
                for broker_id, broker in self.world.brokers.items()
                if (epoch := broker.leads("t", index)) is not None
            }
            assert len(serving) <= 1, f"partition {index} is served by {serving}"

    def advance(self, ms: float) -> None:
        for _ in range(int(ms / STEP_MS)):
            self.world.advance(STEP_MS)
            self.check()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_no_two_brokers_serve_one_partition_and_everything_heals(schedule: list[tuple[str, int, int]]) -> None:
    run = Schedule()
    for operation, broker_id, wait_steps in schedule:
        run.do(operation, broker_id)
        run.check()
        run.advance(wait_steps * STEP_MS)
    for broker_id in BROKERS:
        run.do("mend", broker_id)
        run.do("resume", broker_id)
        run.do("restart", broker_id)
    run.advance(2 * TIMEOUT_MS + 2 * INTERVAL_MS)
    world = run.world
    assert world.live == list(BROKERS)
    assert not any(world.fenced.values())
    versions = {broker.metadata.image.version for broker in world.brokers.values()}
    assert len(versions) == 1, "all see the same"
    for index in range(len(PARTITIONS)):
        leaders = [broker_id for broker_id, broker in world.brokers.items() if broker.leads("t", index) is not None]
        assert len(leaders) == 1, f"partition {index} is led by {leaders}"
