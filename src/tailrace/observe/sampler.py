"""Counts the stacks of all threads, one tick at a time, each with the processor time and the time that passed.

At each tick a thread's stack is charged with what the thread has used since the tick before, read from the kernel's
clock of that thread: a sample that comes late weighs more, time in C counts where C was called, and a thread that
waits counts nothing but time. What the process used beside Python's threads (a library's own, those that began and
ended between two ticks) is charged to one line of its own, so the total is the process's.
Not its business: when ticks come (`cpu_profile`).
"""

from __future__ import annotations

import sys
from threading import get_ident
from types import FrameType
from typing import Final

from tailrace.base.clock import Clock
from tailrace.base.cpu_time import process_cpu_ns, thread_cpu_ns
from tailrace.observe.limits import STACKS_MAX
from tailrace.observe.profile import Frame, Sample, ValueType
from tailrace.observe.stacks import RawStack, StackNames, raw_stack, thread_names

SAMPLE_TYPES: Final = (
    ValueType("samples", "count"),
    ValueType("cpu", "nanoseconds"),
    ValueType("wall", "nanoseconds"),
)
OUTSIDE_PYTHON: Final = "[threads outside Python]"
OTHER_STACKS: Final = "[other stacks]"


class Sampler:
    """The counts of one profile. `tick` in one thread; reading them after the last tick."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[tuple[int, RawStack], list[int]] = {}
        self._used_ns: dict[int, int] = {}
        self._is_busy = False
        self.tick_count = 0
        self._begin_ns = self._last_ns = self._now_ns()
        self._process_ns = process_cpu_ns()
        for ident in sys._current_frames():
            self._used_ns[ident] = thread_cpu_ns(ident) or 0

    @property
    def duration_ns(self) -> int:
        """From the beginning to the last tick."""
        return self._last_ns - self._begin_ns

    def _now_ns(self) -> int:
        return int(self._clock.monotonic_ms() * 1e6)

    def tick(self, own_frame: FrameType | None) -> None:
        """Count every thread's stack. The calling thread's is `own_frame`; None: it is left out."""
        if self._is_busy:
            return  # a signal that came within a tick
        self._is_busy = True
        now_ns = self._now_ns()
        passed_ns, self._last_ns = now_ns - self._last_ns, now_ns
        frames: dict[int, FrameType] = sys._current_frames()
        own = get_ident()
        if own_frame is not None:
            frames[own] = own_frame
        else:
            frames.pop(own, None)
        for ident, frame in frames.items():
            used_ns = thread_cpu_ns(ident) or 0
            last_ns = self._used_ns.get(ident, 0)
            self._used_ns[ident] = used_ns
            # An ident that a new thread has taken over begins from nothing.
            self._count(ident, frame, used_ns - last_ns if used_ns >= last_ns else used_ns, passed_ns)
        self.tick_count += 1
        self._is_busy = False

    def _count(self, ident: int, frame: FrameType, used_ns: int, passed_ns: int) -> None:
        key = ident, raw_stack(frame)
        counts = self._counts.get(key)
        if counts is None:
            if len(self._counts) >= STACKS_MAX:
                key = 0, ()
            counts = self._counts.setdefault(key, [0, 0, 0])
        counts[0] += 1
        counts[1] += used_ns
        counts[2] += passed_ns

    def samples(self) -> list[Sample]:
        """What was counted, stacks named, threads as labels."""
        names, threads = StackNames(), thread_names()
        found: list[Sample] = []
        for (ident, stack), counts in self._counts.items():
            frames = names.named(stack) or (Frame(OTHER_STACKS),)
            label = ("thread", threads.get(ident, f"ended-{ident}"))
            found.append(Sample(frames, (counts[0], counts[1], counts[2]), (label,)))
        outside_ns = process_cpu_ns() - self._process_ns - sum(counts[1] for counts in self._counts.values())
        if outside_ns > 0:
            found.append(Sample((Frame(OUTSIDE_PYTHON),), (0, outside_ns, 0)))
        return found
