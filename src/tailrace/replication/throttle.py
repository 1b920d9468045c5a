"""How many bytes a second replicas that are being moved may take, as their leader or as their followers.

    used in the window, with what is counted now ── over rate x length ──> replicas out of sync wait

A window is so many samples of so many seconds, and counts as full but for one of them: what was not used in the first
seconds may be used at once. Replicas in sync are counted, and never held back.
One owner, the loop's thread. Not its business: which replicas it is for, how they wait.
Source: Kafka ReplicationQuotaManager, Rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from tailrace.base.clock import Clock


class ThrottleLimits(NamedTuple):
    """The setting `*.replication.throttled.rate`, and `replication.quota.window.*`."""

    bytes_per_s: int
    window_samples: int = 11
    sample_s: int = 1


class Throttle:
    """One broker's, of one direction."""

    __slots__ = ("_clock", "_limits", "_samples", "_total_bytes")

    def __init__(self, clock: Clock, limits: Callable[[], ThrottleLimits]) -> None:
        """`limits` may change from one call to the next."""
        self._clock = clock
        self._limits = limits
        self._samples: deque[tuple[int, int]] = deque()
        """(number of the sample, bytes); at most as many as the window has."""
        self._total_bytes = 0

    def note(self, size_bytes: int) -> None:
        """So much went by."""
        number = self._forget_old(self._limits())
        if self._samples and self._samples[-1][0] == number:
            size_of_sample = self._samples.pop()[1] + size_bytes
        else:
            size_of_sample = size_bytes
        self._samples.append((number, size_of_sample))
        self._total_bytes += size_bytes

    def is_exceeded(self) -> bool:
        """Whether those that may be held back have to wait."""
        limits = self._limits()
        self._forget_old(limits)
        length_s = max(limits.window_samples - 1, 1) * limits.sample_s
        return self._total_bytes > limits.bytes_per_s * length_s

    def _forget_old(self, limits: ThrottleLimits) -> int:
        """Let go of what is out of the window; answers the number of the present sample."""
        number = int(self._clock.monotonic_ms() // (1000 * limits.sample_s))
        while self._samples and self._samples[0][0] <= number - limits.window_samples:
            self._total_bytes -= self._samples.popleft()[1]
        return number


def names_replica(throttled: object, partition: int, broker_id: int) -> bool:
    """Whether a topic's setting `*.replication.throttled.replicas`, parsed, names a replica: "partition:broker", or "*"
    for all."""
    assert isinstance(throttled, tuple)
    return bool(throttled) and ("*" in throttled or f"{partition}:{broker_id}" in throttled)
