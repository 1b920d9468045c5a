"""One sync of a whole volume in place of one for each of ten thousand files: Linux's syncfs(2).

It waits for what every process wrote to the volume. A failed write-back is told to who had a file of the volume open by
then, whichever file it was of; kernels before 5.8 told nobody, and are not asked. Source: man syncfs.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Final

_TELLS_FAILURES: Final = (5, 8)


@cache
def can_sync_volumes() -> bool:
    """Whether this system has a sync of a volume that tells what failed."""
    if sys.platform != "linux":
        return False
    major, minor = os.uname().release.split(".")[:2]
    return major.isdigit() and minor.isdigit() and (int(major), int(minor)) >= _TELLS_FAILURES


def sync_volume(fd: int) -> None:
    """Wait until all that was written to the volume of `fd` is on the device.

    Raises OSError, also where anything failed to be written since `fd` was opened. Only where `can_sync_volumes`.
    """
    import ctypes  # start-up time: 8 ms, for the end of a process that has many dirty files

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
