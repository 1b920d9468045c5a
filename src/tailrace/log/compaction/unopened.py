"""Whether a log that nobody asked for since a clean end has something to compact. Looks at names and sizes only.

After a clean end the recovery point is the log's end, so with the cleaner's checkpoint and the segments' sizes it is
known how dirty a log is without opening it. What only an open log can tell (undecided transactions, records too young)
is left out: the answer may be yes for nothing, never no where there is something to do.
Source of the ratio: `candidates`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from tailrace.base.disk import Disk
from tailrace.base.types import TopicPartition
from tailrace.log.config import INT64_MAX, LogConfig
from tailrace.log.filenames import LOG_SUFFIX, offset_of
from tailrace.log.log_directory import LogDirectory


def may_be_due(
    disk: Disk, directory: LogDirectory, topic_partition: TopicPartition, config_of: Callable[[str], LogConfig]
) -> bool:
    """Whether the partition's log, which is not open, should be opened for the cleaner. Raises StorageError."""
    end = directory.recovery_points.get(topic_partition, 0)
    noted = directory.cleaner_offsets.get(topic_partition, -1)
    if noted == end:
        return False
    path = directory.path / str(topic_partition)
    names = {offset: name for name in disk.list(path) if (offset := offset_of(name, LOG_SUFFIX)) is not None}
    if len(names) < 2:
        return False
    config = config_of(topic_partition.topic)
    if not config.compacts:
        return False
    bases = sorted(names)
    first_dirty = noted if bases[0] <= noted <= end else bases[0]
    clean_bytes = dirty_bytes = 0
    for base, following in pairwise(bases):
        stat = disk.stat(path / names[base])
        size = 0 if stat is None else stat.size
        if following > first_dirty:
            dirty_bytes += size
        else:
            clean_bytes += size
    if not dirty_bytes:
        return False
    is_dirty = dirty_bytes > config.min_cleanable_dirty_ratio * (clean_bytes + dirty_bytes)
    return is_dirty or config.max_compaction_lag_ms < INT64_MAX
