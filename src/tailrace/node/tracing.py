"""What a trace sees of a broker: requests by API, what they wait for, work in threads, syncs; and its loop.

The functions are replaced while a trace is taken. A request that waits is a slice of its handler, then a wait of its
own row until its answer is there. Not its business: the file (`observe.trace`), who asks for it (`profiles`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tailrace.base.clock import Clock, nanoseconds_of
from tailrace.base.disk import RealFile
from tailrace.base.errors import TailraceError
from tailrace.base.pending import Pending
from tailrace.broker.dispatch import Dispatch
from tailrace.net.traced import trace_loops
from tailrace.node.background import ThreadBackground
from tailrace.observe.trace import Trace, name_of
from tailrace.wire.api import api


class TracingBusyError(TailraceError):
    """A trace is being taken already."""


class Tracing:
    """A trace of everything in this process, from `Tracing(...)` to `stop`. One at a time."""

    _is_running: ClassVar[bool] = False

    def __init__(self, clock: Clock) -> None:
        """Begin. Raises TracingBusyError."""
        if Tracing._is_running:
            raise TracingBusyError("a trace is being taken already: try again when it has ended")
        Tracing._is_running = True
        self._trace = Trace(nanoseconds_of(clock))
        trace_loops(self._trace)
        _trace_requests(self._trace)
        _trace_work(self._trace)
        _trace_syncs(self._trace)

    def stop(self) -> Trace:
        """End; everything is as it was before."""
        self._trace.stop()
        Tracing._is_running = False
        return self._trace


def _trace_requests(trace: Trace) -> None:
    answer = Dispatch.answer

    def traced(dispatch: Dispatch, *arguments: Any) -> Any:
        begin_ns = trace.now_ns()
        name = "request"
        try:
            given = answer(dispatch, *arguments)
            name = api_name(dispatch.last_key)
        finally:
            trace.note(name, "request", begin_ns)
        if isinstance(given, Pending):
            wait_id = trace.begin_wait(name)
            given.on_complete(lambda _: trace.end_wait(name, wait_id))
        return given

    trace.replace(Dispatch, "answer", traced)


def _trace_work(trace: Trace) -> None:
    do = ThreadBackground._do

    def traced(background: ThreadBackground, work: Callable[[], Any], done: Any) -> None:
        begin_ns = trace.now_ns()

        def noted() -> Any:
            try:
                return work()
            finally:
                trace.note(name_of(work), "background", begin_ns)

        do(background, noted, done)

    trace.replace(ThreadBackground, "_do", traced)


def _trace_syncs(trace: Trace) -> None:
    sync = RealFile.sync

    def traced(file: RealFile) -> None:
        begin_ns = trace.now_ns()
        try:
            sync(file)
        finally:
            trace.note("fdatasync", "disk", begin_ns, {"file": f"{file.path.parent.name}/{file.path.name}"})

    trace.replace(RealFile, "sync", traced)


def api_name(key: int) -> str:
    """The name of an API."""
    found = api(key)
    return str(key) if found is None else found.name
