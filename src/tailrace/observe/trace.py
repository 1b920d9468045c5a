"""A timeline of what a process does: slices by thread, in the trace-event format that Perfetto and Chrome open.

    {"traceEvents": [{"ph": "X", "name", "cat", "ts", "dur", "pid", "tid", "args"}, ...], "otherData": {...}}

Not the format of Go's execution trace: that is made of goroutines, processors and their scheduling, which Python does
not have; a loop has turns and callbacks. Functions of interest are wrapped while a trace is taken and are themselves
again afterwards, so that who takes none pays nothing.
Invariant: TRACE_EVENTS_MAX events at most; what comes after is counted and left out. Not its business: which functions.
Source: "Trace Event Format" (the Chromium project).
"""

from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from tailrace.observe.limits import TRACE_EVENTS_MAX


class Event(NamedTuple):
    """One event. `phase`: X a slice, b and e the ends of a wait. Times are in nanoseconds of one clock."""

    phase: str
    name: str
    category: str
    begin_ns: int
    duration_ns: int
    thread: int
    wait_id: int = 0
    args: Mapping[str, Any] | None = None


class Trace:
    """One trace, from `Trace(...)` to `stop`. Any thread may note events."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        """`now_ns`: a monotonic clock."""
        self.now_ns = now_ns
        self.begin_ns = now_ns()
        self.end_ns = 0
        self.events: list[Event] = []
        self.left_out = 0
        self._undo: list[Callable[[], object]] = []
        self._wait_count = 0
        self._gc_began_ns = 0
        gc.callbacks.append(self._on_gc)
        self._undo.append(lambda: gc.callbacks.remove(self._on_gc))

    @property
    def is_over(self) -> bool:
        """Whether it is stopped: what was wrapped may still be under way somewhere."""
        return bool(self.end_ns)

    def replace(self, owner: Any, name: str, function: Any) -> None:
        """Put `function` in the place of a class's or an object's until the trace stops."""
        original = getattr(owner, name)
        setattr(owner, name, function)
        self._undo.append(partial(setattr, owner, name, original))

    def note(self, name: str, category: str, begin_ns: int, args: Mapping[str, Any] | None = None) -> None:
        """A slice of this thread, from `begin_ns` to now."""
        now_ns = self.now_ns()
        self._add(Event("X", name, category, begin_ns, now_ns - begin_ns, threading.get_ident(), 0, args))

    def begin_wait(self, name: str) -> int:
        """Something is waited for from now on; its id, for `end_wait`."""
        self._wait_count += 1
        self._add(Event("b", name, "wait", self.now_ns(), 0, threading.get_ident(), self._wait_count))
        return self._wait_count

    def end_wait(self, name: str, wait_id: int) -> None:
        """It is there."""
        self._add(Event("e", name, "wait", self.now_ns(), 0, threading.get_ident(), wait_id))

    def stop(self) -> None:
        """End: everything wrapped is itself again. Once."""
        assert not self.is_over
        for undo in reversed(self._undo):
            undo()
        self.end_ns = self.now_ns()

    def encode(self) -> bytes:
        """The file. After `stop`; may be called in another thread, it takes 2 µs an event."""
        names = {each.ident: each.name for each in threading.enumerate()}
        pid = os.getpid()
        threads: Final = {each.thread for each in self.events}
        rows: list[dict[str, Any]] = [
            {"ph": "M", "name": "thread_name", "pid": pid, "tid": each, "args": {"name": names.get(each, "ended")}}
            for each in sorted(threads)
        ]
        rows += (self._row(each, pid) for each in self.events)
        about = {
            "seconds": (self.end_ns - self.begin_ns) / 1e9,
            "events": len(self.events),
            "events left out": self.left_out,
        }
        return json.dumps({"traceEvents": rows, "displayTimeUnit": "ms", "otherData": about}).encode()

    def _row(self, event: Event, pid: int) -> dict[str, Any]:
        row: dict[str, Any] = {
            "ph": event.phase,
            "name": event.name,
            "cat": event.category,
            "ts": (event.begin_ns - self.begin_ns) / 1000,
            "pid": pid,
            "tid": event.thread,
        }
        if event.phase == "X":
            row["dur"] = event.duration_ns / 1000
        else:
            row["id"] = event.wait_id
        if event.args:
            row["args"] = dict(event.args)
        return row

    def _add(self, event: Event) -> None:
        if self.is_over:  # of a call that was under way when the trace ended
            return
        if len(self.events) < TRACE_EVENTS_MAX:
            self.events.append(event)
        else:
            self.left_out += 1

    def _on_gc(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._gc_began_ns = self.now_ns()
        elif self._gc_began_ns:
            args = {"generation": info["generation"], "collected": info["collected"]}
            self.note("garbage collection", "gc", self._gc_began_ns, args)


def name_of(callback: Any) -> str:
    """What a callback is called: of a partial and a bound method the function beneath."""
    while isinstance(callback, partial):
        callback = callback.func
    return str(getattr(callback, "__qualname__", type(callback).__qualname__))
