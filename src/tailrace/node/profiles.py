"""What /debug/pprof/* answers: profiles of the running process, for Go's `pprof` and for people.

    profile?seconds=N    processor time of all threads, sampled 100 times a second; 10 s by default
    heap                 live memory. The first request begins a trace, which costs until heap?stop=1
    allocs?seconds=N     what is allocated within N seconds
    trace?seconds=N      timeline of loops, requests, work in threads and syncs; 1 s by default. Trace-event JSON
    tasks                what each thread and task waits for; text, or a profile with ?format=pprof

One profile of processor time, one trace of memory and one timeline at a time: a second one is told 409.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from tailrace.base.errors import TailraceError
from tailrace.base.pending import Pending
from tailrace.http.message import JSON, HttpAnswer, HttpRequest, text_answer
from tailrace.net.loop import Engine
from tailrace.node.observed import Observed
from tailrace.observe import heap
from tailrace.observe.cpu_profile import CpuProfile
from tailrace.observe.limits import ALLOCS_ROUND_MS, PROFILE_SECONDS_MAX, TRACE_SECONDS_MAX
from tailrace.observe.pprof import encode
from tailrace.observe.profile import Profile
from tailrace.observe.tasks import tasks_profile, tasks_text

_SECONDS: Final = 10.0
_TRACE_SECONDS: Final = 1.0


class _AllocsCount(NamedTuple):
    """A profile of allocations in the making."""

    begin_ms: float
    duration_ms: float
    counts: heap.Counts


class BadQuery(ValueError):
    """What the client asks for is not possible."""


class ProfilePages:
    """The pages of one broker."""

    def __init__(self, observed: Observed) -> None:
        self._engine: Engine = observed.engine
        self._clock = observed.services.clock
        self._is_counting_allocs = False

    def answer(self, name: str, request: HttpRequest) -> HttpAnswer | Pending[HttpAnswer]:
        """The page of that name."""
        match name:
            case "profile":
                return self.profile(request)
            case "heap":
                return self.heap(request)
            case "allocs":
                return self.allocs(request)
            case "trace":
                return self.trace(request)
        assert name == "tasks", name
        return self.tasks(request)

    def profile(self, request: HttpRequest) -> HttpAnswer | Pending[HttpAnswer]:
        """Sample for some seconds, then answer."""
        try:
            seconds = _seconds(request)
            running = CpuProfile(self._clock)
        except BadQuery as error:
            return text_answer(400, str(error))
        except TailraceError as error:
            return text_answer(409, str(error))
        pending: Pending[HttpAnswer] = Pending()

        def end() -> None:
            taken = running.stop()  # in this thread: signals are its business
            self._make("cpu", lambda: taken, pending)

        self._engine.timers.schedule(seconds * 1000, end)
        return pending

    def heap(self, request: HttpRequest) -> HttpAnswer | Pending[HttpAnswer]:
        """A profile of what lives; begins the trace where there is none."""
        if self._is_counting_allocs:
            return text_answer(409, "allocations are being counted: try again when that has ended")
        if request.query.get("stop") == "1":
            heap.end_heap_trace()
            return text_answer(200, "allocations are traced no more")
        heap.trace_heap()
        pending: Pending[HttpAnswer] = Pending()
        self._make("heap", partial(heap.heap_profile, self._clock), pending)
        return pending

    def allocs(self, request: HttpRequest) -> HttpAnswer | Pending[HttpAnswer]:
        """Trace for some seconds, look every ALLOCS_ROUND_MS, then answer."""
        try:
            seconds = _seconds(request)
        except BadQuery as error:
            return text_answer(400, str(error))
        if heap.is_heap_traced():
            return text_answer(409, "memory is being traced already: end that with /debug/pprof/heap?stop=1")
        self._is_counting_allocs = True
        heap.trace_heap()
        pending: Pending[HttpAnswer] = Pending()
        self._look_later(_AllocsCount(self._clock.monotonic_ms(), seconds * 1000, {}), pending)
        return pending

    def _look_later(self, count: _AllocsCount, pending: Pending[HttpAnswer]) -> None:
        """Add up what lives after another while, in a thread; again until the time is over."""

        def looked(ended: asyncio.Future[None]) -> None:
            ended.result()
            passed_ms = self._clock.monotonic_ms() - count.begin_ms
            if passed_ms < count.duration_ms:
                self._look_later(count, pending)
                return
            heap.end_heap_trace()
            self._is_counting_allocs = False
            self._make("allocs", partial(heap.allocs_profile, self._clock, count.counts, passed_ms), pending)

        def look() -> None:
            future = self._engine.loop.run_in_executor(None, heap.count_allocs, count.counts)
            future.add_done_callback(looked)

        self._engine.timers.schedule(min(ALLOCS_ROUND_MS, count.duration_ms), look)

    def trace(self, request: HttpRequest) -> HttpAnswer | Pending[HttpAnswer]:
        """Take a timeline for some seconds, then answer."""
        from tailrace.node.tracing import Tracing  # memory: fewer brokers are traced than profiled

        try:
            seconds = _seconds(request, _TRACE_SECONDS, TRACE_SECONDS_MAX)
            tracing = Tracing(self._clock)
        except BadQuery as error:
            return text_answer(400, str(error))
        except TailraceError as error:
            return text_answer(409, str(error))
        pending: Pending[HttpAnswer] = Pending()

        def end() -> None:
            trace = tracing.stop()
            headers = (("Content-Disposition", 'attachment; filename="trace.json"'),)
            future = self._engine.loop.run_in_executor(None, lambda: HttpAnswer(200, trace.encode(), JSON, headers))
            future.add_done_callback(lambda ended: pending.complete(_outcome(ended)))

        self._engine.timers.schedule(seconds * 1000, end)
        return pending

    def tasks(self, request: HttpRequest) -> HttpAnswer:
        """Stacks of threads and tasks, as they are."""
        tasks = asyncio.all_tasks(self._engine.loop)
        if request.query.get("format") == "pprof":
            return _profile_answer("tasks", encode(tasks_profile(tasks, self._clock)))
        return text_answer(200, tasks_text(tasks))

    def _make(self, name: str, make: Callable[[], Profile], pending: Pending[HttpAnswer]) -> None:
        """Make and encode a profile in a thread; answer in the loop's."""
        future = self._engine.loop.run_in_executor(None, lambda: _profile_answer(name, encode(make())))
        future.add_done_callback(lambda ended: pending.complete(_outcome(ended)))


def _outcome(ended: asyncio.Future[HttpAnswer]) -> HttpAnswer:
    error = ended.exception()
    return ended.result() if error is None else text_answer(500, f"the profile failed: {error}")


def _profile_answer(name: str, body: bytes) -> HttpAnswer:
    headers = (("Content-Disposition", f'attachment; filename="{name}.pb.gz"'),)
    return HttpAnswer(200, body, "application/octet-stream", headers)


def _seconds(request: HttpRequest, usual: float = _SECONDS, most: int = PROFILE_SECONDS_MAX) -> float:
    text = request.query.get("seconds")
    try:
        seconds = usual if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= most:
        raise BadQuery(f"seconds is a number above 0, at most {most}")
    return seconds
