"""What a trace sees of the loops of a process: turns, and in them sockets, timers, posted callbacks, asyncio's part.

    |-------- turn --------------------|  wait  |-- turn ...
     socket | socket | posted | timer | asyncio

Every loop of the process is traced; each runs in a thread of its own, and slices are by thread. The functions of
`selector`, `timers` and `connection` are replaced while a trace is taken, and this is the only module that does so.
"""

from __future__ import annotations

import logging
from typing import Any

from tailrace.net.connection import Connection
from tailrace.net.listener import Listener
from tailrace.net.selector import PollerSelector
from tailrace.net.timers import TimingWheel
from tailrace.observe.trace import Trace, name_of

_log = logging.getLogger("tailrace.net")


def trace_loops(trace: Trace) -> None:
    """Note what loops do until the trace stops."""
    _trace_turns(trace)
    _trace_callbacks(trace)
    _trace_asyncio(trace)


def _trace_turns(trace: Trace) -> None:
    wait = PollerSelector._wait
    began: dict[int, int] = {}

    def traced_wait(selector: PollerSelector, until_ms: float) -> Any:
        begin_ns = began.get(id(selector))
        if begin_ns is not None:
            trace.note("turn", "loop", begin_ns)
        try:
            return wait(selector, until_ms)
        finally:
            began[id(selector)] = trace.now_ns()

    trace.replace(PollerSelector, "_wait", traced_wait)


def _trace_callbacks(trace: Trace) -> None:
    for owner, name in ((Connection, "connection"), (Listener, "listener")):
        trace.replace(owner, "on_events", _traced_events(trace, owner.on_events, name))
    drain_one = TimingWheel._drain_one

    def traced_drain(timers: TimingWheel) -> None:
        name, begin_ns = name_of(timers._draining[-1]._callback), trace.now_ns()
        try:
            drain_one(timers)
        finally:
            trace.note(name, "timer", begin_ns)

    def traced_posted(selector: PollerSelector) -> None:
        for _ in range(len(selector._posted)):
            callback, begin_ns = selector._posted.popleft(), trace.now_ns()
            try:
                callback()
            except Exception:
                _log.exception("a posted callback failed")
            trace.note(name_of(callback), "posted", begin_ns)

    trace.replace(TimingWheel, "_drain_one", traced_drain)
    trace.replace(PollerSelector, "_run_posted", traced_posted)


def _traced_events(trace: Trace, on_events: Any, name: str) -> Any:
    def traced(sink: Any, mask: int) -> None:
        begin_ns = trace.now_ns()
        try:
            on_events(sink, mask)
        finally:
            trace.note(name, "socket", begin_ns)

    return traced


def _trace_asyncio(trace: Trace) -> None:
    """asyncio runs its callbacks between two calls of `select`."""
    select = PollerSelector.select
    left: dict[int, int] = {}

    def traced_select(selector: PollerSelector, timeout: float | None = None) -> Any:
        begin_ns = left.get(id(selector))
        if begin_ns is not None:
            trace.note("asyncio", "asyncio", begin_ns)
        found = select(selector, timeout)
        left[id(selector)] = trace.now_ns()
        return found

    trace.replace(PollerSelector, "select", traced_select)
