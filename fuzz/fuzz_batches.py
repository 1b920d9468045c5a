"""Any bytes as a partition's records end in what is appended or a KafkaError, and what is appended can be read again.

Batches of format 2 go the way of Produce v3 and later, with every topic setting that makes the broker look inside;
others the way of the older versions. In half of the inputs the checksum is mended, so that the rest is reached.
"""

from __future__ import annotations

import random

import driver

from tailrace.base.errors import KafkaError
from tailrace.records.batch import (
    ATTRIBUTES_OFFSET,
    CRC_OFFSET,
    HEADER_SIZE,
    MAGIC,
    MAGIC_OFFSET,
    iter_batches,
)
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.crc import crc32c
from tailrace.records.legacy import down_convert, up_convert
from tailrace.records.record import Record
from tailrace.records.validate import BatchRules, recompressed, single_batch, validate_client_batch

NOW_MS = 1_800_000_000_000
RULES = (
    BatchRules(),
    BatchRules(is_compacted=True, timestamp_before_max_ms=10**9),
    BatchRules(is_append_time=True, compression_type="zstd"),
    BatchRules(compression_type="uncompressed", is_compacted=True),
)


def target(data: bytes) -> None:
    if len(data) > HEADER_SIZE and data[-1] & 1:
        mended = bytearray(data)
        mended[8:12] = (len(data) - 12).to_bytes(4, "big")
        mended[CRC_OFFSET : CRC_OFFSET + 4] = crc32c(memoryview(mended)[ATTRIBUTES_OFFSET:]).to_bytes(4, "big")
        data = bytes(mended)
    if len(data) > MAGIC_OFFSET and data[MAGIC_OFFSET] < MAGIC:
        older(data)
    else:
        for rules in RULES:
            produced(data, rules)


def older(data: bytes) -> None:
    """Produce v0-v2: the message set becomes a batch, whose records are those of the set."""
    try:
        batch = up_convert(memoryview(data))
    except KafkaError:
        return
    view = memoryview(batch)
    single = single_batch(view)
    assert single.crc_valid()
    assert len(list(single.records())) == single.record_count
    for magic in (0, 1):
        assert up_convert(memoryview(down_convert(view, magic)))


def produced(data: bytes, rules: BatchRules) -> None:
    """Produce v3 and later: what passes is whole, and is read again after it was compressed anew."""
    try:
        batch = single_batch(memoryview(data))
        validate_client_batch(batch, rules, NOW_MS)
        anew = recompressed(batch, rules.compression_type)
    except KafkaError:
        return
    assert batch.crc_valid()
    stored = data if anew is None else bytes(anew)
    (again,) = iter_batches(memoryview(stored))
    assert again.crc_valid()
    assert (again.record_count, again.last_offset) == (batch.record_count, batch.last_offset)
    try:
        records = list(batch.records())
    except KafkaError:
        return  # records that nobody had to look at may be malformed: the client's affair, as in Kafka
    assert list(again.records()) == records


def seeds() -> list[bytes]:
    chance = random.Random(0)
    found = [b"", bytes(61)]
    headers = (("h", b"v"), ("empty", None))
    for codec in Codec:
        for count in (1, 3):
            records = [
                Record(at, NOW_MS + at, b"key" if at else None, chance.randbytes(20 * at), headers if at else ())
                for at in range(count)
            ]
            batch = build_batch(records, codec=codec, producer_id=5, producer_epoch=0, base_sequence=0)
            found += [bytes(batch), bytes(batch[:-3])]
            if codec is not Codec.ZSTD:
                found += [down_convert(memoryview(batch), magic) for magic in (0, 1)]
    return found


if __name__ == "__main__":
    driver.run(target, seeds())
