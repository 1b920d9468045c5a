"""Counts the stacks of all threads, one tick at a time, each with the processor time and the time that passed.

At each tick a thread's stack is charged with what the thread has used since the tick before, read from the kernel's
clock of that thread: a sample that comes late weighs more, time in C counts where C was called, and a thread that
waits counts nothing but time. What the process used beside Python's threads (a library's own, those that began and
ended between two ticks) is charged to one line of its own, so the total is the process's. Looking at the other threads
is much of a tick's cost, as their memory is cold: while the process has used hardly more than the calling thread, they
are taken to wait where they were, and what they used is charged when they are looked at (UNREAD_MAX_NS).
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
from tailrace.observe.stacks import RawStack, StackNames, raw_stack, stack_key, thread_names

SAMPLE_TYPES: Final = (
    ValueType("samples", "count"),
    ValueType("cpu", "nanoseconds"),
    ValueType("wall", "nanoseconds"),
)
OUTSIDE_PYTHON: Final = "[threads outside Python]"
OTHER_STACKS: Final = "[other stacks]"
UNREAD_MAX_NS: Final = 20_000
"""What other threads may have used together before they are looked at: 0.2 % of the time between two ticks."""


class Sampler:
    """The counts of one profile. `tick` in one thread; reading them after the last tick."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        self._stacks: dict[tuple[int, ...], RawStack] = {(): ()}
        """Those of `_counts`, which keeps their code objects alive: no other can take the id of one."""
        self._waiting: list[list[int]] = []
        """Of each other thread the counts of its stack, when they were last looked at."""
        self._unseen_count = self._unseen_ns = 0
        """Ticks since then, and the time that passed with them."""
        self._are_known = False
        """Whether the others have been looked at."""
        self._used_ns: dict[int, int] = {}
        self._is_busy = False
        self.tick_count = 0
        self._begin_ns = self._last_ns = self._now_ns()
        self._process_ns = process_cpu_ns()
        for ident in sys._current_frames():
            self._used_ns[ident] = thread_cpu_ns(ident) or 0
        self._read_at = self._process_ns - self._used_ns[get_ident()]
        """What all threads but the calling one had used when they were last looked at."""

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
        own = get_ident()
        own_ns = thread_cpu_ns(own) or 0
        others_ns = process_cpu_ns() - own_ns
        if own_frame is not None:
            self._count(own, own_frame, self._used_since(own, own_ns), passed_ns)
        if not self._are_known or others_ns - self._read_at > UNREAD_MAX_NS:
            self._count_others(own, others_ns, passed_ns)
        else:
            self._unseen_count += 1
            self._unseen_ns += passed_ns
        self.tick_count += 1
        self._is_busy = False

    def _used_since(self, ident: int, used_ns: int) -> int:
        """What a thread has used since its clock was last read, which says `used_ns` now."""
        last_ns = self._used_ns.get(ident, 0)
        self._used_ns[ident] = used_ns
        # An ident that a new thread has taken over begins from nothing.
        return used_ns - last_ns if used_ns >= last_ns else used_ns

    def _count_others(self, own: int, others_ns: int, passed_ns: int) -> None:
        self._count_unseen()
        is_read = others_ns - self._read_at > UNREAD_MAX_NS
        if is_read:
            self._read_at = others_ns
        self._are_known = True
        self._waiting = [
            self._count(ident, frame, self._used_since(ident, thread_cpu_ns(ident) or 0) if is_read else 0, passed_ns)
            for ident, frame in sys._current_frames().items()
            if ident != own
        ]

    def _count_unseen(self) -> None:
        """Charge the others with the ticks since they were looked at."""
        for counts in self._waiting:
            counts[0] += self._unseen_count
            counts[2] += self._unseen_ns
        self._unseen_count = self._unseen_ns = 0

    def _count(self, ident: int, frame: FrameType, used_ns: int, passed_ns: int) -> list[int]:
        stack = stack_key(frame)
        counts = self._counts.get((ident, stack)) or self._counts_of_new(ident, stack, frame)
        counts[0] += 1
        counts[1] += used_ns
        counts[2] += passed_ns
        return counts

    def _counts_of_new(self, ident: int, stack: tuple[int, ...], frame: FrameType) -> list[int]:
        if len(self._counts) >= STACKS_MAX:
            ident, stack = 0, ()
        elif stack not in self._stacks:
            self._stacks[stack] = raw_stack(frame)
        return self._counts.setdefault((ident, stack), [0, 0, 0])

    def samples(self) -> list[Sample]:
        """What was counted, stacks named, threads as labels."""
        self._count_unseen()
        names, threads = StackNames(), thread_names()
        found: list[Sample] = []
        for (ident, stack), counts in self._counts.items():
            frames = names.named(self._stacks[stack]) or (Frame(OTHER_STACKS),)
            label = ("thread", threads.get(ident, f"ended-{ident}"))
            found.append(Sample(frames, (counts[0], counts[1], counts[2]), (label,)))
        outside_ns = process_cpu_ns() - self._process_ns - sum(counts[1] for counts in self._counts.values())
        if outside_ns > 0:
            found.append(Sample((Frame(OUTSIDE_PYTHON),), (0, outside_ns, 0)))
        return found
