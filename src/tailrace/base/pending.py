"""A value that comes later: what a handler or a state machine returns when it cannot answer at once.

Not an asyncio.Future: it needs no event loop, so sans-IO code may use it; callbacks run at once, in the order they
were added, in the thread that completes it. One owner completes it, exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Pending(Generic[T]):
    """One-shot cell. Invariant: completed at most once; each callback runs exactly once."""

    __slots__ = ("_callbacks", "_done", "_value")

    def __init__(self) -> None:
        self._done = False
        self._value: T | None = None
        self._callbacks: list[Callable[[T], None]] = []

    @property
    def done(self) -> bool:
        """Whether the value is there."""
        return self._done

    @property
    def value(self) -> T:
        """The value. Asserts that it is there."""
        assert self._done, "value read before completion"
        return self._value  # type: ignore[return-value]

    def complete(self, value: T) -> None:
        """Give the value and run the callbacks. Asserts that it is the first call."""
        assert not self._done, "completed twice"
        self._done = True
        self._value = value
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(value)

    def on_complete(self, callback: Callable[[T], None]) -> None:
        """Run `callback(value)` when the value is there; at once when it already is."""
        if self._done:
            callback(self._value)  # type: ignore[arg-type]
        else:
            self._callbacks.append(callback)


class Answer(Pending[T]):
    """A value that somebody may stop waiting for: the first one that is given counts, and later ones concern nobody."""

    __slots__ = ()

    def complete(self, value: T) -> None:
        """Give the value, unless one was given."""
        if not self._done:
            super().complete(value)


def completed(value: T) -> Pending[T]:
    """A value that is there."""
    pending: Pending[T] = Pending()
    pending.complete(value)
    return pending


def mapped(pending: Pending[T], change: Callable[[T], R]) -> Pending[R]:
    """What `change` makes of the value, when it is there."""
    later: Pending[R] = Pending()
    pending.on_complete(lambda value: later.complete(change(value)))
    return later
