"""Random histories of a compacted log against a twin that only remembers what was appended.

After every step:
* a record that is there is the one that was appended at its offset; offsets rise; none appears
* the latest record of each key that is not of an aborted transaction is there, or it was a tombstone whose time is over
* a tombstone is there for `delete.retention.ms` after the cleaning that first passed it
* below the clean point a key is there once, and nothing of an aborted transaction
* what a read_committed consumer gets from the start is that, and nothing of transactions that are open
* an opening that reads every batch again finds every producer where it was
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from pathlib import Path
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.compaction_support import COMPACTED, Compacted, Pair
from tests.support.faulty_disk import FaultyDisk

from tailrace.records.compression import Codec
from tailrace.records.control import end_txn_marker

EXAMPLES = int(os.environ.get("TAILRACE_COMPACTION_EXAMPLES", "40"))
KEYS = [b"a", b"b", b"c", b"d", b"e" * 40]
PRODUCERS = [1, 2, 3]
RETENTION_MS = 1000

pairs = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([b"x", b"y" * 30, None])), min_size=1, max_size=4)
codecs = st.sampled_from([Codec.NONE, Codec.NONE, Codec.GZIP])
producers = st.sampled_from(PRODUCERS)


class Appended(NamedTuple):
    """A record of the twin. `producer_id` is that of its transaction, -1 outside of one."""

    offset: int
    key: bytes | None
    value: bytes | None
    producer_id: int


class CompactedLogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="compaction"))
        self.appended: dict[int, Appended] = {}
        self.outcomes: dict[int, bool] = {}
        """offset of a transaction's record -> whether it was committed"""
        self.cleaned_bound = 0
        """No truncation goes below: the last stable offset when last cleaned."""
        self.tombstones_passed_ms: dict[int, int] = {}

    @initialize(map_slots=st.sampled_from([5, 7, 13, 1000]))
    def begin(self, map_slots: int) -> None:
        self.compacted = Compacted(
            self.directory, COMPACTED, map_slots=map_slots, disk=FaultyDisk()
        )  # no device is waited for

    def teardown(self) -> None:
        if hasattr(self, "compacted"):
            self.compacted.logs.shut_down()
        shutil.rmtree(self.directory)

    # Appending

    def note(self, first_offset: int, batch: list[Pair], producer_id: int = -1) -> None:
        for offset, (key, value) in enumerate(batch, first_offset):
            self.appended[offset] = Appended(offset, key, value, producer_id)

    def producer(self, producer_id: int) -> tuple[int, bool]:
        """(next sequence, whether a transaction is open)."""
        state = self.compacted.log.producer_states.get(producer_id)
        return (0, False) if state is None else (state.last_sequence + 1, state.current_txn_first_offset >= 0)

    @rule(batch=pairs, codec=codecs)
    def append(self, batch: list[Pair], codec: Codec) -> None:
        self.note(self.compacted.append(*batch, codec=codec), batch)

    @rule(batch=pairs, codec=codecs, producer_id=producers)
    def append_idempotent(self, batch: list[Pair], codec: Codec, producer_id: int) -> None:
        sequence, is_open = self.producer(producer_id)
        fields = {
            "producer_id": producer_id,
            "producer_epoch": 0,
            "base_sequence": sequence,
            "is_transactional": is_open,
        }
        offset = self.compacted.append(*batch, codec=codec, **fields)
        self.note(offset, batch, producer_id if is_open else -1)

    @rule(batch=pairs, producer_id=producers)
    def append_in_transaction(self, batch: list[Pair], producer_id: int) -> None:
        sequence, _ = self.producer(producer_id)
        fields = {"producer_id": producer_id, "producer_epoch": 0, "base_sequence": sequence}
        self.note(self.compacted.append(*batch, is_transactional=True, **fields), batch, producer_id)

    @rule(producer_id=producers, commit=st.booleans())
    def end_transaction(self, producer_id: int, commit: bool) -> None:
        if self.producer(producer_id)[1]:
            self.compacted.end_txn(producer_id, commit=commit)
            for record in self.appended.values():
                if record.producer_id == producer_id:
                    self.outcomes.setdefault(record.offset, commit)

    # Time, cleaning, life

    @rule(delta_ms=st.sampled_from([1, 400, 1000, 5000]))
    def wait(self, delta_ms: int) -> None:
        self.compacted.clock.advance(delta_ms)

    @rule(roll=st.booleans())
    def clean(self, roll: bool) -> None:
        log = self.compacted.log
        if roll:
            log.roll()
        self.compacted.cleaner.tick()
        assert not self.compacted.cleaner.uncleanable
        self.cleaned_bound = log.last_stable_offset
        for record in self.appended.values():
            if record.value is None and record.offset < log.first_dirty_offset:
                self.tombstones_passed_ms.setdefault(record.offset, self.compacted.clock.wall_ms())

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        start = self.compacted.log.log_start_offset
        before = {
            entry.producer_id: (entry.producer_epoch, entry.last_sequence, entry.last_offset)
            for entry in self.compacted.log.active_producers()
            # Else its last word is a marker, whose epoch goes with it, or retention took its batches; as in Kafka.
            if entry.last_offset >= start
        }
        open_at = {entry.producer_id: entry.current_txn_first_offset for entry in self.compacted.log.active_producers()}
        end_offset = self.compacted.log.log_end_offset
        self.compacted.reopen(clean=clean)
        assert self.compacted.log.log_end_offset == end_offset
        if not clean:
            for path in self.compacted.log.directory.glob("*.snapshot"):
                path.unlink()
            self.compacted.reopen(clean=False)
        for producer_id, state in before.items():
            found = self.compacted.log.producer_states.get(producer_id)
            assert found is not None
            assert (found.producer_epoch, found.last_sequence, found.last_offset) == state
            first_offset = open_at[producer_id]
            if first_offset < 0 or first_offset >= start:
                assert found.current_txn_first_offset == first_offset
            else:  # retention took the beginning of the transaction
                assert found.current_txn_first_offset >= 0

    @rule(back=st.integers(1, 10))
    def truncate(self, back: int) -> None:
        log = self.compacted.log
        log.truncate_to(max(log.log_end_offset - back, self.cleaned_bound, 0))
        log.high_watermark = log.log_end_offset
        for offsets in (self.appended, self.outcomes, self.tombstones_passed_ms):
            for offset in [o for o in offsets if o >= log.log_end_offset]:
                del offsets[offset]
        for record in self.appended.values():  # the marker that decided may be gone
            state = log.producer_states.get(record.producer_id)
            if state is not None and 0 <= state.current_txn_first_offset <= record.offset:
                self.outcomes.pop(record.offset, None)

    @precondition(lambda self: self.compacted.log.log_end_offset > 0)
    @rule(retention_ms=st.sampled_from([-1, 3000]))
    def retain(self, retention_ms: int) -> None:
        """compact,delete: retention takes whole segments from the start, compacted or not."""
        self.compacted.configure(cleanup_policy=frozenset({"compact", "delete"}), retention_ms=retention_ms)
        self.compacted.log.apply_retention(self.compacted.clock.wall_ms())

    # What must hold

    def latest(self) -> dict[bytes | None, Appended]:
        """The last decided record of each key that readers are to see."""
        last_stable_offset = self.compacted.log.last_stable_offset
        return {
            record.key: record
            for offset, record in sorted(self.appended.items())
            if self.is_visible(record) and offset < last_stable_offset
        }

    def is_visible(self, record: Appended) -> bool:
        return record.producer_id < 0 or self.outcomes.get(record.offset, False)

    def is_aborted(self, record: Appended) -> bool:
        return record.producer_id >= 0 and not self.outcomes.get(record.offset, True)

    @invariant()
    def records_are_those_appended(self) -> None:
        if not hasattr(self, "compacted"):
            return
        log = self.compacted.log
        found = self.compacted.records()
        offsets = [offset for offset, _, _ in found]
        assert offsets == sorted(set(offsets))
        for offset, key, value in found:
            assert self.appended[offset][:3] == (offset, key, value)
        there = set(offsets)
        for offset in self.appended:
            if max(log.first_dirty_offset, log.log_start_offset) <= offset < log.log_end_offset:
                # A record may have given way to a later one in the batch in which the map became full.
                assert offset in there, offset
        self.check_latest(there)
        clean = [self.appended[offset] for offset in offsets if offset < log.first_dirty_offset]
        assert len({record.key for record in clean}) == len(clean)
        assert not [record for record in clean if self.is_aborted(record)]
        self.check_read_committed()

    def check_latest(self, there: set[int]) -> None:
        log = self.compacted.log
        now_ms = self.compacted.clock.wall_ms()
        for record in self.latest().values():
            if record.offset < log.log_start_offset or record.offset in there:
                continue
            assert record.value is None, f"the latest record of {record.key!r} is gone"
            passed_ms = self.tombstones_passed_ms[record.offset]
            assert now_ms >= passed_ms + RETENTION_MS, f"tombstone at {record.offset} went too early"

    def check_read_committed(self) -> None:
        log = self.compacted.log
        seen = self.read_committed()
        expected = self.latest()
        assert all(self.is_visible(self.appended[offset]) for offset in seen), "of an aborted or an open transaction"
        last_seen = {self.appended[offset].key: offset for offset in sorted(seen)}
        for key, record in expected.items():
            if record.offset >= log.log_start_offset and record.value is not None:
                assert last_seen[key] == record.offset

    def read_committed(self) -> list[int]:
        """Offsets a consumer shows: the broker's aborted transactions taken out as every client does."""
        log = self.compacted.log
        end = log.last_stable_offset
        waiting = deque(sorted(log.aborted_transactions(0, end), key=lambda txn: txn.first_offset))
        aborted: set[int] = set()
        shown: list[int] = []
        for batch in self.compacted.batches():
            if batch.base_offset >= end:
                break
            while waiting and waiting[0].first_offset <= batch.last_offset:
                aborted.add(waiting.popleft().producer_id)
            if batch.is_control:
                marker = end_txn_marker(batch)
                if marker is not None and not marker.is_commit:
                    aborted.discard(batch.producer_id)
            elif not (batch.is_transactional and batch.producer_id in aborted):
                shown += [r.offset for r in batch.records() if r.offset >= log.log_start_offset]
        return shown


TestCompactedLog = CompactedLogMachine.TestCase
TestCompactedLog.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)
