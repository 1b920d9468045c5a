"""What a process has cost so far: processor time to the nanosecond and its largest resident memory. Linux.

`peak_mb` counts from the last `forget_peak`, so that one process can be asked about several pieces of work.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

CPU_CLOCK_OF_PROCESS = 2
"""CPUCLOCK_SCHED of the kernel: user and system time of all threads, those that ended too."""


class Meter:
    """One process, by id."""

    def __init__(self, pid: int) -> None:
        self._clock_id = (~pid << 3) | CPU_CLOCK_OF_PROCESS
        self._directory = Path(f"/proc/{pid}")

    def cpu_s(self) -> float:
        """User and system time of the process since its start, in seconds."""
        return time.clock_gettime(self._clock_id)

    def rss_mb(self) -> float:
        """Resident memory in MB (10^6)."""
        return self._status_kb("VmRSS") * 1024 / 1e6

    def peak_mb(self) -> float:
        """The largest resident memory since `forget_peak`, or since the start."""
        return self._status_kb("VmHWM") * 1024 / 1e6

    def forget_peak(self) -> None:
        """Begin a new peak at what is resident now. A process of another user keeps its old one."""
        with contextlib.suppress(OSError):
            (self._directory / "clear_refs").write_text("5")

    def _status_kb(self, name: str) -> int:
        for line in (self._directory / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise ValueError(f"the kernel tells no {name}")
