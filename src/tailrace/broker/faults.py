"""Faults on order, for tests of applications: the next n requests of an API fail or wait, or every answer waits.

Used by `tailrace.Broker`; a served broker never has any. Sans-IO: it only says what to do with a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tailrace.base.errors import ErrorCode

T = TypeVar("T")


class Faults:
    """Faults waiting to happen. `active` is the one test the request path makes."""

    __slots__ = ("_errors", "_held", "_latencies", "_paused", "active")

    def __init__(self) -> None:
        self.active = False
        self._errors: dict[int, list[tuple[ErrorCode, int]]] = {}
        self._latencies: dict[int, list[tuple[float, int]]] = {}
        self._paused = False
        self._held: list[Callable[[], None]] = []

    def add_error(self, api_key: int, code: ErrorCode, count: int = 1) -> None:
        """Answer the next `count` requests of an API with `code` in place of handling them."""
        self._errors.setdefault(api_key, []).append((code, count))
        self._refresh()

    def add_latency(self, api_key: int, latency_ms: float, count: int = 1) -> None:
        """Hold the next `count` requests of an API for `latency_ms` before they are handled."""
        self._latencies.setdefault(api_key, []).append((latency_ms, count))
        self._refresh()

    def clear(self) -> None:
        """Forget the errors and latencies that were ordered and have not happened."""
        self._errors.clear()
        self._latencies.clear()
        self._refresh()

    def pause(self) -> None:
        """Handle nothing until `resume`: connections stay open and requests wait."""
        self._paused = True
        self._refresh()

    def resume(self) -> None:
        """Handle everything that waited, in order."""
        self._paused = False
        held, self._held = self._held, []
        for run in held:
            run()
        self._refresh()

    @property
    def paused(self) -> bool:
        """Whether requests wait for `resume`."""
        return self._paused

    def hold(self, run: Callable[[], None]) -> None:
        """Keep a request until `resume`."""
        self._held.append(run)

    def next_error(self, api_key: int) -> ErrorCode | None:
        """The error this request gets, if any; counts it off."""
        return self._next(self._errors, api_key)

    def next_latency_ms(self, api_key: int) -> float | None:
        """How long this request waits, if at all; counts it off."""
        return self._next(self._latencies, api_key)

    def _next(self, orders: dict[int, list[tuple[T, int]]], key: int) -> T | None:
        queue = orders.get(key)
        if not queue:
            return None
        value, count = queue[0]
        if count > 1:
            queue[0] = (value, count - 1)
            return value
        queue.pop(0)
        if not queue:
            del orders[key]
        self._refresh()
        return value

    def _refresh(self) -> None:
        self.active = bool(self._errors or self._latencies or self._paused)
