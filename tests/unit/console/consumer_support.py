"""A consumer that gives what a test says lies in a topic, as librdkafka does: some ahead, and each end."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError


class FakeMessage:
    """What librdkafka gives for a record, or for the end of a partition."""

    def __init__(self, partition: int, offset: int, timestamp_ms: int, *, is_end: bool = False) -> None:
        self._facts = partition, offset, timestamp_ms, is_end

    def partition(self) -> int:
        return self._facts[0]

    def offset(self) -> int:
        return self._facts[1]

    def timestamp(self) -> tuple[int, int]:
        return 1, self._facts[2]

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"value %d." % self._facts[1]

    def headers(self) -> None:
        return None

    def error(self) -> Any:
        return KafkaError(KafkaError._PARTITION_EOF) if self._facts[3] else None


class FakeConsumer:
    """A consumer of partitions given as {partition: {offset: timestamp}}, and the end of each."""

    def __init__(self, logs: dict[int, dict[int, int]], ends: dict[int, int]) -> None:
        self._logs = logs
        self._ends = ends
        self._at: dict[int, int] = {}
        self.read = 0

    def assign(self, places: list[Any]) -> None:
        self._at = {each.partition: each.offset for each in places}

    def unassign(self) -> None:
        self._at = {}

    def incremental_unassign(self, places: list[Any]) -> None:
        for each in places:
            self._at.pop(each.partition, None)

    def consume(self, count: int, timeout_s: float) -> list[FakeMessage]:
        told = []
        for partition in list(self._at):
            log = self._logs[partition]
            ahead = sorted(each for each in log if each >= self._at[partition])[:7]
            told += [FakeMessage(partition, each, log[each]) for each in ahead]
            self.read += len(ahead)
            self._at[partition] = ahead[-1] + 1 if ahead else self._ends[partition]
            if not [each for each in log if each >= self._at[partition]]:
                told.append(FakeMessage(partition, self._ends[partition], 0, is_end=True))
        return told
