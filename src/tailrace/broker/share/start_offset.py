"""Where a share group begins in a partition it never came to: `share.auto.offset.reset`.

Source: KIP-932, KIP-1106; Kafka ShareGroupAutoOffsetResetStrategy.
"""

from __future__ import annotations

import re
from typing import Final

from tailrace.replication.partition import IsolationLevel, Partition

_DURATION: Final = re.compile(r"by_duration:P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def start_offset_of(reset: str, partition: Partition, now_ms: int) -> int:
    """The offset for `latest`, `earliest` or `by_duration:<ISO 8601>`; with no record so young, the end.

    Raises StorageError.
    """
    if reset == "earliest":
        return partition.log_start_offset
    if reset != "latest":
        _, offset, _ = partition.offset_for(max(now_ms - duration_ms(reset), 0), IsolationLevel.READ_UNCOMMITTED)
        if offset >= 0:
            return offset
    return partition.high_watermark


def duration_ms(reset: str) -> int:
    """How far back `by_duration` goes."""
    found = _DURATION.fullmatch(reset)
    assert found is not None, f"{reset} was not checked"
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return int((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)
