"""The lane of requests that can wait: those of groups. A thousand members that come at once must not hold up a client
that produces or fetches.

They have `SLOW_LANE_TURN_MS` of each turn of the loop between them. What comes beyond it waits, and then everything of
theirs does, in the order of its coming, until the next turns have run it. Other requests are never here.
Invariant: one that waits runs exactly once, before any that came later. One owner, one thread: the loop's.
Source: the idea of a pool of its own for each kind of work; Kafka's request threads take everything from one queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.limits import SLOW_LANE_MAX_BYTES, SLOW_LANE_TURN_MS
from tailrace.wire.api import ApiKey

SLOW_KEYS: Final = frozenset(
    int(key)
    for key in (
        ApiKey.OFFSET_COMMIT,
        ApiKey.OFFSET_FETCH,
        ApiKey.JOIN_GROUP,
        ApiKey.HEARTBEAT,
        ApiKey.LEAVE_GROUP,
        ApiKey.SYNC_GROUP,
        ApiKey.DESCRIBE_GROUPS,
        ApiKey.TXN_OFFSET_COMMIT,
        ApiKey.CONSUMER_GROUP_HEARTBEAT,
        ApiKey.CONSUMER_GROUP_DESCRIBE,
    )
)
"""What a group's coordinator is asked. Their order among each other is kept; a client that needs one of them done
before something else waits for its answer."""


class _Waiting(NamedTuple):
    size: int
    run: Callable[[], object]


class SlowLane:
    """Shares out the loop's time. `post` runs a callback after the events of this turn."""

    __slots__ = ("_clock", "_end_ms", "_is_posted", "_post", "_waiting", "_waiting_bytes")

    def __init__(self, clock: Clock, post: Callable[[Callable[[], None]], object]) -> None:
        self._clock = clock
        self._post = post
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._end_ms = 0.0
        """When this turn's share is used up."""
        self._is_posted = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def is_free(self) -> bool:
        """Whether a request may be run at once; else it is to `wait`."""
        if self._is_posted:
            return not self._waiting and self._clock.monotonic_ms() < self._end_ms
        self._begin_turn()
        return True

    def wait(self, size: int, run: Callable[[], object]) -> None:
        """Run it when its turn comes. `size`: the bytes it keeps. Where they would be too many the oldest run now."""
        while self._waiting and self._waiting_bytes + size > SLOW_LANE_MAX_BYTES:
            self._run_oldest()
        self._waiting.append(_Waiting(size, run))
        self._waiting_bytes += size

    def _begin_turn(self) -> None:
        self._end_ms = self._clock.monotonic_ms() + SLOW_LANE_TURN_MS
        self._is_posted = True
        self._post(self._on_turn_over)

    def _on_turn_over(self) -> None:
        """The events of a turn are dealt with: go on with those that wait."""
        self._is_posted = False
        if not self._waiting:
            return
        self._begin_turn()
        while self._waiting:
            self._run_oldest()
            if self._clock.monotonic_ms() >= self._end_ms:
                return

    def _run_oldest(self) -> None:
        size, run = self._waiting.popleft()
        self._waiting_bytes -= size
        run()
