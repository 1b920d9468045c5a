"""One process on the timeline: what it runs may be held up (SIGSTOP), or never come (kill).

It stands in for the loop of a real broker: timers, callbacks, tasks and threads, each a thing on the timeline that
happens only while the process runs. Invariant: after `kill` no line of the process runs any more; what is due while it
is paused happens in its order when it goes on.
Not its business: which bytes survive (`disk`), connections (`network`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from tests.sim.timeline import Timeline

from tailrace.base.errors import TailraceError

T = TypeVar("T")


class Process:
    """Alive until it is killed."""

    def __init__(self, timeline: Timeline, host: str, clock: ProcessClock) -> None:
        self.timeline = timeline
        self.host = host
        self.clock = clock
        self.is_alive = True
        self.is_paused = False
        self.has_run = True
        """Whether it did anything since somebody last looked, and took this back."""
        self.tasks: dict[Task, None] = {}
        self.on_kill: list[Callable[[], object]] = []
        self._held: deque[Callable[[], object]] = deque()

    def run(self, action: Callable[[], object]) -> None:
        """Now; when it goes on, if it is paused; never, if it is dead."""
        if not self.is_alive:
            return
        if self.is_paused or self._held:
            self._held.append(action)
        else:
            self.has_run = True
            action()

    def at(self, delay_ms: float, action: Callable[[], object]) -> None:
        """`run` it after a delay."""
        self.timeline.at(delay_ms, partial(self.run, action))

    def post(self, action: Callable[[], object]) -> None:
        """Run it in a step of its own."""
        self.timeline.at(0, partial(self.run, action))

    def pause(self) -> None:
        """Run nothing from now on."""
        self.is_paused = True

    def resume(self) -> None:
        """Go on with what was held up."""
        self.is_paused = False
        if self._held:
            self.timeline.at(0, self._take_held)

    def _take_held(self) -> None:
        if not self.is_alive or self.is_paused or not self._held:
            return
        action = self._held[0]
        held, self._held = self._held, deque()
        held.popleft()
        self.has_run = True
        action()
        held.extend(self._held)
        self._held = held
        if self._held:
            self.timeline.at(0, self._take_held)

    def kill(self) -> None:
        """Run nothing ever again."""
        self.is_alive = False
        self._held.clear()
        tasks, self.tasks = self.tasks, {}
        for task in tasks:
            task.coroutine.close()
        for told in self.on_kill:
            told()


class ProcessClock:
    """A machine's clocks: the wall's may jump, the other runs a little fast or slow."""

    def __init__(self, timeline: Timeline, rate: float = 1.0) -> None:
        self._timeline = timeline
        self._rate = rate
        self.wall_offset_ms = 0.0
        self.as_of_ms: float | None = None
        """Set while something runs that began earlier: what a thread saw before it waited."""

    def wall_ms(self) -> int:
        return int(self._timeline.now_ms + self.wall_offset_ms)

    def monotonic_ms(self) -> float:
        now_ms = self._timeline.now_ms if self.as_of_ms is None else self.as_of_ms
        return now_ms * self._rate

    def timeline_ms(self, own_ms: float) -> float:
        """How long `own_ms` of this clock takes."""
        return own_ms / self._rate


class Timer:
    """As `net.timers.Timer`."""

    def __init__(self, process: Process, callback: Callable[[], object]) -> None:
        self._process = process
        self._callback = callback
        self._setting = 0
        self.active = False

    def cancel(self) -> None:
        self._setting += 1
        self.active = False

    def reset(self, delay_ms: float) -> None:
        self._setting += 1
        self.active = True
        wait_ms = self._process.clock.timeline_ms(max(delay_ms, 0.0))
        self._process.at(wait_ms, partial(self._fire, self._setting))

    def _fire(self, setting: int) -> None:
        if setting == self._setting:
            self.active = False
            self._callback()


class Timers:
    """As `net.timers.TimingWheel`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def schedule(self, delay_ms: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(self._process, callback)
        timer.reset(delay_ms)
        return timer


class Later:
    """What a coroutine of the simulation waits for."""

    def __init__(self) -> None:
        self.done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._told: Callable[[], object] | None = None

    def complete(self, value: Any = None, error: BaseException | None = None) -> None:
        if not self.done:
            self.done, self._value, self._error = True, value, error
            if self._told is not None:
                self._told()

    def on_done(self, told: Callable[[], object]) -> None:
        if self.done:
            told()
        else:
            self._told = told

    def __await__(self) -> Generator[Later, None, Any]:
        if not self.done:
            yield self
        if self._error is not None:
            raise self._error
        return self._value


class Task:
    """A coroutine that runs in a process."""

    def __init__(self, process: Process, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._process = process
        self.coroutine = coroutine
        self._is_over = not process.is_alive
        if self._is_over:
            coroutine.close()
        else:
            process.tasks[self] = None
            process.post(self._step)

    def _step(self) -> None:
        if self._is_over:
            return
        try:
            later = self.coroutine.send(None)
        except StopIteration:
            self._end()
        else:
            later.on_done(lambda: self._process.post(self._step))

    def _end(self) -> None:
        self._is_over = True
        self._process.tasks.pop(self, None)

    def cancel(self) -> None:
        if self._is_over:
            return
        self._end()
        try:
            self.coroutine.throw(asyncio.CancelledError())
        except (asyncio.CancelledError, StopIteration):
            pass


class Background:
    """The threads of one pool. Work begins after `delay_ms()`, takes no time, and is told after as long again.

    Where `is_remote` the work is another machine's: it happens even if the process that asked is stopped or dead by
    then, and sees the clock as it was when it was asked for.
    """

    def __init__(self, process: Process, delay_ms: Callable[[], float], *, is_remote: bool = False) -> None:
        self._process = process
        self._delay_ms = delay_ms
        self._is_remote = is_remote

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        process = self._process
        asked_ms = process.timeline.now_ms

        def run() -> None:
            process.clock.as_of_ms = asked_ms
            try:
                outcome: T | Exception = work()
            except (TailraceError, OSError) as error:
                outcome = error
            finally:
                process.clock.as_of_ms = None
            process.at(self._delay_ms(), lambda: done(outcome))

        if self._is_remote:
            process.timeline.at(self._delay_ms(), run)
        else:
            process.at(self._delay_ms(), run)


class SeededIds:
    """`base.rand.Random` out of the timeline's chance."""

    def __init__(self, timeline: Timeline) -> None:
        self._random = timeline.random

    def uuid(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)
