"""A pool of threads that does nothing until it is told: what is submitted waits, and is run piece by piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class HeldBackground:
    """Holds work back, in the order of its coming."""

    def __init__(self) -> None:
        self._held: deque[tuple[Callable[[], Any], Callable[[Any], object]]] = deque()

    def __len__(self) -> int:
        return len(self._held)

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        self._held.append((work, done))

    def take(self) -> tuple[Callable[[], Any], Callable[[Any], object]]:
        """The oldest piece and what follows it, for who wants to do it another way."""
        return self._held.popleft()

    def run(self, index: int = 0) -> None:
        """Do one piece of work and tell its end."""
        work, done = self._held[index]
        del self._held[index]
        try:
            result = work()
        except Exception as error:
            result = error
        done(result)

    def run_all(self) -> None:
        """Everything, and what follows from it."""
        while self._held:
            self.run()
