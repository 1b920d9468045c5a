"""How far the recovery of one log is, told to whoever asked: a long start must not look like a hung one.

Not its business: what is done with it (the node says so on stderr). Source: wants of operators whose supervisor killed
a broker that was recovering; Kafka's remainingLogsToRecover metrics (KIP-831).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tailrace.log.config import RecoveryStatus


class RecoveryProgress:
    """Counts the bytes of one log."""

    __slots__ = ("_bytes_done", "_bytes_total", "_directory", "_tell")

    def __init__(self, tell: Callable[[RecoveryStatus], None], directory: Path) -> None:
        self._tell = tell
        self._directory = directory
        self._bytes_done = 0
        self._bytes_total = 0

    def begin(self, bytes_total: int) -> None:
        """There are `bytes_total` to look at."""
        self._bytes_total = bytes_total

    def advance(self, byte_count: int) -> None:
        """So many more are known to be good."""
        self._bytes_done += byte_count
        self._tell(RecoveryStatus(self._directory, self._bytes_done, self._bytes_total, 0, -1, False))

    def finish(self, bytes_cut: int, end_offset: int) -> None:
        """The log ends at `end_offset`; `bytes_cut` of it were no batches."""
        self._tell(RecoveryStatus(self._directory, self._bytes_done, self._bytes_total, bytes_cut, end_offset, True))
