"""Logs in a directory with a cleaner that works at once, in the caller's thread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from tests.support.log_support import PARTITION, environment

from tailrace.base.background import Background, InlineBackground
from tailrace.base.clock import ManualClock
from tailrace.base.disk import Disk
from tailrace.log.compaction.cleaner import Cleaner, CleanerSettings
from tailrace.log.compaction.offset_map import SLOT_BYTES
from tailrace.log.config import LogConfig
from tailrace.log.log import AppendOrigin, Log
from tailrace.log.logs import Logs
from tailrace.records.batch import RecordBatch
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.control import EndTxnMarker, build_end_txn_marker
from tailrace.records.record import Record

TOPIC_ID = UUID(int=9)
COMPACTED = LogConfig(
    cleanup_policy=frozenset({"compact"}),
    segment_bytes=600,
    index_interval_bytes=150,
    min_cleanable_dirty_ratio=0.0001,
    delete_retention_ms=1000,
    file_delete_delay_ms=0,
    retention_ms=-1,
)
SETTINGS = CleanerSettings(True, 1, 1 << 20, 0.9, 4096, 1e308)

Pair = tuple[bytes | None, bytes | None]


class Compacted:
    """One compacted log, its clock and its cleaner."""

    def __init__(
        self,
        directory: Path,
        config: LogConfig = COMPACTED,
        *,
        map_slots: int = 10_000,
        disk: Disk | None = None,
        background: Background | None = None,
    ) -> None:
        self.directory = directory
        self.config = config
        self.env = replace(environment(disk, ManualClock()), cleaner=background or InlineBackground())
        self.settings = SETTINGS._replace(dedupe_buffer_bytes=map_slots * SLOT_BYTES)
        self.open()

    def open(self) -> None:
        self.logs = Logs([self.directory], self.env, lambda topic: self.config)
        self.logs.load_all()
        self.log: Log = self.logs.create(PARTITION, TOPIC_ID)
        self.log.high_watermark = self.log.log_end_offset
        self.cleaner = Cleaner(self.logs, self.env, lambda: self.settings)

    def reopen(self, *, clean: bool = True) -> None:
        if clean:
            self.logs.shut_down()
        else:
            self.logs.abandon()
        self.open()

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.env.clock, ManualClock)
        return self.env.clock

    def configure(self, **changes: object) -> None:
        self.config = replace(self.config, **changes)  # type: ignore[arg-type]
        self.logs.update_config(PARTITION.topic)

    def append(self, *pairs: Pair, codec: Codec = Codec.NONE, **fields: object) -> int:
        """Append one batch of (key, value); its first offset."""
        now_ms = self.clock.wall_ms()
        records = [Record(i, now_ms, key, value) for i, (key, value) in enumerate(pairs)]
        view = memoryview(build_batch(records, codec=codec, **fields))  # type: ignore[arg-type]
        info = self.log.append_as_leader(view, 0)
        self.log.high_watermark = self.log.log_end_offset
        return info.first_offset

    def end_txn(self, producer_id: int, *, commit: bool, epoch: int = 0) -> int:
        """Append a marker; its offset."""
        marker = build_end_txn_marker(producer_id, epoch, EndTxnMarker(commit, 0), self.clock.wall_ms())
        info = self.log.append_as_leader(memoryview(marker), 0, AppendOrigin.COORDINATOR)
        self.log.high_watermark = self.log.log_end_offset
        return info.first_offset

    def clean(self) -> None:
        """Roll, and clean until nothing is dirty enough."""
        self.log.roll()
        self.cleaner.tick()

    def batches(self) -> list[RecordBatch]:
        """Every batch on disk, whole."""
        return [
            segment.batch_at(position, batch.size) for segment, position, batch in self.log.segments.batches_from(0)
        ]

    def records(self) -> list[tuple[int, bytes | None, bytes | None]]:
        """(offset, key, value) of every record that is not a marker."""
        return [(r.offset, r.key, r.value) for b in self.batches() if not b.is_control for r in b.records()]
