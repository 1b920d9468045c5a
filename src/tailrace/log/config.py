"""Settings of one log, named and defaulted as Kafka's topic configs, and what a log is given from outside.

Plain values: who reads strings and checks ranges is `cluster`. Replaced whole while the log lives
(`Log.update_config`). Source: Kafka LogConfig.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tailrace.base.background import Background, InlineBackground
from tailrace.base.clock import Clock, SystemClock
from tailrace.base.disk import Disk, RealDisk
from tailrace.base.errors import StorageError
from tailrace.base.rand import Random, SystemRandom
from tailrace.log.open_files import OpenFiles
from tailrace.observe.durations import Durations

INT64_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Topic settings that the log obeys. Times are ms, sizes bytes; -1 is "no limit" where Kafka says so."""

    segment_bytes: int = 1 << 30
    segment_ms: int = 7 * 24 * 3600 * 1000
    segment_jitter_ms: int = 0
    segment_index_bytes: int = 10 * 1024 * 1024
    index_interval_bytes: int = 4096
    retention_ms: int = 7 * 24 * 3600 * 1000
    retention_bytes: int = -1
    max_message_bytes: int = 1_048_588
    message_timestamp_type: str = "CreateTime"
    message_timestamp_before_max_ms: int = INT64_MAX
    message_timestamp_after_max_ms: int = 3600 * 1000
    cleanup_policy: frozenset[str] = frozenset({"delete"})
    compression_type: str = "producer"
    flush_messages: int = INT64_MAX
    flush_ms: int = INT64_MAX
    flush_before_ack: bool = False
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    max_compaction_lag_ms: int = INT64_MAX
    delete_retention_ms: int = 24 * 3600 * 1000
    file_delete_delay_ms: int = 60_000
    producer_id_expiration_ms: int = 24 * 3600 * 1000

    @property
    def compacts(self) -> bool:
        """Whether the topic is compacted (perhaps with retention as well)."""
        return "compact" in self.cleanup_policy

    @property
    def deletes(self) -> bool:
        """Whether retention by time and size applies."""
        return "delete" in self.cleanup_policy


class RecoveryStatus(NamedTuple):
    """How far the recovery of one log has come. `bytes_cut` and `end_offset` are known when it `is_done`."""

    directory: Path
    bytes_done: int
    bytes_total: int
    bytes_cut: int
    end_offset: int
    is_done: bool


def _at_once(work: Callable[[], object]) -> None:
    work()


def _ignore(status: RecoveryStatus) -> None:
    pass


def _report_nobody(_: StorageError) -> None:
    """For a log that belongs to no `Logs`."""


@dataclass(frozen=True, slots=True)
class LogEnvironment:
    """The outside of a log: disk, time, randomness, a place for slow work, open files, who is told of what."""

    disk: Disk = field(default_factory=RealDisk)
    clock: Clock = field(default_factory=SystemClock)
    random: Random = field(default_factory=SystemRandom)
    background: Background = field(default_factory=InlineBackground)
    cleaner: Background = field(default_factory=InlineBackground)
    """Where compaction runs: threads of its own, for a cleaning takes minutes."""
    syncing: Background = field(default_factory=InlineBackground)
    """Where the syncs go that answers wait for: apart from `background`, so that a long deletion holds up no answer."""
    defer: Callable[[Callable[[], object]], object] = _at_once
    """Runs a callback in the owner's thread when the owner has done what it has in hand: what gathers a window."""
    on_recovery: Callable[[RecoveryStatus], None] = _ignore
    """Told about once a MiB while a log is read after an unclean stop, and at its end."""
    open_files: OpenFiles = field(default_factory=OpenFiles)
    """The bound on .log files that are open at once."""
    flush_times: Durations = field(default_factory=Durations)
    """How long flushes took, from their beginning to the loop's knowing of their end."""
    report: Callable[[StorageError], None] = _report_nobody
    """Told, in the owner's thread, of a failure that reaches no caller: `Logs` puts itself here."""
