"""Where work goes that waits for the disk or for another machine, so that its owner's thread does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Background(Protocol):
    """A small pool of threads, or, without one, the caller's own."""

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run `work` elsewhere; then `done(result or exception)` in the owner's thread."""
        ...


class InlineBackground:
    """Runs the work at once in the caller's thread. For tests and tools."""

    __slots__ = ()

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        try:
            result: T | Exception = work()
        except Exception as error:
            result = error
        done(result)
