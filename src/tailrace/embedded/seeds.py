"""Seed records: the forms a caller may write them in, and the partition each goes to.

A keyed record goes where the Java client and `murmur2_random` of librdkafka would send it, so that records an
application adds later with the same key land in the same partition. Records without a key take turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tailrace.records.builder import BatchBuilder

Text = bytes | str | None
Headers = Sequence[tuple[str, Text]]


class SeedRecord(NamedTuple):
    """A record to write. Text is encoded as UTF-8; a null value is a tombstone; no timestamp means the present."""

    value: Text
    key: Text = None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


class StoredRecord(NamedTuple):
    """A record read back."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


Seed = SeedRecord | bytes | str | tuple[Text, Text] | None
"""A value, a (key, value) pair, or a SeedRecord."""


def as_record(seed: Seed) -> SeedRecord:
    """The record a seed stands for. Raises TypeError for anything that is none of the forms."""
    if isinstance(seed, SeedRecord):
        return seed
    if seed is None or isinstance(seed, bytes | str):
        return SeedRecord(seed)
    if isinstance(seed, tuple) and len(seed) == 2:
        key, value = seed
        return SeedRecord(value, key)
    raise TypeError(f"a record is a value, a (key, value) pair or a SeedRecord, not {seed!r}")


def build_batches(
    seeds: Iterable[Seed], partitions: int, now_ms: int, forced: int | None = None
) -> dict[int, bytearray]:
    """One batch for each partition that gets records, in the order given; all in partition `forced` if given.

    Raises:
        ValueError: a record names a partition the topic does not have.
    """
    builders: dict[int, BatchBuilder] = {}
    turn = 0
    for seed in seeds:
        record = as_record(seed)
        key = encoded(record.key)
        if forced is not None:
            partition = forced
        elif record.partition is not None:
            partition = record.partition
        elif key is not None:
            partition = partition_for_key(key, partitions)
        else:
            partition, turn = turn % partitions, turn + 1
        if not 0 <= partition < partitions:
            raise ValueError(f"partition {partition} of a record is not one of the topic's {partitions}")
        timestamp_ms = now_ms if record.timestamp_ms is None else record.timestamp_ms
        headers = [(name, encoded(value)) for name, value in record.headers]
        builders.setdefault(partition, BatchBuilder()).append(timestamp_ms, key, encoded(record.value), headers)
    return {partition: builder.build() for partition, builder in builders.items()}


def encoded(text: Text) -> bytes | None:
    """Bytes as they are, text as UTF-8, null as null."""
    return text.encode() if isinstance(text, str) else text


def partition_for_key(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner: murmur2 of the key without its sign bit, modulo the number of partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


MURMUR2_SEED: Final = 0x9747B28C
MURMUR2_MULTIPLIER: Final = 0x5BD1E995
MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bit, with Kafka's seed. Source: Kafka Utils.murmur2."""
    mixed = MURMUR2_SEED ^ len(data)
    whole = len(data) & ~3
    for position in range(0, whole, 4):
        word = int.from_bytes(data[position : position + 4], "little") * MURMUR2_MULTIPLIER & MASK
        word = (word ^ word >> 24) * MURMUR2_MULTIPLIER & MASK
        mixed = (mixed * MURMUR2_MULTIPLIER & MASK) ^ word
    if whole < len(data):
        mixed = (mixed ^ int.from_bytes(data[whole:], "little")) * MURMUR2_MULTIPLIER & MASK
    mixed = (mixed ^ mixed >> 13) * MURMUR2_MULTIPLIER & MASK
    return mixed ^ mixed >> 15
