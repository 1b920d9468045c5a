"""Long work in the loop's thread, cut into turns between which requests are answered.

Not its business: work that waits for the disk and nothing else (`background`), when rounds begin (`upkeep`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tailrace.base.clock import Clock
from tailrace.base.limits import ROUND_TURN_MS


def take_turn(steps: Iterator[object], clock: Clock) -> bool:
    """Take as many steps as fit into a turn; whether there may be more."""
    end_ms = clock.monotonic_ms() + ROUND_TURN_MS
    return any(clock.monotonic_ms() >= end_ms for _ in steps)


class Turns:
    """Gives out the loop's time. `post` runs a callback after the events that have come by then."""

    __slots__ = ("_clock", "_post")

    def __init__(self, clock: Clock, post: Callable[[Callable[[], object]], object]) -> None:
        self._clock = clock
        self._post = post

    def run(self, steps: Iterator[object]) -> None:
        """Take as many steps as fit into a turn now, and the others in turns of their own. They must not raise."""
        if take_turn(steps, self._clock):
            self._post(partial(self.run, steps))
