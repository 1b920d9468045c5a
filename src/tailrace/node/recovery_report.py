"""Says how a recovery goes: a start that reads for minutes must not look hung to whoever may kill it.

One line each `INTERVAL_MS` while logs are read, one for each log that was cut, nothing for a start that is over before.
Source: wants of operators whose supervisors killed brokers that were recovering.
"""

from __future__ import annotations

import logging
from typing import Final

from tailrace.base.clock import Clock
from tailrace.log.config import RecoveryStatus

_log = logging.getLogger("tailrace.node")

INTERVAL_MS: Final = 3000
_MIB: Final = 1 << 20


class RecoveryReport:
    """Writes to the log what the logs tell of their recovery."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_ms = clock.monotonic_ms()
        self._log_count = 0
        self._byte_count = 0

    def __call__(self, status: RecoveryStatus) -> None:
        """Take in one status."""
        if status.is_done:
            self._log_count += 1
            self._byte_count += status.bytes_done
            if status.bytes_cut:
                _log.warning(
                    "%s: cut %d bytes that were no whole batch; it ends at offset %d",
                    status.directory.name,
                    status.bytes_cut,
                    status.end_offset,
                )
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._told_ms >= INTERVAL_MS:
            self._told_ms = now_ms
            _log.warning(
                "recovering after an unclean stop: %s at %d of %d MiB; done before it: %d logs, %d MiB",
                status.directory.name,
                status.bytes_done // _MIB,
                status.bytes_total // _MIB,
                self._log_count,
                self._byte_count // _MIB,
            )
