"""DescribeLogDirs (key 35), v0-v5: what each log directory holds, and how large it is.

Behaviour: null topics: all; partitions that are not here are left out. `offset_lag` is how far the log's end is ahead
    of the high watermark. A directory with logs that could not be loaded is KAFKA_STORAGE_ERROR and still lists the
    rest; one that is offline is KAFKA_STORAGE_ERROR and lists nothing.
Versions: v3 a code for the whole answer; v4 size and free space of the volume; v5 cordoned directories: there are none.
"""

from __future__ import annotations

from shutil import disk_usage

from tailrace.base.errors import ErrorCode
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)


def handle(services: Services, context: RequestContext, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse:
    """Describe every log directory."""
    asked = None
    if request.topics is not None:
        asked = {(topic.topic, partition) for topic in request.topics for partition in topic.partitions}
    logs = services.logs
    topics: dict[object, dict[str, list[DescribeLogDirsPartition]]] = {path: {} for path in logs.directories}
    for topic_partition in logs.topic_partitions:
        if asked is None or topic_partition in asked:
            directory, size_bytes, offset_lag = logs.describe(topic_partition)
            name, index = topic_partition
            topics[directory].setdefault(name, []).append(DescribeLogDirsPartition(index, size_bytes, offset_lag))
    results = []
    for directory in logs.directories:
        if directory.error is not None:
            results.append(DescribeLogDirsResult(ErrorCode.KAFKA_STORAGE_ERROR, str(directory.path.absolute())))
            continue
        code = ErrorCode.KAFKA_STORAGE_ERROR if directory.failures else ErrorCode.NONE
        listed = [DescribeLogDirsTopic(name, partitions) for name, partitions in topics[directory].items()]
        total, free = _volume(str(directory.path))
        results.append(DescribeLogDirsResult(code, str(directory.path.absolute()), listed, total, free))
    return DescribeLogDirsResponse(results=results)


def _volume(path: str) -> tuple[int, int]:
    """(size, free space) in bytes of the volume that holds `path`; (-1, -1) when it does not say."""
    try:
        usage = disk_usage(path)
    except OSError:
        return -1, -1
    return usage.total, usage.free
