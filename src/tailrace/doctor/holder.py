"""Which process has a directory locked, asked of the kernel without touching the lock.

    fcntl(F_GETLK) on .lock      the process id of who holds it: a broker of ours, or a JVM
    /proc/PID/limits, fd         how many files it may open, and has; Linux only, of one's own processes or as root

Never to be asked in the process that holds the lock: POSIX drops a lock when its process closes any descriptor of the
file.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

_IS_LINUX: Final = sys.platform.startswith("linux")
_FORMAT: Final = "hhqqi" if _IS_LINUX else "qqihh"
"""struct flock: type, whence, start, length, pid; on macOS start, length, pid, type, whence."""


class Holder(NamedTuple):
    """A process. `files_max`, `files_open`: None where the system does not tell."""

    pid: int
    command: str = ""
    files_max: int | None = None
    files_open: int | None = None


def find_holder(lock: Path) -> Holder | None:
    """Who holds the lock; None where nobody does, there is no such file, or it may not be read."""
    wanted = (fcntl.F_WRLCK, 0, 0, 0, 0) if _IS_LINUX else (0, 0, 0, fcntl.F_WRLCK, 0)
    try:
        with lock.open("rb") as file:
            answer = fcntl.fcntl(file.fileno(), fcntl.F_GETLK, struct.pack(_FORMAT, *wanted))
    except OSError:
        return None
    fields = struct.unpack(_FORMAT, answer)
    kind, pid = (fields[0], fields[4]) if _IS_LINUX else (fields[3], fields[2])
    if kind == fcntl.F_UNLCK:
        return None
    return Holder(pid, _command(pid), _files_max(pid), _files_open(pid))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _files_max(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    except OSError:
        return None
    soft = next((line.split()[3] for line in lines if line.startswith("Max open files")), "")
    return int(soft) if soft.isdecimal() else None


def _files_open(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
