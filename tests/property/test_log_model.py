"""A log against a dumb twin: a list of records with a start and an end. Whatever is done, both tell the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.faulty_disk import FaultyDisk
from tests.support.log_support import START_MS, environment, open_log, read_batches

from tailrace.log.config import LogConfig
from tailrace.log.log import AppendOrigin
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.control import EndTxnMarker, build_end_txn_marker
from tailrace.records.record import Record

CONFIG = LogConfig(
    segment_bytes=900, index_interval_bytes=120, retention_ms=-1, file_delete_delay_ms=0, segment_ms=1 << 60
)

Row = tuple[int, int, bytes | None, bool, int]
"""offset, timestamp, value, whether a control record, base offset of its batch"""


class LogModel(RuleBasedStateMachine):
    """The twin is `rows` (every record ever kept), `start` and `end`."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="log-model-"))
        self.env = environment(disk=FaultyDisk())  # counts only; no device is waited for
        self.log = open_log(self.directory, CONFIG, self.env)
        self.rows: list[Row] = []
        self.start = 0
        self.end = 0
        self.number = 0
        self.sequence = 0
        self.aborted: list[tuple[int, int]] = []
        self.txn_first: int | None = None

    def teardown(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def commit(self, records: list[Record], is_control: bool = False) -> None:
        self.rows += [(self.end + r.offset, r.timestamp, r.value, is_control, self.end) for r in records]
        self.end += len(records)
        assert self.log.log_end_offset == self.end
        self.log.high_watermark = self.end

    def records(self, count: int, delta_ms: int) -> list[Record]:
        self.number += 1
        value = b"%d" % self.number
        return [Record(i, START_MS + delta_ms + i * 3, b"k", value * (i + 1)) for i in range(count)]

    @rule(count=st.integers(1, 6), delta_ms=st.integers(-500, 500), codec=st.sampled_from(list(Codec)))
    def append(self, count: int, delta_ms: int, codec: Codec) -> None:
        records = self.records(count, delta_ms)
        self.log.append_as_leader(memoryview(build_batch(records, codec=codec)), self.number // 8)
        self.commit(records)

    @rule(count=st.integers(1, 4), again=st.booleans())
    def append_idempotent(self, count: int, again: bool) -> None:
        records = self.records(count, 0)
        fields = {"producer_id": 1, "producer_epoch": 0, "base_sequence": self.sequence}
        self.log.append_as_leader(memoryview(build_batch(records, **fields)), self.number // 8)
        self.commit(records)
        self.sequence += count
        if again:
            info = self.log.append_as_leader(memoryview(build_batch(records, **fields)), self.number // 8)
            assert (info.duplicate, info.first_offset, info.last_offset) == (True, self.end - count, self.end - 1)

    @rule()
    def begin_transaction(self) -> None:
        records = self.records(1, 0)
        fields = {"producer_id": 2, "producer_epoch": 0, "is_transactional": True, "base_sequence": 0}
        known = self.log.producer_states.get(2)
        fields["base_sequence"] = known.last_sequence + 1 if known else 0
        self.log.append_as_leader(memoryview(build_batch(records, **fields)), self.number // 8)  # type: ignore[arg-type]
        self.txn_first = self.end if self.txn_first is None else self.txn_first
        self.commit(records)

    @precondition(lambda self: self.txn_first is not None)
    @rule(is_commit=st.booleans())
    def end_transaction(self, is_commit: bool) -> None:
        marker = build_end_txn_marker(2, 0, EndTxnMarker(is_commit, 0), START_MS)
        self.log.append_as_leader(memoryview(marker), self.number // 8, AppendOrigin.COORDINATOR)
        assert self.txn_first is not None
        if not is_commit:
            self.aborted.append((self.txn_first, self.end))
        self.txn_first = None
        self.commit([Record(0, START_MS, b"", b"\0\0\0\0\0\0")], is_control=True)

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule()
    def flush(self) -> None:
        self.log.flush()
        assert self.log.recovery_point == self.end

    @rule(part=st.floats(0, 1))
    def delete_records(self, part: float) -> None:
        target = self.start + int((self.end - self.start) * part)
        self.log.delete_records_before(target)
        self.start = max(self.start, target)
        self.log.remove_doomed_files()

    @rule(keep_bytes=st.integers(0, 3000))
    def apply_retention(self, keep_bytes: int) -> None:
        self.log.update_config(LogConfig(segment_bytes=900, index_interval_bytes=120, retention_bytes=keep_bytes))
        self.log.apply_retention(START_MS)
        assert self.start <= self.log.log_start_offset <= self.end
        self.start = self.log.log_start_offset
        self.log.update_config(CONFIG)

    @precondition(lambda self: self.txn_first is None and not self.aborted)
    @rule(part=st.floats(0, 1))
    def truncate(self, part: float) -> None:
        target = self.start + int((self.end - self.start) * part)
        hit = [row[4] for row in self.rows if row[0] == target]
        self.log.truncate_to(target)
        if hit and target < self.end:
            self.end = hit[0]
            self.rows = [row for row in self.rows if row[0] < self.end]
            self.start = min(self.start, self.end)
        assert (self.log.log_start_offset, self.log.log_end_offset) == (self.start, self.end)
        known = self.log.producer_states.get(1)
        self.sequence = known.last_sequence + 1 if known else 0
        open_txn = self.log.producer_states.get(2)  # whose marker was cut off
        if open_txn is not None and open_txn.current_txn_first_offset >= 0:
            self.txn_first = open_txn.current_txn_first_offset

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        # An epoch without a record is dropped when a log is opened; a leader assigns it again.
        epochs = [entry for entry in self.log.leader_epochs.entries if entry[1] < self.end]
        if clean:
            self.log.close()
        self.log = open_log(
            self.directory,
            CONFIG,
            self.env,
            was_clean=clean,
            recovery_point=self.log.recovery_point,
            log_start_offset=self.start,
        )
        self.log.high_watermark = self.end
        assert self.log.leader_epochs.entries == epochs
        known = self.log.producer_states.get(1)
        self.sequence = known.last_sequence + 1 if known else 0
        if self.log.producer_states.get(2) is None:
            self.txn_first = None

    def visible(self, offset: int) -> list[Row]:
        return [row for row in self.rows if row[0] >= offset and self.start <= row[0] < self.end]

    @invariant()
    def both_end_alike(self) -> None:
        assert (self.log.log_start_offset, self.log.log_end_offset) == (self.start, self.end)

    @rule(part=st.floats(0, 1), max_bytes=st.integers(1, 2000))
    def read_from(self, part: float, max_bytes: int) -> None:
        offset = self.start + int((self.end - self.start) * part)
        seen = [
            (r.offset, r.timestamp, r.value, b.is_control, b.base_offset)
            for b in read_batches(self.log, offset, max_bytes)
            for r in b.records()
            if r.offset >= offset
        ]
        assert seen == self.visible(offset)

    @rule(delta_ms=st.integers(-600, 600))
    def look_up_a_time(self, delta_ms: int) -> None:
        wanted = START_MS + delta_ms
        expected = next(((row[1], row[0]) for row in self.visible(self.start) if row[1] >= wanted), None)
        found = self.log.offset_for_timestamp(wanted)
        assert (None if found is None else found[:2]) == expected

    @rule()
    def look_up_the_largest_time(self) -> None:
        rows = self.visible(self.start)
        largest = max((row[1] for row in rows), default=None)
        expected = next(((row[1], row[0]) for row in rows if row[1] == largest), None)
        found = self.log.max_timestamp_offset()
        assert (None if found is None else found[:2]) == expected

    @rule()
    def ask_for_aborted_transactions(self) -> None:
        expected = [each for each in self.aborted if each[1] >= self.start]
        found = [(a.first_offset, a.last_offset) for a in self.log.aborted_transactions(self.start, self.end)]
        assert found == expected


LogModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLogModel = LogModel.TestCase
