"""The cleaner: chooses logs to compact, has it done in other threads, and puts the results in place.

    tick -> dirtiest log -> plan -> step in a thread -> swap in the loop -> step ... -> clean up to here -> dirtiest log

Invariant: a log is cleaned once at a time; a result is put in place only if nobody interrupted the cleaning, which
everybody does who changes the log's sealed segments (`Log.cleaning`). One that cannot be cleaned, because it is
corrupt, is logged and left alone until the next start; the others go on.
Everything here runs in the owner's thread, but for what is submitted. Source: Kafka LogCleaner, LogCleanerManager.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError, StorageError, TailraceError
from tailrace.base.types import TopicPartition
from tailrace.log.compaction.candidates import dirtiest, plan_of
from tailrace.log.compaction.cleaning import CleanedGroup, Cleaning
from tailrace.log.compaction.pace import CleaningInterrupted
from tailrace.log.compaction.plan import CleaningLimits
from tailrace.log.config import LogEnvironment
from tailrace.log.log import Log
from tailrace.log.logs import Logs

_log = logging.getLogger("tailrace.cleaner")

RETRY_MS: Final = 300_000
"""A log whose cleaning the disk or a setting failed is tried again after so long: each try reads much of it. As often
as retention runs, which makes room."""


class CleanerSettings(NamedTuple):
    """The settings `log.cleaner.*` as they are now; bytes are those of all threads together."""

    is_enabled: bool
    threads: int
    dedupe_buffer_bytes: int
    load_factor: float
    io_buffer_bytes: int
    bytes_per_second: float

    def limits(self) -> CleaningLimits:
        """One thread's share. Half of the buffer is for reading."""
        threads = max(self.threads, 1)
        return CleaningLimits(
            self.dedupe_buffer_bytes // threads,
            self.load_factor,
            self.io_buffer_bytes // threads // 2,
            self.bytes_per_second / threads,
        )


class _Run(NamedTuple):
    """A cleaning at work."""

    log: Log
    cleaning: Cleaning
    started_ms: float


