"""How many files and sockets this process may have open: RLIMIT_NOFILE.

The soft limit is a courtesy to programs that use select(2), which cannot name descriptors above 1023. We do not, so a
broker raises it to the hard limit, as the JVM does.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

_UNLIMITED_COUNT: Final = 1 << 20
"""What "no limit" is taken for: Linux's default of fs.nr_open."""


def descriptor_limit() -> int:
    """How many descriptors this process may have now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED_COUNT if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> int:
    """Allow this process what the hard limit allows; how many that is. Never lowers it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS refuses an unlimited number, and says unlimited where it means kern.maxfilesperproc.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return descriptor_limit()
