"""What threads and the process have used of the processors so far. Nanoseconds, user and system time together.

Where the platform does not tell a thread's time from outside (macOS), `thread_cpu_ns` answers None and a caller says
what it then does not know.
"""

from __future__ import annotations

import time
from typing import Final

CAN_READ_THREADS: Final = hasattr(time, "pthread_getcpuclockid")
"""Whether one thread may read another's time here."""


def process_cpu_ns() -> int:
    """Time of all threads of the process, also of those that Python knows nothing of."""
    return time.process_time_ns()


def thread_cpu_ns(ident: int) -> int | None:
    """Time of a living thread of Python's; None where it cannot be told.

    `ident` must come from `sys._current_frames()` in the same breath: the C library may crash on that of an ended
    thread.
    """
    if not CAN_READ_THREADS:
        return None
    try:
        return time.clock_gettime_ns(time.pthread_getcpuclockid(ident))
    except OSError:
        return None