class Cleaner:
    """Compacts the logs of one broker."""

    def __init__(self, logs: Logs, env: LogEnvironment, settings: Callable[[], CleanerSettings]) -> None:
        self._logs = logs
        self._env = env
        self._settings = settings
        self._running: dict[TopicPartition, _Run] = {}
        self._uncleanable: dict[TopicPartition, Log] = {}
        self._resting: dict[TopicPartition, float] = {}
        """Until when a log is left alone, by the monotonic clock."""
        self._is_choosing = False
        self._is_stopped = False

    @property
    def uncleanable(self) -> list[TopicPartition]:
        """Partitions that are not cleaned any more, because it failed."""
        return list(self._uncleanable)

    def tick(self) -> None:
        """Begin to clean as many logs as there are threads, the dirtiest first. Each is followed by the next."""
        settings = self._settings()
        if self._is_stopped or self._is_choosing or not settings.is_enabled:
            return
        self._is_choosing = True
        try:
            while len(self._running) < settings.threads and not self._is_stopped:
                now_ms = self._env.clock.wall_ms()
                found = dirtiest((log for log in self._logs if self._may_clean(log)), now_ms)
                if found is None:
                    break
                self._start(
                    found.log, Cleaning(plan_of(found, settings.limits(), now_ms), self._env.disk, self._env.clock)
                )
        finally:
            self._is_choosing = False

    def stop(self) -> None:
        """Interrupt everything and begin nothing more. The threads end within a batch."""
        self._is_stopped = True
        for run in self._running.values():
            run.cleaning.interrupt()

    def _may_clean(self, log: Log) -> bool:
        if not log.config.compacts or len(log.segments) < 2 or log.topic_partition in self._running:
            return False
        if self._uncleanable.get(log.topic_partition) is log:
            return False
        return self._env.clock.monotonic_ms() >= self._resting.get(log.topic_partition, 0.0)

    # One cleaning

    def _start(self, log: Log, cleaning: Cleaning) -> None:
        run = _Run(log, cleaning, self._env.clock.monotonic_ms())
        self._running[log.topic_partition] = run
        log.cleaning = cleaning
        self._env.cleaner.submit(cleaning.step, partial(self._on_step, run))

    def _on_step(self, run: _Run, result: CleanedGroup | Exception | None) -> None:
        is_current = self._logs.get(run.log.topic_partition) is run.log
        if run.cleaning.is_interrupted or not is_current or isinstance(result, CleaningInterrupted):
            self._discard(result)
            self._end(run)
        elif isinstance(result, Exception):
            self._fail(run, result)
        elif result is None:
            self._succeed(run)
        else:
            self._put_in_place(run, result)

    def _put_in_place(self, run: _Run, group: CleanedGroup) -> None:
        try:
            run.log.replace_segments(group.replaced)
        except StorageError as error:
            self._discard(group)
            self._fail(run, error)
            return
        directory = run.log.directory

        def sync_and_go_on() -> CleanedGroup | None:
            self._env.disk.sync_directory(directory)
            return run.cleaning.step()

        self._env.cleaner.submit(sync_and_go_on, partial(self._on_step, run))

    def _discard(self, result: CleanedGroup | Exception | None) -> None:
        """Remove what was written and is not wanted; what the disk refuses the next start removes."""
        if isinstance(result, CleanedGroup) and not self._is_stopped:
            self._env.cleaner.submit(result.segment.discard, _ignore)

    def _succeed(self, run: _Run) -> None:
        log, cleaning = run.log, run.cleaning
        log.first_dirty_offset = cleaning.end_offset
        _log.info("%s", _report(cleaning, self._env.clock.monotonic_ms() - run.started_ms))
        self._end(run)
        self._logs.write_cleaned_offsets(log.topic_partition)
        self._apply_retention(log)
        self.tick()

    def _fail(self, run: _Run, error: Exception) -> None:
        topic_partition = run.log.topic_partition
        is_too_large = isinstance(error, KafkaError) and error.code is ErrorCode.INVALID_CONFIG
        if isinstance(error, StorageError):
            self._logs.on_storage_error(error)
        if isinstance(error, StorageError) or is_too_large:
            _log.error("%s was not compacted and will be tried again: %s", topic_partition, error)
            self._resting[topic_partition] = self._env.clock.monotonic_ms() + RETRY_MS
        else:
            is_known = isinstance(error, TailraceError)
            _log.error(
                "%s cannot be compacted and is left alone: %s",
                topic_partition,
                error,
                exc_info=None if is_known else error,
            )
            self._uncleanable[topic_partition] = run.log
        self._end(run)
        self.tick()

    def _end(self, run: _Run) -> None:
        del self._running[run.log.topic_partition]
        run.log.cleaning = None
        if not self._is_stopped:  # else the threads are ending, and the memory goes with them
            self._env.cleaner.submit(run.cleaning.close, _ignore)

    # What follows a cleaning

    def _apply_retention(self, log: Log) -> None:
        """What was put off while the log was cleaned."""
        try:
            log.apply_retention(self._env.clock.wall_ms())
        except StorageError as error:
            self._logs.on_storage_error(error)
            _log.error("retention of %s failed and will be tried again: %s", log.topic_partition, error)


def _ignore(result: object) -> None:
    pass


def _report(cleaning: Cleaning, duration_ms: float) -> str:
    plan, stats = cleaning.plan, cleaning.stats
    return (
        f"compacted {plan.topic_partition} to offset {cleaning.end_offset} in {duration_ms / 1000:.3f} s: "
        f"read {stats.bytes_mapped} + {stats.bytes_read} bytes, wrote {stats.bytes_written}, kept "
        f"{stats.records_written} of {stats.records_read} records, map {100 * stats.map_fill:.0f} % full"
    )
