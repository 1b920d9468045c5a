"""A thread that notices when the loop stands still, and names the callback that holds it.

It looks twice in `stall_ms`. A loop that is in the same turn for that long, and not in its wait, is held: the stack of
its thread is told once for that turn. While the loop waits the watchdog sleeps too, until the next turn wakes it, so an
idle process pays nothing. A machine or process that stood still as a whole is not told: the looks themselves came late,
and the loop's thread has computed nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from types import CodeType
from typing import Final, NamedTuple, Protocol

from tailrace.base.clock import Clock
from tailrace.base.cpu_time import thread_cpu_ns
from tailrace.observe.profile import Frame
from tailrace.observe.stacks import StackNames, raw_stack

_DISPATCHERS: Final = frozenset(
    {
        "tailrace.net.selector.PollerSelector.select",
        "tailrace.net.selector.PollerSelector._run_posted",
        "tailrace.net.timers.TimingWheel._drain_one",
        "asyncio.events.Handle._run",
    }
)
"""Functions of the loop that call what is not the loop's."""


class WatchedLoop(Protocol):
    """What the watchdog needs of a loop: a count of its turns, and a call at the end of its next wait."""

    turn_count: int
    on_turn: Callable[[], object] | None


class Stall(NamedTuple):
    """A turn that goes on. `cpu_ms` of `blocked_ms` the loop's thread computed; None where that is not known."""

    blocked_ms: float
    cpu_ms: float | None
    stack: tuple[Frame, ...]

    @property
    def callback(self) -> Frame:
        """What the loop called; the innermost frame where that is the loop itself."""
        for inner, frame in pairwise(self.stack):
            if frame.name in _DISPATCHERS:
                return inner
        return self.stack[0]


class _Turn(NamedTuple):
    number: int
    """Negative: the loop waits, and that turn has ended."""
    since_ms: float
    cpu_ns: int | None


class Watchdog:
    """Watches the loop of the thread that makes it. `on_stall` is called in the watchdog's thread."""

    def __init__(self, loop: WatchedLoop, waits_in: CodeType, clock: Clock, on_stall: Callable[[Stall], None]) -> None:
        """`waits_in`: the function in which the loop waits for events."""
        self._loop = loop
        self._waits_in = waits_in
        self._clock = clock
        self._on_stall = on_stall
        self._ident = threading.get_ident()
        self._wakened = threading.Event()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._turn = _Turn(-1, 0.0, None)
        self._told = -1

    def start(self, stall_ms: float) -> None:
        """Watch from now on, in a thread; a turn longer than `stall_ms` is told."""
        self._thread = threading.Thread(target=self._run, args=(stall_ms,), name="tailrace-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more, and wait for the thread."""
        self._end.set()
        self._wakened.set()
        self._loop.on_turn = None
        if self._thread is not None:
            self._thread.join()

    def _run(self, stall_ms: float) -> None:
        late_ms = 0.0
        while not self._end.is_set():
            if self.look(stall_ms, late_ms):
                self._wakened.wait()
                late_ms = 0.0
            before_ms = self._clock.monotonic_ms()
            self._end.wait(stall_ms / 2000)
            late_ms += max(self._clock.monotonic_ms() - before_ms - stall_ms / 2, 0.0)

    def look(self, stall_ms: float, late_ms: float = 0.0) -> bool:
        """Look once; whether the loop is idle, so that its next turn sets `_wakened`."""
        frame = sys._current_frames().get(self._ident)
        if frame is None:
            return False
        now_ms, cpu_ns = self._clock.monotonic_ms(), thread_cpu_ns(self._ident)
        count = self._loop.turn_count
        if frame.f_code is self._waits_in:
            was_idle, self._turn = self._turn.number == -count, _Turn(-count, now_ms, cpu_ns)
            return was_idle and self._park(count)
        if self._turn.number != count:
            self._turn = _Turn(count, now_ms, cpu_ns)
            return False
        blocked_ms = now_ms - self._turn.since_ms
        if blocked_ms < stall_ms or self._told == count:
            return False
        cpu_ms = None if cpu_ns is None or self._turn.cpu_ns is None else (cpu_ns - self._turn.cpu_ns) / 1e6
        if late_ms < blocked_ms / 2 or (cpu_ms is not None and cpu_ms >= blocked_ms / 2):
            self._told = count
            self._on_stall(Stall(blocked_ms, cpu_ms, StackNames().named(raw_stack(frame))))
        return False

    def _park(self, count: int) -> bool:
        self._wakened.clear()
        self._loop.on_turn = self._on_turn
        if self._loop.turn_count == count and not self._end.is_set():
            return True
        self._loop.on_turn = None
        return False

    def _on_turn(self) -> None:
        self._loop.on_turn = None
        self._wakened.set()
