"""How many threads read the past: `log.reader.threads`, or what the disks under the log directories can use.

A thread that reads is a place in a disk's queue, so the number follows the disks and not the cores: 32 for each, or as
many as its queue takes where those are fewer. What a disk says of itself beyond that is no guide: virtual disks call
themselves rotating whatever lies below. Measured with bench/bench_cold_reads.py, see docs/performance.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tailrace.base.limits import READER_THREADS_MAX, READERS_PER_DISK

_SYSFS: Final = Path("/sys/dev/block")


def reader_threads(configured: int, directories: Iterable[Path], sysfs: Path = _SYSFS) -> int:
    """The most threads to start. `configured` 0 means: as the disks of `directories` want it."""
    if configured > 0:
        return configured
    devices = {directory.stat().st_dev for directory in directories}
    wanted = sum(min(READERS_PER_DISK, _queue_size(device, sysfs)) for device in devices)
    return min(max(wanted, 1), READER_THREADS_MAX)


def _queue_size(device: int, sysfs: Path) -> int:
    """Requests the device takes at once; READERS_PER_DISK where it does not say (macOS, network, layered ones)."""
    entry = sysfs / f"{os.major(device)}:{os.minor(device)}"
    for queue in (entry / "queue", entry / ".." / "queue"):  # a partition's queue is that of its disk
        try:
            return int((queue / "nr_requests").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return READERS_PER_DISK
