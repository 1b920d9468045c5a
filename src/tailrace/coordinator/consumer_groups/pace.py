"""How often one group is assigned anew: at once while that is cheap, seldom where it is not.

A thousand members that join one after the other would have ten thousand partitions assigned a thousand times. So an
assignment that took time is followed by a pause in proportion to it, at most `group.consumer.assignment.interval.ms`
(KIP-1263). Changes in the pause raise the group's epoch; the first heartbeat after it assigns for all of them.
Lost with the process: then the next assignment is made at once. Kafka pauses for the whole interval, however cheap.
"""

from __future__ import annotations

from tailrace.coordinator.consumer_groups.limits import ASSIGNMENT_CHEAP_MS, ASSIGNMENT_PAUSE_FACTOR


class Pace:
    """Of one group. Times are monotonic milliseconds."""

    __slots__ = ("_cost_ms", "_ended_ms")

    def __init__(self) -> None:
        self._ended_ms = 0.0
        self._cost_ms = 0.0

    def note(self, begun_ms: float, ended_ms: float) -> None:
        """An assignment was computed."""
        self._ended_ms = ended_ms
        self._cost_ms = ended_ms - begun_ms

    def wait_ms(self, now_ms: float, interval_ms: int) -> float:
        """How long until the next assignment may be computed; 0 or less: now."""
        if self._cost_ms < ASSIGNMENT_CHEAP_MS:
            return 0.0
        return self._ended_ms + min(self._cost_ms * ASSIGNMENT_PAUSE_FACTOR, interval_ms) - now_ms
