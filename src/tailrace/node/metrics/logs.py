"""Logs: their sizes by topic, their directories, flushes.

A log that ended cleanly and was not asked for since is not opened for this: its files are looked at once, and its size
kept until it is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tailrace.base.errors import StorageError
from tailrace.base.types import TopicPartition
from tailrace.node.metrics.limits import STEP_COUNT
from tailrace.node.metrics.topics import label_of
from tailrace.node.observed import Observed
from tailrace.observe.exposition import NO_LABELS, Exposition


class LogSizes:
    """What is known of the sizes of unopened logs, between two looks."""

    def __init__(self) -> None:
        self._unopened: dict[TopicPartition, int] = {}

    def metrics(self, out: Exposition, observed: Observed) -> Iterator[None]:
        """Sizes, directories, flushes."""
        services = observed.services
        logs, traffic = services.logs, services.partitions.traffic
        sizes: Counter[str] = Counter()
        known, self._unopened = self._unopened, {}
        log_count = 0
        for topic_partition in logs.topic_partitions:
            try:
                if not logs.is_unopened(topic_partition):
                    size = logs.describe(topic_partition)[1]
                else:
                    size = known.get(topic_partition, -1)
                    if size < 0:
                        size = logs.describe(topic_partition)[1]
                        yield
                    self._unopened[topic_partition] = size
            except (KeyError, StorageError):  # deleted meanwhile, or its directory failed
                continue
            sizes[label_of(traffic, topic_partition.topic)] += size
            log_count += 1
            if log_count % STEP_COUNT == 0:
                yield
        out.gauge(
            "kafka_log_log_size", "Bytes of all batches, by topic.", [({"topic": t}, n) for t, n in sizes.items()]
        )
        out.gauge("tailrace_logs", "Logs.", [(NO_LABELS, log_count)])
        out.gauge("tailrace_logs_unopened", "Logs that nobody has asked for.", [(NO_LABELS, len(self._unopened))])
        directories = list(logs.directories)
        offline = sum(1 for each in directories if each.error is not None)
        out.gauge(
            "kafka_log_logmanager_offlinelogdirectorycount", "Log directories that failed.", [(NO_LABELS, offline)]
        )
        out.gauge(
            "tailrace_log_directory_space_level",
            "Room on a log directory's volume: 0 enough, 1 so little that producing is refused, 2 none.",
            [({"directory": str(each.path)}, int(each.space)) for each in directories],
        )
        out.durations_ms(
            "kafka_log_logflushstats_logflushrateandtimems",
            "How long flushes of logs took.",
            [(NO_LABELS, logs.flush_times, 0)],
        )
        yield
