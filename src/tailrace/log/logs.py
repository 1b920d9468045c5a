"""The logs of this broker, looked after: checkpoints, retention, removal, flushes, and the end.

Built on `log_collection`, which finds, makes and deletes them. What runs again and again comes in steps, a log each,
so that the owner may do other things between them; logs that come or go meanwhile are harmless.
Not its business: when (node). One owner, one thread. Source: Kafka LogManager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from math import inf
from pathlib import Path

from tailrace.base.disk import Disk
from tailrace.base.errors import StorageError
from tailrace.base.limits import VOLUME_SYNC_MIN_LOGS
from tailrace.base.types import TopicPartition
from tailrace.log.checkpoint_writer import CheckpointDraft, CheckpointWriter
from tailrace.log.config import LogEnvironment
from tailrace.log.flush_queue import FlushQueue
from tailrace.log.flushing import AllDone, Done, told_nobody
from tailrace.log.log import Log
from tailrace.log.log_collection import ConfigOf, LogCollection
from tailrace.log.log_directory import LogDirectory
from tailrace.log.trouble import Trouble, trouble_of

IsWanted = Callable[[Disk, LogDirectory, TopicPartition, ConfigOf], bool]
"""Whether the log of a partition, which is not open, should be. Raises StorageError."""


class Logs(LogCollection):
    """Every log of one broker, from its start to its end."""

    __slots__ = ("_checkpoint_writer", "_flushes")

    def __init__(
        self,
        log_dirs: Sequence[Path],
        env: LogEnvironment,
        config_of: ConfigOf,
        *,
        node_id: int = 1,
        cluster_id: str | None = None,
    ) -> None:
        super().__init__(log_dirs, env, config_of, node_id=node_id, cluster_id=cluster_id)
        self._checkpoint_writer = CheckpointWriter(self._env)
        self._flushes = FlushQueue(lambda log: self._by_partition.get(log.topic_partition) is log)

    # Looking after

    def write_checkpoints(self, done: Done = told_nobody) -> None:
        """Write every directory's checkpoints in the background; then `done(None)`, or the first failure.

        A log that is flushed for its answers alone gets its recovery point moved on, for the next time, and one that
        could not be flushed is tried again.
        """
        _run(self._flush_owed_steps())
        self._write(list(self._drafts()), done)

    def checkpoint_steps(self) -> Iterator[None]:
        """`write_checkpoints` in steps, for nobody who waits."""
        yield from self._flush_owed_steps()
        for draft in self._drafts():
            self._checkpoint_writer.write(draft, told_nobody)
            yield

    def _flush_owed_steps(self) -> Iterator[None]:
        for log in self:
            log.group_commit.retry()
            if log.flushed_offset > log.recovery_point:
                self._flushes.want(log)
            yield

    def _drafts(self) -> Iterator[CheckpointDraft]:
        for directory in self._directories.online:
            for draft in directory.drafts(partial(self._in, directory)):
                if directory.error is None:
                    yield draft

    def write_log_start_offsets(self, done: Done = told_nobody) -> None:
        """Write where every log starts, so that deleted records stay deleted over a crash. As above."""
        self._write([directory.start_draft(self._in(directory)) for directory in self._directories.online], done)

    def write_cleaned_offsets(self, topic_partition: TopicPartition) -> None:
        """Write up to where the logs beside the partition's are compacted. Losing it costs a cleaning."""
        directory = self._home[topic_partition]
        self._write(list(directory.cleaned_draft(self._in(directory))), told_nobody)

    def _write(self, drafts: Sequence[CheckpointDraft], done: Done) -> None:
        told = AllDone(len(drafts), done)
        for draft in drafts:
            self._checkpoint_writer.write(draft, told.one)

    def apply_retention(self) -> int:
        """Delete what retention no longer keeps, forget idle producers, unlink what was deleted long enough ago.

        Answers how many segments went. Raises the first StorageError after having tried every log.
        """
        return sum(self.retention_steps())

    def retention_steps(self) -> Iterator[int]:
        """`apply_retention` a log a step, each answering how many segments went, for a caller that does not run them
        all at once. Logs that come or go meanwhile are harmless."""
        now_ms = self._env.clock.wall_ms()
        first_error: StorageError | None = None
        opened: Iterator[Callable[[int], int]] = (partial(self._retain, log) for log in self)
        for work in chain(opened, self._unopened_work()):
            try:
                yield work(now_ms)
            except StorageError as error:
                self.on_upkeep_error(error)
                first_error = first_error or error
        self._remove_doomed_logs()
        if first_error is not None:
            raise first_error

    def _retain(self, log: Log, now_ms: int) -> int:
        if self._by_partition.get(log.topic_partition) is not log:
            return 0
        deleted = log.apply_retention(now_ms)
        log.expire_producers(now_ms)
        log.remove_doomed_files()
        return deleted

    def _unopened_work(self) -> Iterator[Callable[[int], int]]:
        for directory in self._directories.online:
            for topic_partition in list(directory.unopened):
                yield partial(self._retain_unopened, directory, topic_partition)

    def _retain_unopened(self, directory: LogDirectory, topic_partition: TopicPartition, now_ms: int) -> int:
        """Open a log that nobody asked for when retention may have something to do, and leave it as it was if not."""
        if directory.unopened.get(topic_partition, inf) > now_ms:
            return 0
        log = self.get(topic_partition)
        if log is None:
            return 0
        deleted = self._retain(log, now_ms)
        if log.is_at_rest:
            log.release()
            del self._by_partition[topic_partition]
            del self._home[topic_partition]
            directory.unopened[topic_partition] = log.retention_due_ms()
        return deleted

    def opening_steps(self, is_wanted: IsWanted) -> Iterator[None]:
        """Open those of the logs nobody asked for that are wanted after all, looking at one a step."""
        for directory in self._directories.online:
            for topic_partition in list(directory.unopened):
                try:
                    if topic_partition in directory.unopened and is_wanted(
                        self._env.disk, directory, topic_partition, self._config_of
                    ):
                        self.get(topic_partition)
                except StorageError as error:
                    self.on_upkeep_error(error)
                yield

    def remove_doomed_files(self) -> None:
        """Unlink deleted segments and logs whose delay is over, in the background. What fails is tried again."""
        _run(self.removal_steps())

    def removal_steps(self) -> Iterator[None]:
        """`remove_doomed_files` in steps."""
        for log in self:
            log.remove_doomed_files()
            yield
        self._remove_doomed_logs()

    def hasten_removal(self, directory: LogDirectory) -> None:
        """Have what was deleted in a directory go with the next removal, whatever its delay: its space is needed."""
        for log in self._in(directory):
            log.hasten_removal()
        self._doomed.hasten(lambda path: self._directories.at(str(path)) is directory)

    def flush_due(self) -> None:
        """Begin to flush the logs whose `flush.ms` has passed, in the background, some at a time."""
        _run(self.flush_due_steps())

    def flush_due_steps(self) -> Iterator[None]:
        """`flush_due` in steps."""
        for log in self:
            if log.is_flush_due:
                self._flushes.want(log)
            yield

    # Ending

    def begin_shut_down(self, done: Done) -> None:
        """Begin to flush the logs, some at a time; then `done(None)`, or the first failure: `shut_down` has little left
        to wait for. Those of a directory that is flushed at once are left to it."""
        self._flushes.clear()
        at_once = [directory for directory in self._directories.online if self._is_flushed_at_once(directory)]
        logs = [log for log in self if self._home[log.topic_partition] not in at_once]
        told = AllDone(len(logs), done)
        for log in logs:
            self._flushes.want(log, Log.begin_close, told.one)

    def _is_flushed_at_once(self, directory: LogDirectory) -> bool:
        """Whether a sync of the volume is the shortest way: for many logs, where the system has one."""
        dirty_count = sum(1 for log in self._in(directory) if log.recovery_point < log.log_end_offset)
        return dirty_count >= VOLUME_SYNC_MIN_LOGS and self._env.disk.can_sync_volumes()

    def _flush_at_once(self, directory: LogDirectory) -> None:
        """Flush every log of a directory with one sync of its volume. Blocks."""
        written = []
        for log in self._in(directory):
            with suppress(StorageError):  # closing it tries again and tells
                log.settle()
                written.append(log)
        try:
            directory.sync_volume()
        except StorageError as error:
            directory.error = error  # nobody knows what it was that was not written
            return
        for log in written:
            log.on_volume_synced()

    def shut_down(self, broker_epoch: int = 0) -> bool:
        """Flush and close every log, write checkpoints, and the marker where everything went well; unlock.

        Answers whether every directory got its marker. Failures are in `LogDirectory.failures`. Blocks.
        """
        for directory in self._directories.online:
            if self._is_flushed_at_once(directory):
                self._flush_at_once(directory)
        for log in self:
            directory = self._home[log.topic_partition]
            try:
                if directory.error is None:
                    log.close()
            except StorageError as error:
                directory.failures[log.topic_partition] = error
                if trouble_of(error) is Trouble.DIRECTORY:
                    directory.error = error
        is_clean = True
        for directory in self._directories:
            if directory.error is not None:
                is_clean = False
                continue
            try:
                directory.write_checkpoints(self._in(directory))
                if directory.failures:
                    is_clean = False
                else:
                    directory.write_marker(broker_epoch)
            except StorageError:
                is_clean = False
        self._directories.unlock()
        return is_clean

    def put_back(self) -> None:
        """End as if they had never been opened: for a start that failed before `load_all`. What was clean stays so.

        Else a broker that was stopped cleanly, and found its cluster's store away when it started, would be taken for
        one that had crashed at the next try, and its copy for one that may lack something.
        """
        for directory in self._directories.online:
            if directory.was_clean:
                with suppress(StorageError):
                    directory.write_marker(directory.broker_epoch)
        self._directories.unlock()

    def abandon(self) -> None:
        """End as a crash would: nothing flushed, no checkpoint, no marker. For a start that failed, and for tests."""
        for log in self:
            log.abandon()
        self._directories.unlock()


def _run(steps: Iterator[object]) -> None:
    for _ in steps:
        pass
