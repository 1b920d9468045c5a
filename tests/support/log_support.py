"""What the tests of records and logs share: batches of numbered records, logs in a directory, reading all of one."""

from __future__ import annotations

from pathlib import Path

from tailrace.base.clock import ManualClock
from tailrace.base.disk import Disk, RealDisk
from tailrace.base.rand import SeededRandom
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log
from tailrace.log.recovery import KnownOffsets
from tailrace.records.batch import RecordBatch, iter_whole_batches
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.record import Record

PARTITION = TopicPartition("topic", 0)
START_MS = 1_700_000_000_000


def batch_of(count: int = 1, *, timestamp: int = START_MS, value: bytes = b"value", **fields: object) -> memoryview:
    """A batch of `count` records with keys 0.. and rising timestamps, on writable memory."""
    records = [Record(i, timestamp + i, b"%d" % i, value) for i in range(count)]
    return memoryview(build_batch(records, **fields))  # type: ignore[arg-type]


def idempotent_batch(sequence: int, count: int = 1, *, producer_id: int = 7, epoch: int = 0) -> memoryview:
    """A batch of an idempotent producer."""
    return batch_of(count, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)


def environment(disk: Disk | None = None, clock: ManualClock | None = None) -> LogEnvironment:
    """Repeatable surroundings on the real disk."""
    return LogEnvironment(disk=disk or RealDisk(), clock=clock or ManualClock(START_MS), random=SeededRandom(1))


def open_log(
    directory: Path,
    config: LogConfig | None = None,
    env: LogEnvironment | None = None,
    *,
    was_clean: bool = False,
    **known: int,
) -> Log:
    """The log in `directory`, by default after an unclean stop with nothing known to be flushed."""
    offsets = KnownOffsets(**known)
    return Log.open(directory, PARTITION, config or LogConfig(), env or environment(), offsets, was_clean=was_clean)


def read_batches(log: Log, offset: int | None = None, max_bytes: int = 1 << 20) -> list[RecordBatch]:
    """Every batch from `offset` (the log start) to the log end, fetched as a consumer would."""
    offset = log.log_start_offset if offset is None else offset
    batches: list[RecordBatch] = []
    while offset < log.log_end_offset:
        fetched = log.read(offset, max_bytes, log.log_end_offset, min_one_batch=True)
        if fetched.size == 0:
            break
        for batch in iter_whole_batches(memoryview(log.read_bytes(fetched))):
            batches.append(batch)
            offset = batch.next_offset
    return batches


def read_values(log: Log, offset: int | None = None) -> list[tuple[int, bytes | None]]:
    """(offset, value) of every record from `offset` on."""
    first = log.log_start_offset if offset is None else offset
    return [(r.offset, r.value) for b in read_batches(log, offset) for r in b.records() if r.offset >= first]


ALL_CODECS = list(Codec)
