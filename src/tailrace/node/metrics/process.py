"""The process: CPU, memory, descriptors, threads, the garbage collector. Names are those of Prometheus's clients."""

from __future__ import annotations

import gc
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tailrace.node.observed import Observed
from tailrace.observe.exposition import NO_LABELS, Exposition


def process_metrics(out: Exposition, observed: Observed) -> Iterator[None]:
    """What the kernel tells; where it has no /proc, less."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    clock = observed.services.clock
    uptime_ms = clock.monotonic_ms() - observed.started_ms
    out.counter("process_cpu_seconds", "CPU, user and system.", [(NO_LABELS, usage.ru_utime + usage.ru_stime)])
    started_s = (clock.wall_ms() - uptime_ms) / 1000
    out.gauge("process_start_time_seconds", "When service began, seconds since 1970.", [(NO_LABELS, started_s)])
    out.counter("process_major_page_faults", "Pages read from disk.", [(NO_LABELS, usage.ru_majflt)])
    out.gauge("process_threads", "Threads of Python.", [(NO_LABELS, threading.active_count())])
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    out.gauge("process_max_fds", "Descriptors that may be open.", [(NO_LABELS, soft)])
    with suppress(OSError):
        out.gauge("process_open_fds", "Descriptors that are open.", [(NO_LABELS, len(os.listdir("/proc/self/fd")))])
    with suppress(OSError):
        virtual, resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[:2]
        page_bytes = os.sysconf("SC_PAGE_SIZE")
        out.gauge("process_virtual_memory_bytes", "Mapped memory.", [(NO_LABELS, int(virtual) * page_bytes)])
        out.gauge("process_resident_memory_bytes", "Memory in use.", [(NO_LABELS, int(resident) * page_bytes)])
    generations = [({"generation": str(index)}, each["collections"]) for index, each in enumerate(gc.get_stats())]
    out.counter("python_gc_collections", "Garbage collections.", generations)
    yield
