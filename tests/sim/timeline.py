"""Virtual time: what is to happen, in the order it is due, and a digest of all that did.

Time stands still while code runs and jumps to what is due next. Two things due at one moment happen in the order they
were asked for. Chance comes from one generator, so a seed says everything.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from random import Random

START_MS = 1_700_000_000_000.0


class Timeline:
    """The agenda of one simulated world."""

    def __init__(self, seed: int) -> None:
        self.now_ms = START_MS
        self.random = Random(seed)
        self.count = 0
        """Things that happened."""
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def at(self, delay_ms: float, action: Callable[[], object]) -> None:
        """Have `action` happen `delay_ms` >= 0 from now."""
        self._serial += 1
        heapq.heappush(self._agenda, (self.now_ms + delay_ms, self._serial, action))

    def step(self) -> bool:
        """Let the next thing happen; False where nothing is left to."""
        if not self._agenda:
            return False
        due_ms, _, action = heapq.heappop(self._agenda)
        self.now_ms = max(self.now_ms, due_ms)
        self.count += 1
        action()
        return True

    def note(self, what: bytes) -> None:
        """Take `what` happens now into the digest."""
        self._digest.update(b"%f " % self.now_ms)
        self._digest.update(what)

    @property
    def digest(self) -> str:
        """Of everything noted so far: equal for equal runs."""
        return self._digest.hexdigest()

    @property
    def passed_ms(self) -> float:
        """Since the beginning."""
        return self.now_ms - START_MS

    # chance

    def chance(self, probability: float) -> bool:
        """True in so many of all cases."""
        return self.random.random() < probability

    def uniform(self, low: float, high: float) -> float:
        """A number between the two."""
        return self.random.uniform(low, high)
