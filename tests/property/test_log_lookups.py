"""Lookups by offset and by time against brute force, and what they read: one index entry's span and a batch.

Timestamps fall, repeat and jump, batches are compressed or not, the log rolls, is truncated, reopened (cleanly or
not), loses records at its start and has gaps as compaction leaves them. Source: KIP-79, KIP-734, Kafka LogSegment.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.counting_disk import CountingDisk
from tests.support.log_support import START_MS

from tailrace.base.clock import ManualClock
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log
from tailrace.records.batch import HEADER_SIZE, RecordBatch
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.record import Record

INTERVAL = 300
CONFIG = LogConfig(segment_bytes=3000, index_interval_bytes=INTERVAL, segment_ms=1 << 60, file_delete_delay_ms=0)
TIMES = st.integers(0, 60).map(lambda n: START_MS + n * 10)
BATCH_MAX_BYTES = 400

batches = st.tuples(
    st.just("append"),
    st.lists(TIMES, min_size=1, max_size=4),
    st.sampled_from((Codec.NONE, Codec.GZIP)),
    st.integers(0, 3),
)
steps = st.lists(
    st.one_of(
        batches,
        batches,
        batches,
        st.tuples(st.just("flat"), st.integers(5, 60)),
        st.tuples(st.sampled_from(("truncate", "delete")), st.floats(0, 1)),
        st.tuples(st.sampled_from(("close", "crash", "flush", "roll", "retain"))),
    ),
    min_size=5,
    max_size=25,
)


class Row(NamedTuple):
    offset: int
    timestamp: int
    batch_last: int


class Twin:
    """The log, and a list of what must be in it."""

    def __init__(self, directory: Path, *, append_time: bool) -> None:
        self.directory = directory
        self.disk = CountingDisk()
        self.clock = ManualClock(START_MS)
        kind = "LogAppendTime" if append_time else "CreateTime"
        self.config = LogConfig(**{**_fields(CONFIG), "message_timestamp_type": kind})
        self.append_time = append_time
        self.rows: list[Row] = []
        self.log = self.opened(was_clean=False)

    def opened(self, *, was_clean: bool) -> Log:
        environment = LogEnvironment(disk=self.disk, clock=self.clock)
        return Log.open(self.directory, TopicPartition("t", 0), self.config, environment, was_clean=was_clean)

    def append(self, times: list[int], codec: Codec, gap: int) -> None:
        base = self.log.log_end_offset + gap
        records = [Record(index, time, b"k", b"v" * 40) for index, time in enumerate(times)]
        data = build_batch(records, codec=codec)
        if self.append_time or not gap:
            base = self.log.log_end_offset
            self.log.append_as_leader(memoryview(data), 0)
            times = [self.clock.wall_ms()] * len(times) if self.append_time else times
        else:
            data[0:8] = base.to_bytes(8, "big")
            self.log.append_as_follower(memoryview(data))
        last = base + len(times) - 1
        self.rows += [Row(base + index, time, last) for index, time in enumerate(times)]
        self.log.high_watermark = self.log.log_end_offset

    def step(self, step: tuple[object, ...]) -> None:
        self.clock.advance(7)
        match step:
            case ("append", list(times), Codec() as codec, int(gap)):
                self.append(times, codec, gap)
            case ("flat", int(count)):
                for _ in range(count):
                    self.append([START_MS], Codec.NONE, 0)
            case ("truncate", float(part)):
                offset = int(self.log.log_end_offset * part)
                if offset > self.log.log_start_offset:
                    self.log.truncate_to(offset)
                    self.rows = [row for row in self.rows if row.batch_last < offset]
                    self.log.high_watermark = self.log.log_end_offset
            case ("delete", float(part)):
                self.log.delete_records_before(int(self.log.log_end_offset * part))
                self.rows = [row for row in self.rows if row.offset >= self.log.log_start_offset]
            case ("close",):
                self.log.close()
                self.reopen(was_clean=True)
            case ("crash",):
                self.log.flush()
                self.log.abandon()
                self.reopen(was_clean=False)
            case ("flush",):
                self.log.flush()
            case ("roll",):
                self.log.roll()
            case ("retain",):
                for segment in list(self.log.segments)[:-1]:
                    segment.unload()

    def reopen(self, *, was_clean: bool) -> None:
        start = self.log.log_start_offset
        self.log = self.opened(was_clean=was_clean)
        self.log.high_watermark = self.log.log_end_offset
        if start > self.log.log_start_offset:
            self.log.advance_log_start_offset(start)

    # What must hold

    def check_offsets(self) -> None:
        log = self.log
        for row in self.rows:
            self.disk.reads.clear()
            found = log.read(row.offset, 1, log.log_end_offset, min_one_batch=True)
            self.check_cost(with_batch=False)
            assert found.file is not None
            batch = RecordBatch.parse(memoryview(found.file.pread(found.size, found.position)))
            assert batch.last_offset == row.batch_last and batch.base_offset == found.first_offset <= row.offset

    def check_times(self) -> None:
        log, rows = self.log, self.rows
        largest = max((row.timestamp for row in rows), default=-1)
        for wanted in sorted({START_MS - 1, largest + 1, *(row.timestamp + d for row in rows for d in (0, 1))}):
            expected = next(((r.timestamp, r.offset) for r in rows if r.timestamp >= wanted), None)
            for segment in log.segments:
                _ = segment.max_timestamp, segment.offset_index.last()
            self.disk.reads.clear()
            found = log.offset_for_timestamp(wanted)
            assert (found[:2] if found is not None else None) == expected, wanted
            if log.log_start_offset == log.segments[0].base_offset:
                self.check_cost(with_batch=True)
        top = log.max_timestamp_offset()
        assert (top[:2] if top is not None else None) == next(
            ((row.timestamp, row.offset) for row in rows if row.timestamp == largest), None
        )

    def check_cost(self, *, with_batch: bool) -> None:
        """At most the span of one index entry: `index.interval.bytes`, the batch that passed it, and the one sought."""
        read = sum(size for _, _, size in self.disk.reads)
        limit = INTERVAL + 2 * (BATCH_MAX_BYTES + HEADER_SIZE) + (BATCH_MAX_BYTES if with_batch else 0)
        assert read <= limit, self.disk.reads
        assert len(self.disk.reads) <= 4, self.disk.reads


def _fields(config: LogConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in LogConfig.__slots__}


@settings(max_examples=120, deadline=None)
@given(steps=steps, append_time=st.booleans())
def test_every_record_is_found_by_offset_and_by_time(steps: list[tuple[object, ...]], append_time: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        twin = Twin(Path(directory) / "t-0", append_time=append_time)
        for step in steps:
            twin.step(step)
        twin.check_offsets()
        twin.check_times()
        twin.log.abandon()


def test_a_rise_after_a_long_flat_stretch_is_found_in_one_span() -> None:
    """The time index has no entry while time stands still; the search does not walk through all of that."""
    with tempfile.TemporaryDirectory() as directory:
        twin = Twin(Path(directory) / "t-0", append_time=False)
        twin.config = LogConfig(index_interval_bytes=INTERVAL)
        twin.log = twin.opened(was_clean=False)
        twin.append([START_MS], Codec.NONE, 0)
        for _ in range(300):
            twin.append([START_MS - 5], Codec.NONE, 0)
        twin.append([START_MS + 9], Codec.NONE, 0)
        for _ in range(10):
            twin.append([START_MS + 3], Codec.NONE, 0)
        twin.check_times()
        twin.log.abandon()
