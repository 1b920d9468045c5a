"""Reads a sealed segment's batches whole, with a bounded buffer. For the cleaner's thread.

Invariant: at most one read and one batch are in memory; every batch's CRC held. Bytes that are no batch, or a batch
that reaches past the segment's end, are CORRUPT_MESSAGE.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.base.disk import File
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.log.compaction.plan import Source
from tailrace.records.batch import HEADER_SIZE, RecordBatch


def read_batches(file: File, source: Source, position: int, read_bytes: int) -> Iterator[RecordBatch]:
    """Each batch from the one at `position` on, reading `read_bytes` or a batch at once.

    A batch's memory is its own for as long as it is held. Raises StorageError, KafkaError(CORRUPT_MESSAGE).
    """
    size = source.size
    wanted = max(read_bytes, HEADER_SIZE)
    while position < size:
        chunk = memoryview(file.pread(min(wanted, size - position), position))
        at = 0
        next_size = HEADER_SIZE
        while len(chunk) - at >= HEADER_SIZE:
            next_size = RecordBatch.parse_header(chunk[at : at + HEADER_SIZE]).size
            if next_size > len(chunk) - at:
                break
            batch = RecordBatch.parse(chunk[at : at + next_size])
            if not batch.crc_valid():
                raise _corrupt(source, position + at, "fails its CRC")
            at += next_size
            yield batch
        if at == 0 and next_size > size - position:
            raise _corrupt(source, position, "is cut")
        position += at
        wanted = max(read_bytes, next_size)


def _corrupt(source: Source, position: int, what: str) -> KafkaError:
    return KafkaError(ErrorCode.CORRUPT_MESSAGE, f"batch at {position} of {source.path} {what}")
