"""Sizes of logs on disk, asked of every broker by DescribeLogDirs and kept for a while. Unknown sizes are left out."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import TailraceError
from tailrace.client.plain_requests import BrokerAddress
from tailrace.console.kafka import KafkaCluster
from tailrace.console.limits import LARGEST_PARTITIONS_MAX, SIZES_KEPT_MS
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_log_dirs import DescribeLogDirsRequest


class LogSizes(NamedTuple):
    """Bytes on disk. Of a topic: all its replicas together."""

    brokers: dict[int, int]
    topics: dict[str, int]
    partitions: dict[tuple[str, int], int]
    """The largest of the replicas of each."""
    directories: dict[int, list[dict[str, Any]]]


class Sizes:
    """The sizes of one cluster's logs."""

    def __init__(self, kafka: KafkaCluster, clock: Clock) -> None:
        self._kafka = kafka
        self._clock = clock
        self._known: LogSizes | None = None
        self._known_ms = 0.0
        self._asked: asyncio.Task[LogSizes] | None = None

    async def all(self) -> LogSizes:
        """The sizes, at most SIZES_KEPT_MS old."""
        if self._known is not None and self._clock.monotonic_ms() - self._known_ms < SIZES_KEPT_MS:
            return self._known
        if self._asked is None:
            self._asked = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asked)

    def changed(self) -> None:
        """What is kept is out of date."""
        self._known = None

    async def _ask(self) -> LogSizes:
        try:
            brokers = await self._kafka.broker_addresses()
            answers = await asyncio.gather(*(self._ask_broker(address) for address in brokers.values()))
            found = _added_up(dict(zip(brokers, answers, strict=True)))
            self._known, self._known_ms = found, self._clock.monotonic_ms()
            return found
        finally:
            self._asked = None

    async def _ask_broker(self, address: BrokerAddress) -> Any:
        try:
            return await self._kafka.ask(ApiKey.DESCRIBE_LOG_DIRS, DescribeLogDirsRequest(None), address)
        except TailraceError:
            return None


def _added_up(answers: dict[int, Any]) -> LogSizes:
    found = LogSizes({}, {}, {}, {})
    for broker, answer in answers.items():
        if answer is None:
            continue
        found.directories[broker] = [_directory(each, found) for each in answer.results]
        found.brokers[broker] = sum(each["size_bytes"] for each in found.directories[broker])
    return found


def _directory(told: Any, found: LogSizes) -> dict[str, Any]:
    size, logs = 0, []
    for topic in told.topics:
        for each in topic.partitions:
            place = topic.name, each.partition_index
            size += each.partition_size
            logs.append((each.partition_size, place))
            found.topics[topic.name] = found.topics.get(topic.name, 0) + each.partition_size
            found.partitions[place] = max(found.partitions.get(place, 0), each.partition_size)
    logs.sort(reverse=True)
    return {
        "path": told.log_dir,
        "error": None if not told.error_code else f"The broker cannot use it (error {told.error_code}).",
        "total_bytes": told.total_bytes if told.total_bytes >= 0 else None,
        "usable_bytes": told.usable_bytes if told.usable_bytes >= 0 else None,
        "size_bytes": size,
        "partitions": len(logs),
        "largest": [
            {"topic": place[0], "partition": place[1], "size_bytes": each}
            for each, place in logs[:LARGEST_PARTITIONS_MAX]
        ],
    }
