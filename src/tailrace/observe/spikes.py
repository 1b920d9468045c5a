"""Whether a process has changed suddenly: its figures against their recent mean, once in a while.

A figure is a spike when it is above its floor, a quarter above the mean of the last looks, and a step above it. After
one spike nothing is told for SPIKE_COOL_DOWN_MS, whatever else happens: one profile explains, ten fill a disk. Source:
the idea of mosn/holmes.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from tailrace.observe.limits import SPIKE_COOL_DOWN_MS, SPIKE_LOOKS

_RISE: Final = 1.25


class Figures(NamedTuple):
    """What is looked at. `cpu_percent`: 100 is one core."""

    cpu_percent: float
    memory_bytes: float
    task_count: float


class Spike(NamedTuple):
    """What rose. `figure` is a field of Figures."""

    figure: str
    reason: str


FLOORS: Final = Figures(60, 128 * 1024 * 1024, 100)
STEPS: Final = Figures(30, 64 * 1024 * 1024, 100)


class Spikes:
    """The figures of one process, look by look."""

    def __init__(self) -> None:
        self._recent: deque[Figures] = deque(maxlen=SPIKE_LOOKS)
        self._quiet_until_ms = float("-inf")

    def look(self, figures: Figures, now_ms: float) -> Spike | None:
        """Note the figures; what has risen, unless something was told lately or too little is known yet."""
        recent = list(self._recent)
        self._recent.append(figures)
        if len(recent) < SPIKE_LOOKS // 2 or now_ms < self._quiet_until_ms:
            return None
        for at, figure in enumerate(Figures._fields):
            value, mean = figures[at], sum(look[at] for look in recent) / len(recent)
            if value >= FLOORS[at] and value >= mean * _RISE and value >= mean + STEPS[at]:
                self._quiet_until_ms = now_ms + SPIKE_COOL_DOWN_MS
                return Spike(figure, f"{figure} is {value:.0f}, the mean of the last {len(recent)} looks {mean:.0f}")
        return None
