"""A broker that profiles itself when its processor time, memory or number of tasks rises suddenly.

Off unless `profile.dump.dir` names a directory, outside of the log directories: Kafka takes every directory there for a
log. A rise of processor time is answered by a profile of the next seconds, one of memory by what is allocated in them
and lives (by all that lives where memory is traced), one of tasks by what they wait for. The reason is a comment in the
file and a line of the log. Files are `tailrace-MILLISECONDS-FIGURE.pb.gz`; the newest DUMP_FILES_MAX stay.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from tailrace.base.clock import Clock
from tailrace.base.cpu_time import process_cpu_ns
from tailrace.base.disk import Disk, write_atomically
from tailrace.base.errors import StorageError
from tailrace.net.loop import Engine
from tailrace.net.timers import Timer
from tailrace.observe import heap
from tailrace.observe.cpu_profile import CpuProfile, ProfilingBusyError
from tailrace.observe.limits import DUMP_BYTES_MAX, DUMP_CPU_MS, DUMP_FILES_MAX, DUMP_HEAP_MS, SPIKE_LOOK_MS
from tailrace.observe.pprof import encode
from tailrace.observe.profile import Profile
from tailrace.observe.spikes import Figures, Spike, Spikes
from tailrace.observe.tasks import tasks_profile

_NAME: Final = re.compile(r"tailrace-\d+-\w+\.pb\.gz")
_log = logging.getLogger("tailrace.profiles")


class SelfDump:
    """The looks of one broker, on the loop's timers."""

    def __init__(self, engine: Engine, clock: Clock, disk: Disk, directory: Path) -> None:
        self._engine = engine
        self._clock = clock
        self._disk = disk
        self._directory = directory
        self._spikes = Spikes()
        self._timer: Timer | None = None
        self._seen_ms = clock.monotonic_ms()
        self._cpu_ns = process_cpu_ns()
        self._is_tracing = False
        """Whether memory is traced for a profile that is to be taken."""

    def start(self) -> None:
        """Look by itself from now on."""
        self._timer = self._engine.timers.schedule(SPIKE_LOOK_MS, self._look)

    def stop(self) -> None:
        """Look no more. A profile that is being taken is not written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_tracing:
            self._is_tracing = False
            heap.end_heap_trace()

    def on_figures(self, figures: Figures) -> Spike | None:
        """Hold figures against the recent ones, and begin a profile where they are a spike."""
        spike = self._spikes.look(figures, self._clock.monotonic_ms())
        if spike is not None:
            _log.warning("taking a profile: %s", spike.reason)
            self._take(spike)
        return spike

    def _look(self) -> None:
        now_ms, cpu_ns = self._clock.monotonic_ms(), process_cpu_ns()
        passed_ms = max(now_ms - self._seen_ms, 1.0)
        percent = (cpu_ns - self._cpu_ns) / 1e6 / passed_ms * 100
        self._seen_ms, self._cpu_ns = now_ms, cpu_ns
        self.on_figures(Figures(percent, heap.resident_bytes() or 0, len(asyncio.all_tasks(self._engine.loop))))
        if self._timer is not None:
            self._timer.reset(SPIKE_LOOK_MS)

    def _take(self, spike: Spike) -> None:
        match spike.figure:
            case "cpu_percent":
                self._take_cpu(spike)
            case "memory_bytes":
                self._take_heap(spike)
            case _:
                tasks = tasks_profile(asyncio.all_tasks(self._engine.loop), self._clock)
                self._write_later(spike, lambda: tasks)

    def _take_cpu(self, spike: Spike) -> None:
        try:
            running = CpuProfile(self._clock)
        except ProfilingBusyError:
            _log.warning("no profile: one is being taken by somebody else")
            return

        def end() -> None:
            taken = running.stop()
            self._write_later(spike, lambda: taken)

        self._engine.timers.schedule(DUMP_CPU_MS, end)

    def _take_heap(self, spike: Spike) -> None:
        if heap.is_heap_traced():
            self._write_later(spike, partial(heap.heap_profile, self._clock))
            return
        heap.trace_heap()
        self._is_tracing = True

        def make() -> Profile:
            try:
                return heap.heap_profile(self._clock)
            finally:
                heap.end_heap_trace()

        def end() -> None:
            if self._is_tracing:
                self._is_tracing = False
                self._write_later(spike, make)

        self._engine.timers.schedule(DUMP_HEAP_MS, end)

    def _write_later(self, spike: Spike, make: Callable[[], Profile]) -> None:
        if self._timer is None:
            return
        self._engine.loop.run_in_executor(None, self._write, spike, make)

    def _write(self, spike: Spike, make: Callable[[], Profile]) -> None:
        """In a thread: make the profile, make room, write."""
        try:
            profile = make()
            body = encode(replace(profile, comments=(*profile.comments, spike.reason)))
            if len(body) > DUMP_BYTES_MAX:
                _log.warning("no profile is written: it has %d bytes, at most %d", len(body), DUMP_BYTES_MAX)
                return
            self._disk.make_directory(self._directory)
            kept = sorted(name for name in self._disk.list(self._directory) if _NAME.fullmatch(name))
            for name in kept[: max(len(kept) - DUMP_FILES_MAX + 1, 0)]:
                self._disk.remove(self._directory / name)
            path = self._directory / f"tailrace-{self._clock.wall_ms()}-{spike.figure}.pb.gz"
            write_atomically(self._disk, path, body)
            _log.warning("wrote %s: %s", path, spike.reason)
        except (StorageError, AssertionError) as error:  # a trace that somebody ended meanwhile, too
            _log.error("the profile could not be written: %s", error)
