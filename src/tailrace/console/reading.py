"""Reading records of a topic in slices of its partitions, forwards and backwards. Blocks: runs in a thread.

    begin <= low .. high <= end      a slice of one partition; what lies in it may be gone (compaction) or not be
                                     records (the markers of transactions), so a slice has at most high - low records

Going backwards is reading slices that lie one before the other. Invariant: of each partition what is answered is
without gaps: all records between the first and the last, so that `next` says exactly where to go on.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
)
from confluent_kafka import TopicPartition as Place

from tailrace.base.clock import Clock
from tailrace.console.limits import READ_BYTES_MAX, READ_RECORDS_MAX

_WAIT_S: Final = 0.1
_BATCH: Final = 500
_GROWTH: Final = 4
_TIMES: Final = {TIMESTAMP_CREATE_TIME: "create", TIMESTAMP_LOG_APPEND_TIME: "append"}

Slices = Mapping[int, tuple[int, int]]


class Record(NamedTuple):
    """One record as it was read."""

    partition: int
    offset: int
    timestamp_ms: int | None
    timestamp_type: str | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")


class Limits(NamedTuple):
    """When reading has to end: at a time of the monotonic clock, or when it is told to."""

    clock: Clock
    deadline_ms: float
    stopped: Event

    @property
    def is_over(self) -> bool:
        """Whether it has."""
        return self.stopped.is_set() or self.clock.monotonic_ms() >= self.deadline_ms


class Found(NamedTuple):
    """Records in the order they are shown in, and where to go on in each partition."""

    records: list[Record]
    next: dict[int, int]
    is_complete: bool


def record_of(message: Message) -> Record:
    """What librdkafka gave, as bytes."""
    told: Any = message.timestamp()  # a pair; its stub says other things too
    kind, timestamp = told
    pairs: Any = message.headers()
    headers = [(name, _bytes(value)) for name, value in pairs or ()]
    return Record(
        message.partition() or 0,
        message.offset() or 0,
        timestamp if kind in _TIMES else None,
        _TIMES.get(kind),
        _bytes(message.key()),
        _bytes(message.value()),
        headers,
    )


class SliceReader:
    """Reads slices of one topic with one consumer."""

    def __init__(self, consumer: Consumer, topic: str, limits: Limits) -> None:
        self._consumer = consumer
        self._topic = topic
        self._limits = limits

    def read(self, slices: Slices, most: int, on_message: Callable[[Message], bool]) -> bool:
        """Call `on_message` with the records of each slice in order, at most `most` of each, until it says False.

        They come as librdkafka's messages: to make a Record of each costs more than to look for something in it.
        Returns whether every slice was read to its end, or to `most`.
        """
        left = {partition: high for partition, (low, high) in slices.items() if low < high}
        counts = dict.fromkeys(left, 0)
        if not left:
            return True
        self._consumer.assign([Place(self._topic, each, slices[each][0]) for each in left])
        try:
            while left:
                if self._limits.is_over:
                    return False
                for message in self._consumer.consume(_BATCH, _WAIT_S):
                    partition, error = message.partition() or 0, message.error()
                    high = left.get(partition, -1)
                    if error is not None:
                        if error.code() != KafkaError._PARTITION_EOF:
                            raise KafkaException(error)
                        self._end(partition, left)
                    elif high >= 0:
                        offset = message.offset() or 0
                        if offset < high:
                            counts[partition] += 1
                            if not on_message(message):
                                return False
                        if offset >= high - 1 or counts[partition] >= most:
                            self._end(partition, left)
            return True
        finally:
            self._consumer.unassign()

    def _end(self, partition: int, left: dict[int, int]) -> None:
        """Read no more of it; what of it waits is thrown away."""
        if left.pop(partition, None) is not None and left:
            self._consumer.incremental_unassign([Place(self._topic, partition)])


def newest(reader: SliceReader, begins: Mapping[int, int], highs: Mapping[int, int], limit: int) -> Found:
    """The last `limit` records before `highs`, newest first. `next`: the highs of what is older."""
    found: dict[int, list[Record]] = {partition: [] for partition in highs}
    lows = dict(highs)
    chunk = per_partition(limit, len(highs))
    is_complete = True
    while is_complete and sum(map(len, found.values())) < limit:
        slices = {each: (max(begins[each], low - chunk), low) for each, low in lows.items() if low > begins[each]}
        if not slices:
            break
        held = _Held()
        is_complete = reader.read(slices, chunk, held.add)
        for partition, (low, _) in slices.items():
            found[partition] = held.records.get(partition, []) + found[partition]
            lows[partition] = low
        chunk = min(chunk * _GROWTH, per_partition(READ_RECORDS_MAX, len(highs)))
    taken, counts = merged({each: records[::-1] for each, records in found.items()}, limit, -1)
    onward = {}
    for partition, high in highs.items():
        count, records = counts[partition], found[partition]
        if not is_complete and not count:
            onward[partition] = high
        elif count:
            onward[partition] = records[-count].offset
        else:
            onward[partition] = records[-1].offset + 1 if records else lows[partition]
    return Found(taken, onward, is_complete)


def oldest(reader: SliceReader, lows: Mapping[int, int], ends: Mapping[int, int], limit: int) -> Found:
    """The first `limit` records from `lows` on, oldest first. `next`: the lows of what is newer."""
    held = _Held()
    slices = {each: (low, ends[each]) for each, low in lows.items()}
    is_complete = reader.read(slices, per_partition(limit, len(lows)), held.add)
    found = {each: held.records.get(each, []) for each in lows}
    taken, counts = merged(found, limit, 1)
    onward = {}
    for partition, low in lows.items():
        count = counts[partition]
        if count:
            onward[partition] = found[partition][count - 1].offset + 1
        else:
            onward[partition] = low if found[partition] or not is_complete else max(low, ends[partition])
        if is_complete and count == len(found[partition]) < per_partition(limit, len(lows)):
            onward[partition] = max(low, ends[partition])  # all that were there: what follows are no records
    return Found(taken, onward, is_complete)


def per_partition(limit: int, partitions: int) -> int:
    """How many records are read of each of so many partitions, to find `limit` of all."""
    return max(1, min(limit, READ_RECORDS_MAX // max(1, partitions)))


class _Held:
    """Records of several partitions, bounded by READ_BYTES_MAX."""

    def __init__(self) -> None:
        self.records: dict[int, list[Record]] = {}
        self._bytes = 0

    def add(self, message: Message) -> bool:
        record = record_of(message)
        self.records.setdefault(record.partition, []).append(record)
        self._bytes += record.size
        return self._bytes < READ_BYTES_MAX


def merged(found: Mapping[int, list[Record]], limit: int, sign: int) -> tuple[list[Record], dict[int, int]]:
    """`limit` records by time over all partitions, each partition in its own order; how many of each were taken."""
    counts = dict.fromkeys(found, 0)
    heads = [(sign * (records[0].timestamp_ms or 0), each) for each, records in found.items() if records]
    heapq.heapify(heads)
    taken: list[Record] = []
    while heads and len(taken) < limit:
        _, partition = heapq.heappop(heads)
        records = found[partition]
        taken.append(records[counts[partition]])
        counts[partition] += 1
        if counts[partition] < len(records):
            heapq.heappush(heads, (sign * (records[counts[partition]].timestamp_ms or 0), partition))
    return taken, counts


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    assert isinstance(value, str), value
    return value.encode()
