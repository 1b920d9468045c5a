"""What a reader of figures needs to know of the machine they were taken on. No names of hosts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def facts() -> dict[str, Any]:
    """Processors, interpreter, kernel, and the load average of the last minute."""
    return {
        "cpus": os.cpu_count(),
        "python": sys.version.split()[0],
        "kernel": kernel(),
        "load_average": os.getloadavg()[0],
    }


def kernel() -> str:
    """The kernel's version alone, not whose build it is."""
    return os.uname().release.split("-")[0]


def processor() -> str:
    """The processor's name, as the kernel tells it."""
    found = Path("/proc/cpuinfo")
    lines = found.read_text(encoding="utf-8").splitlines() if found.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), os.uname().machine)
