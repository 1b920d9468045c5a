"""One log directory: its lock, its identity, its clean-shutdown marker, its checkpoints.

    .lock                             held while a process uses the directory
    meta.properties                   cluster, node and directory id
    .kafka_cleanshutdown              {"version":0,"brokerEpoch":N}: every log was loaded, flushed and closed
    recovery-point-offset-checkpoint  log-start-offset-checkpoint  replication-offset-checkpoint
    cleaner-offset-checkpoint         compacted up to, where anything is
    <topic>-<partition>/              the logs

Invariant: the marker is there only between a clean shutdown and the next start. A checkpoint that is missing or
malformed costs time, never records: recovery then reads from the start, the log start is the first segment's base.
Source: Kafka LogManager, CleanShutdownFileHandler.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final

from tailrace.base.disk import Disk, File, write_atomically
from tailrace.base.errors import StorageError, TailraceError
from tailrace.base.types import TopicPartition
from tailrace.log import checkpoint
from tailrace.log.checkpoint import CLEANED_OFFSETS, HIGH_WATERMARKS, LOG_START_OFFSETS, RECOVERY_POINTS
from tailrace.log.checkpoint_writer import CheckpointDraft, Offsets
from tailrace.log.log import Log
from tailrace.log.meta_properties import MetaProperties

CLEAN_SHUTDOWN: Final = ".kafka_cleanshutdown"


class SpaceLevel(IntEnum):
    """How much room there is on a directory's volume; see `log.space`."""

    ENOUGH = 0
    LOW = 1
    NONE = 2


class LogDirectory:
    """A directory of logs, locked by this process from `open` to `unlock`."""

    __slots__ = (
        "_disk",
        "_lock",
        "broker_epoch",
        "cleaner_offsets",
        "error",
        "failures",
        "high_watermarks",
        "log_start_offsets",
        "meta",
        "path",
        "recovery_points",
        "space",
        "unopened",
        "was_clean",
    )

    broker_epoch: int
    """Of the process that shut down cleanly, -1 after an unclean stop."""
    error: StorageError | None
    """Why the directory is offline: nothing below it is touched any more. None while it is in use."""
    failures: dict[TopicPartition, Exception]
    """Logs that could not be loaded, flushed or closed; while there are any, no clean-shutdown marker is written."""
    unopened: dict[TopicPartition, float]
    """Logs that ended cleanly and were not asked for since: nothing below them was touched, and the checkpoints that
    were read at start are true of them. The value is the wall clock's ms before which retention has nothing to do."""
    meta: MetaProperties | None
    """Filled in by who knows the identities."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._lock: File | None = None
        self.path = path
        self.meta = None
        self.error = None
        self.failures = {}
        self.space = SpaceLevel.ENOUGH
        self.unopened = {}
        self.was_clean, self.broker_epoch = False, -1
        self.recovery_points: dict[TopicPartition, int] = {}
        self.log_start_offsets: dict[TopicPartition, int] = {}
        self.high_watermarks: dict[TopicPartition, int] = {}
        self.cleaner_offsets: dict[TopicPartition, int] = {}

    def open(self) -> None:
        """Lock the directory (made where missing) and read its checkpoints.

        Raises TailraceError where another process has it; StorageError, and then it is neither locked nor changed.
        """
        self._disk.make_directory(self.path)
        self._lock = self._disk.lock(self.path)
        if self._lock is None:
            raise TailraceError(
                f"{self.path} is in use by another process; stop that one, or give this broker a directory of its own."
            )
        try:
            self._disk.list(self.path)  # before the marker goes: a directory that cannot be read is not begun with
            self.was_clean, self.broker_epoch = self._take_marker()
            self.recovery_points = self._offsets(RECOVERY_POINTS)
            self.log_start_offsets = self._offsets(LOG_START_OFFSETS)
            self.high_watermarks = self._offsets(HIGH_WATERMARKS)
            self.cleaner_offsets = self._offsets(CLEANED_OFFSETS)
        except StorageError:
            self.unlock()
            raise

    def _take_marker(self) -> tuple[bool, int]:
        """Read the marker and remove it at once: a crash while loading must not look clean (KAFKA-10471)."""
        path = self.path / CLEAN_SHUTDOWN
        if self._disk.stat(path) is None:
            return False, -1
        try:
            epoch = int(json.loads(self._disk.read(path))["brokerEpoch"])
        except (ValueError, KeyError, TypeError):
            epoch = -1
        self._disk.remove(path)
        self._disk.sync_directory(self.path)
        return True, epoch

    def write_marker(self, broker_epoch: int) -> None:
        """Say that every log below was closed cleanly. Raises StorageError."""
        assert not self.failures, "a marker would hide failures"
        text = json.dumps({"version": 0, "brokerEpoch": broker_epoch}, separators=(",", ":"))
        write_atomically(self._disk, self.path / CLEAN_SHUTDOWN, text.encode())

    def _offsets(self, name: str) -> dict[TopicPartition, int]:
        try:
            return checkpoint.read_offsets(self._disk, self.path / name)
        except checkpoint.MalformedCheckpoint:
            return {}

    def write_checkpoints(self, logs: Sequence[Log]) -> None:
        """Write the checkpoints of the directory's `logs`. Blocks.

        Raises StorageError; the files before are then still there.
        """
        for draft in self.drafts(lambda: logs):
            draft.write(self._disk)

    def drafts(self, logs: Callable[[], Sequence[Log]]) -> Iterator[CheckpointDraft]:
        """What the checkpoints of the directory should say, one after the other; `logs` gives its open logs.

        Each is a copy of one moment, when it is asked for: with many logs it takes milliseconds.
        """
        yield self._draft(
            RECOVERY_POINTS, self.recovery_points, {log.topic_partition: log.recovery_point for log in logs()}
        )
        yield self.start_draft(logs())
        yield self._draft(
            HIGH_WATERMARKS, self.high_watermarks, {log.topic_partition: log.high_watermark for log in logs()}
        )
        yield from self.cleaned_draft(logs())

    def start_draft(self, logs: Sequence[Log]) -> CheckpointDraft:
        """What the checkpoint of log starts should say."""
        return self._draft(
            LOG_START_OFFSETS, self.log_start_offsets, {log.topic_partition: log.log_start_offset for log in logs}
        )

    def cleaned_draft(self, logs: Sequence[Log]) -> Iterator[CheckpointDraft]:
        """What the cleaner's checkpoint should say; nothing where no log was ever compacted.

        An entry of a deleted log goes: a log of its name would pass for compacted that never was.
        """
        offsets = {log.topic_partition: log.first_dirty_offset for log in logs if log.first_dirty_offset >= 0}
        if offsets or self.cleaner_offsets:
            yield self._draft(CLEANED_OFFSETS, self.cleaner_offsets, offsets)

    def _draft(self, name: str, known: Offsets, offsets: Offsets) -> CheckpointDraft:
        return CheckpointDraft(self.path / name, offsets, known, [*self.failures, *self.unopened])

    def sync_volume(self) -> None:
        """Wait until all that was written to the directory's volume is on the device. Raises StorageError."""
        assert self._lock is not None, "the directory is open"
        self._disk.sync_volume(self.path, self._lock)

    def unlock(self) -> None:
        """Let another process have the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
