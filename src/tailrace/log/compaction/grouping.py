"""Which sealed segments are cleaned into one: runs whose bytes, index bytes and offsets fit a segment.

Sizes are those before cleaning, so a cleaned segment is never too large. Source: Kafka Cleaner.groupSegmentsBySize.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tailrace.base.disk import Disk
from tailrace.log.compaction.plan import CleaningPlan, Source
from tailrace.log.segment import MAX_RELATIVE_OFFSET


def grouped(sources: Sequence[Source], plan: CleaningPlan, disk: Disk) -> list[list[Source]]:
    """Groups of `sources`, oldest first; none is empty. Raises StorageError."""
    ends = [source.base_offset for source in sources[1:]] + [plan.first_uncleanable_offset]
    groups: list[list[Source]] = []
    log_bytes = index_bytes = time_bytes = 0
    for source, end in zip(sources, ends, strict=True):
        log_bytes += source.size
        index_bytes += (source_index_bytes := _size(disk, source.index_path))
        time_bytes += (source_time_bytes := _size(disk, source.time_index_path))
        if (
            groups
            and log_bytes <= plan.segment_bytes
            and max(index_bytes, time_bytes) <= plan.segment_index_bytes
            and (source.size == 0 or end - 1 - groups[-1][0].base_offset <= MAX_RELATIVE_OFFSET)
        ):
            groups[-1].append(source)
        else:
            groups.append([source])
            log_bytes, index_bytes, time_bytes = source.size, source_index_bytes, source_time_bytes
    return groups


def _size(disk: Disk, path: Path) -> int:
    found = disk.stat(path)
    return found.size if found is not None else 0
