"""Timing wheel: timers whose insert, reset and cancel cost the same however many there are.

Six levels of 256 slots. A timer sits in the level of the highest byte in which its tick differs from the wheel's:

    level 0   ticks of the present 256      fired when the wheel reaches the slot
    level 1   slots of 256 ticks            spread over level 0 when the wheel reaches the slot
    level 2   slots of 65,536 ticks         spread over levels 0 and 1, and so on

Invariant: every occupied slot lies ahead of the wheel's tick in its own level, so the lowest occupied slot of the
lowest occupied level is the next to reach. A timer is never early and, if `advance` is called in time, at most one
tick late: a whole tick where it is set for one that the wheel has reached already. A later `reset` only notes the new
tick; the timer is moved when its slot is reached. That is what makes a heartbeat cheap. Not its business: reading a
clock. Source: Varghese and Lauck, "Hashed and hierarchical timing wheels"; Kafka's purgatory.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf
from typing import Final

from tailrace.net.limits import TICK_MS, TIMER_DELAY_MAX_MS, TIMER_TURN_COUNT

_LEVEL_BITS: Final = 8
_SLOTS: Final = 1 << _LEVEL_BITS
_LEVELS: Final = 6
"""2**48 ticks from the clock's zero: 44,000 years at 5 ms. Four levels would end after 248 days of a machine's
uptime."""


class Timer:
    """One deadline. Made by `TimingWheel.schedule`; may be reset after it fired or was cancelled."""

    __slots__ = ("_callback", "_placed_tick", "_slot", "_tick", "_wheel")

    def __init__(self, wheel: TimingWheel, callback: Callable[[], object]) -> None:
        self._wheel = wheel
        self._callback = callback
        self._slot: _Slot | None = None
        self._tick = 0  # when to fire; _placed_tick <= _tick
        self._placed_tick = 0  # the tick the slot was chosen for

    @property
    def active(self) -> bool:
        """Whether it is still to fire."""
        return self._slot is not None

    def cancel(self) -> None:
        """Do not fire. Harmless when it fired or was cancelled."""
        slot = self._slot
        if slot is not None:
            self._slot = None
            del slot.timers[self]
            wheel = self._wheel
            wheel.count -= 1
            if not slot.timers:
                wheel._vacate(slot)
                if not wheel.count:
                    wheel.due_ms = inf

    def reset(self, delay_ms: float) -> None:
        """Fire `delay_ms` from this moment instead, whatever happened before."""
        wheel = self._wheel
        # As _tick_after, which a heartbeat cannot afford to call: a fifth of the whole.
        if delay_ms > TIMER_DELAY_MAX_MS:
            delay_ms = TIMER_DELAY_MAX_MS
        read_ms = wheel._read_ms
        tick = ceil(((wheel._now_ms if read_ms is None else read_ms()) + delay_ms) / wheel.tick_ms)
        if tick <= wheel._tick:
            tick = wheel._tick + 1
        if self._slot is not None:
            if tick >= self._placed_tick:
                self._tick = tick
                return
            self.cancel()
        wheel.count += 1
        wheel._place(self, tick)


class _Slot:
    __slots__ = ("index", "level", "timers")

    def __init__(self, level: int, index: int) -> None:
        self.level = level
        self.index = index
        self.timers: dict[Timer, None] = {}  # insertion order: timers of one tick fire in the order they were placed


class TimingWheel:
    """Timers of one owner. `read_ms` gives the time a delay counts from; without it, it is that of the last `advance`.

    Pass `read_ms` where time passes between calls of `advance`, or a timer scheduled late in a long turn would be
    early.
    """

    __slots__ = (
        "_bits",
        "_draining",
        "_draining_slot",
        "_now_ms",
        "_read_ms",
        "_slots",
        "_tick",
        "count",
        "due_ms",
        "tick_ms",
    )

    def __init__(
        self, tick_ms: float = TICK_MS, now_ms: float = 0.0, read_ms: Callable[[], float] | None = None
    ) -> None:
        assert tick_ms > 0
        self.tick_ms = tick_ms
        self._read_ms = read_ms
        self._now_ms = now_ms
        self._tick = int(now_ms // tick_ms)  # every timer of this tick and before has been moved to _draining
        self._slots: list[list[_Slot | None]] = [[None] * _SLOTS for _ in range(_LEVELS)]
        self._bits = [0] * _LEVELS  # bit i of level l: slot i of level l holds timers
        self.count = 0
        """Timers still to fire."""
        self.due_ms = inf
        """When `advance` may have something to do: at `next_ms`, or before it where timers were cancelled."""
        self._draining: list[Timer] = []  # reversed: the next one is last
        self._draining_slot: _Slot | None = None

    def __len__(self) -> int:
        """Timers still to fire."""
        return self.count

    def schedule(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` once, `delay_ms` >= 0 from this moment at the earliest."""
        timer = Timer(self, callback)
        self.count += 1
        self._place(timer, self._tick_after(delay_ms))
        return timer

    def next_ms(self) -> float | None:
        """When `advance` has something to do, on the clock of `advance`; None: never. It may turn out to be only a
        move."""
        if self._draining:
            return self._now_ms
        for level, bits in enumerate(self._bits):
            if bits:
                return self._reached_at(level, (bits & -bits).bit_length() - 1) * self.tick_ms
        return None

    def advance(self, now_ms: float, limit: int = TIMER_TURN_COUNT) -> bool:
        """Fire what is due at `now_ms`, looking at no more than `limit` timers. Returns whether work is left for now.

        Callbacks may schedule, reset and cancel any timer. One that raises loses nothing: call `advance` again.
        """
        if now_ms > self._now_ms:
            self._now_ms = now_ms
        until = int(self._now_ms // self.tick_ms)
        try:
            while True:
                while self._draining:
                    if limit <= 0:
                        return True
                    limit -= 1
                    self._drain_one()
                self._draining_slot = None
                if not self._enter_next_slot(until):
                    return False
        finally:
            next_ms = self.next_ms()
            self.due_ms = inf if next_ms is None else next_ms

    def _tick_after(self, delay_ms: float) -> int:
        if delay_ms > TIMER_DELAY_MAX_MS:
            delay_ms = TIMER_DELAY_MAX_MS
        now_ms = self._now_ms if self._read_ms is None else self._read_ms()
        tick = ceil((now_ms + delay_ms) / self.tick_ms)
        return tick if tick > self._tick else self._tick + 1

    def _place(self, timer: Timer, tick: int) -> None:
        """Put `timer` into the slot of `tick`, which lies ahead of the wheel."""
        timer._tick = timer._placed_tick = tick
        level = ((self._tick ^ tick).bit_length() - 1) // _LEVEL_BITS
        shift = level * _LEVEL_BITS
        index = (tick >> shift) & (_SLOTS - 1)
        slot = self._slots[level][index]
        if slot is None:
            slot = self._slots[level][index] = _Slot(level, index)
            self._bits[level] |= 1 << index
            reached_ms = (tick >> shift << shift) * self.tick_ms
            if reached_ms < self.due_ms:
                self.due_ms = reached_ms
        slot.timers[timer] = None
        timer._slot = slot

    def _vacate(self, slot: _Slot) -> None:
        if slot is not self._draining_slot:
            self._slots[slot.level][slot.index] = None
            self._bits[slot.level] &= ~(1 << slot.index)

    def _reached_at(self, level: int, index: int) -> int:
        shift = level * _LEVEL_BITS
        return (self._tick >> (shift + _LEVEL_BITS) << (shift + _LEVEL_BITS)) | index << shift

    def _enter_next_slot(self, until: int) -> bool:
        for level, bits in enumerate(self._bits):
            if bits:
                index = (bits & -bits).bit_length() - 1
                tick = self._reached_at(level, index)
                if tick > until:
                    break
                slot = self._slots[level][index]
                assert slot is not None and tick > self._tick
                self._tick = tick
                self._draining_slot = None
                self._vacate(slot)
                self._draining_slot = slot
                self._draining = list(slot.timers)
                self._draining.reverse()
                return True
        if until > self._tick:
            self._tick = until
        return False

    def _drain_one(self) -> None:
        timer = self._draining.pop()
        slot = timer._slot
        if slot is None or slot is not self._draining_slot:
            return  # cancelled or moved since
        del slot.timers[timer]
        if timer._tick > self._tick:
            self._place(timer, timer._tick)
            return
        timer._slot = None
        self.count -= 1
        timer._callback()
