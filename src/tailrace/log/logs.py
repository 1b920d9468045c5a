"""The logs of this broker, over its log directories: load, get, create, delete, look after, shut down.

Invariant: at most one Log a partition. A log that fails to load is left out and remembered in its directory's
`failures`; the others are served. A directory that failed (`error`) has no logs here, and nothing below it is touched
again: no checkpoint, no marker, no fsync.
Not its business: which partitions should exist (cluster), who leads (replication).
One owner, one thread. Source: Kafka LogManager.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from math import inf
from pathlib import Path
from typing import TypeVar

from tailrace.base.errors import KafkaError, StorageError, TailraceError
from tailrace.base.types import ZERO_TOPIC_ID, TopicId, TopicPartition
from tailrace.log import meta_properties
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.filenames import DELETE_DIRECTORY_SUFFIX, LOG_SUFFIX, deleted_directory, parse_directory
from tailrace.log.log import Log
from tailrace.log.log_directory import LogDirectory
from tailrace.log.meta_properties import MetaProperties
from tailrace.log.partition_metadata import encode_topic_id
from tailrace.log.recovery import KnownOffsets
from tailrace.log.trouble import Trouble, trouble_of

T = TypeVar("T")

ConfigOf = Callable[[str], LogConfig]
"""Settings of a topic, by name."""

OnDirectoryFailed = Callable[[LogDirectory, list[TopicPartition]], None]
"""Told once that a directory went offline, and which partitions were served from it."""


class Logs:
    """Every log of one broker. `cluster_id` None takes the directories' own, or makes one."""

    __slots__ = (
        "_by_partition",
        "_config_of",
        "_directories",
        "_doomed",
        "_env",
        "_home",
        "cluster_id",
        "node_id",
        "on_directory_failed",
    )

    on_directory_failed: OnDirectoryFailed
    """Whoever serves the logs puts itself here, to let go of them."""

    def __init__(
        self,
        log_dirs: Sequence[Path],
        env: LogEnvironment,
        config_of: ConfigOf,
        *,
        node_id: int = 1,
        cluster_id: str | None = None,
    ) -> None:
        """Lock the directories and check whose they are; nothing is loaded yet.

        Raises TailraceError in one sentence where one is in use or another node's or cluster's; StorageError.
        """
        assert log_dirs, "a broker has a log directory"
        self._env = replace(env, report=self._on_report)
        self._config_of = config_of
        self._by_partition: dict[TopicPartition, Log] = {}
        self._home: dict[TopicPartition, LogDirectory] = {}
        self._doomed: deque[tuple[float, Path]] = deque()
        self._directories: list[LogDirectory] = []
        self.node_id = node_id
        self.on_directory_failed = lambda directory, partitions: None
        try:
            for path in log_dirs:
                self._directories.append(LogDirectory(env.disk, path))
            self.cluster_id = self._identify(cluster_id)
        except TailraceError:
            self._unlock()
            raise

    def _identify(self, cluster_id: str | None) -> str:
        known = [meta_properties.read(self._env.disk, directory.path) for directory in self._directories]
        found = next((meta.cluster_id for meta in known if meta is not None), None)
        cluster_id = cluster_id or found or encode_topic_id(self._env.random.uuid())
        for directory, meta in zip(self._directories, known, strict=True):
            if meta is None:
                meta = MetaProperties(cluster_id, self.node_id, encode_topic_id(self._env.random.uuid()))
                meta_properties.write(self._env.disk, directory.path, meta)
            if meta.node_id != self.node_id:
                raise TailraceError(f"{directory.path} belongs to node {meta.node_id}, not to node {self.node_id}.")
            if meta.cluster_id != cluster_id:
                raise TailraceError(f"{directory.path} belongs to cluster {meta.cluster_id}, not to {cluster_id}.")
            directory.meta = meta
        return cluster_id

    # Loading

    def load_all(self) -> None:
        """Take in every log there is, and remove what was being deleted. Failures of single logs are remembered.

        After a clean end a log is opened when it is first asked for; else each is opened and mended here.
        """
        for directory in self._directories:
            for name in self._env.disk.list(directory.path):
                path = directory.path / name
                if name.endswith(DELETE_DIRECTORY_SUFFIX) and self._is_directory(path):
                    self._remove_directory(path)
                    continue
                topic_partition = parse_directory(name)
                if topic_partition is None:
                    continue
                if topic_partition in self:
                    directory.failures[topic_partition] = TailraceError(f"{topic_partition} is in two log directories.")
                elif directory.was_clean:
                    directory.unopened[topic_partition] = 0
                elif self._is_directory(path):
                    log = self._load(directory, topic_partition)
                    if log is not None:
                        self._add(directory, log)

    def _is_directory(self, path: Path) -> bool:
        found = self._env.disk.stat(path)
        return found is not None and found.is_directory

    def _load(self, directory: LogDirectory, topic_partition: TopicPartition) -> Log | None:
        path = directory.path / str(topic_partition)
        config = self._config_of(topic_partition.topic)
        known = KnownOffsets(
            directory.recovery_points.get(topic_partition, 0), directory.log_start_offsets.get(topic_partition, 0)
        )
        try:
            log = Log.open(path, topic_partition, config, self._env, known, was_clean=directory.was_clean)
        except (StorageError, KafkaError) as error:
            directory.failures[topic_partition] = error
            return None
        log.high_watermark = min(directory.high_watermarks.get(topic_partition, 0), log.log_end_offset)
        log.first_dirty_offset = directory.cleaner_offsets.get(topic_partition, -1)
        return log

    def _open(self, topic_partition: TopicPartition) -> Log | None:
        """Open a log that was not asked for before; None where there is none, or it failed."""
        directory = self._directory_of_unopened(topic_partition)
        if directory is None:
            return None
        del directory.unopened[topic_partition]
        log = self._load(directory, topic_partition)
        if log is not None:
            self._add(directory, log)
        return log

    def _directory_of_unopened(self, topic_partition: TopicPartition) -> LogDirectory | None:
        for directory in self._directories:
            if topic_partition in directory.unopened and directory.error is None:
                return directory
        return None

    def _add(self, directory: LogDirectory, log: Log) -> None:
        self._by_partition[log.topic_partition] = log
        self._home[log.topic_partition] = directory

    # The collection

    def __len__(self) -> int:
        return len(self._by_partition) + sum(len(directory.unopened) for directory in self._directories)

    def __contains__(self, topic_partition: TopicPartition) -> bool:
        return topic_partition in self._by_partition or self.is_unopened(topic_partition)

    def is_unopened(self, topic_partition: TopicPartition) -> bool:
        """Whether there is a log that ended cleanly and was not asked for since."""
        return self._directory_of_unopened(topic_partition) is not None

    def __iter__(self) -> Iterator[Log]:
        """Every open log there is when its turn comes: one whose directory failed meanwhile is left out."""
        for log in list(self._by_partition.values()):
            if self._by_partition.get(log.topic_partition) is log:
                yield log

    @property
    def topic_partitions(self) -> list[TopicPartition]:
        """Every partition that has a log here, open or not."""
        return list(chain(self._by_partition, *(directory.unopened for directory in self._directories)))

    @property
    def directories(self) -> list[LogDirectory]:
        """The log directories, for DescribeLogDirs."""
        return self._directories

    def directory_of(self, topic_partition: TopicPartition) -> LogDirectory:
        """Where the partition's open log lies. KeyError where there is none."""
        return self._home[topic_partition]

    def get(self, topic_partition: TopicPartition) -> Log | None:
        """The partition's log, opened if need be; None where there is none (or it failed to load)."""
        return self._by_partition.get(topic_partition) or self._open(topic_partition)

    def describe(self, topic_partition: TopicPartition) -> tuple[LogDirectory, int, int]:
        """(its directory, bytes of all batches, how far its end is ahead of the high watermark). Opens nothing.

        KeyError where there is no log; StorageError.
        """
        log = self._by_partition.get(topic_partition)
        if log is not None:
            return self._home[topic_partition], log.size_bytes, log.log_end_offset - log.high_watermark
        directory = self._directory_of_unopened(topic_partition)
        if directory is None:
            raise KeyError(topic_partition)
        path = directory.path / str(topic_partition)
        found = [self._env.disk.stat(path / name) for name in self._env.disk.list(path) if name.endswith(LOG_SUFFIX)]
        return directory, sum(each.size for each in found if each is not None), 0

    def create(self, topic_partition: TopicPartition, topic_id: TopicId) -> Log:
        """The partition's log; an empty one where there is none.

        Raises StorageError; KafkaError(INCONSISTENT_TOPIC_ID is the caller's to decide: compare `log.topic_id`).
        """
        log = self.get(topic_partition)
        if log is not None:
            return log
        directory = self._directory_for_a_new_log()
        path = directory.path / str(topic_partition)
        config = self._config_of(topic_partition.topic)
        try:
            log = Log.open(path, topic_partition, config, self._env, was_clean=False)
            if topic_id != ZERO_TOPIC_ID and log.topic_id == ZERO_TOPIC_ID:
                log.set_topic_id(topic_id)
        except StorageError as error:
            self.on_storage_error(error)
            if directory.error is None or not self.online_directories:
                raise
            return self.create(topic_partition, topic_id)  # the directory has just failed; another may do
        self._add(directory, log)
        return log

    def _directory_for_a_new_log(self) -> LogDirectory:
        """The one with the fewest logs, as in Kafka. Raises StorageError where every one is offline."""
        online = self.online_directories
        if not online:
            failed = self._directories[0]
            assert failed.error is not None
            raise failed.error
        if len(online) == 1:
            return online[0]
        counts = Counter(id(home) for home in self._home.values())
        return min(online, key=lambda directory: counts[id(directory)] + len(directory.unopened))

    def delete(self, topic_partition: TopicPartition) -> None:
        """Delete the partition's log: gone at once, its files after `file.delete.delay.ms`. Raises StorageError."""
        log = self.get(topic_partition)
        if log is None:
            return
        directory = self._home[topic_partition]
        path = directory.path / deleted_directory(topic_partition, self._env.random.uuid().hex)
        log.delete(path)
        del self._by_partition[topic_partition]
        del self._home[topic_partition]
        self._doomed.append((self._env.clock.monotonic_ms() + log.config.file_delete_delay_ms, path))

    def update_config(self, topic: str) -> None:
        """Give the topic's logs its settings as they are."""
        self._update_configs(lambda topic_partition: topic_partition.topic == topic)

    def update_configs(self) -> None:
        """Give every log its settings as they are."""
        self._update_configs(lambda _: True)

    def _update_configs(self, is_meant: Callable[[TopicPartition], bool]) -> None:
        for topic_partition, log in self._by_partition.items():
            if is_meant(topic_partition):
                log.update_config(self._config_of(topic_partition.topic))
        for directory in self._directories:
            for topic_partition in directory.unopened:
                if is_meant(topic_partition):
                    directory.unopened[topic_partition] = 0

    # Trouble

    def on_storage_error(self, error: StorageError) -> Trouble:
        """An operation failed somewhere below: take its directory offline where that is what it means.

        The one entry for every failure, whoever met it; in the loop's thread. Harmless for a directory already offline.
        """
        trouble = trouble_of(error)
        directory = self.directory_at(error.path)
        if directory is not None and trouble is Trouble.DIRECTORY:
            self.fail_directory(directory, error)
        return trouble

    def _on_report(self, error: StorageError) -> None:
        self.on_storage_error(error)

    def directory_at(self, path: str) -> LogDirectory | None:
        """The log directory that `path` is or lies in."""
        for directory in self._directories:
            root = str(directory.path)
            if path == root or path.startswith(root + "/"):
                return directory
        return None

    def fail_directory(self, directory: LogDirectory, error: StorageError) -> None:
        """Take a directory offline: its logs are let go of as they are, unflushed, and nothing there is touched again.

        It stays locked, and offline until the next start. Source: Kafka LogManager.handleLogDirFailure, KIP-112.
        """
        if directory.error is not None:
            return
        directory.error = error
        lost = [log for log in self if self._home[log.topic_partition] is directory]
        for log in lost:
            del self._by_partition[log.topic_partition]
            del self._home[log.topic_partition]
        partitions = [log.topic_partition for log in lost] + list(directory.unopened)
        directory.unopened.clear()
        self._doomed = deque(doomed for doomed in self._doomed if self.directory_at(str(doomed[1])) is not directory)
        self.on_directory_failed(directory, partitions)
        for log in lost:
            log.release()

    @property
    def online_directories(self) -> list[LogDirectory]:
        """The log directories in use."""
        return [directory for directory in self._directories if directory.error is None]

    def _in(self, directory: LogDirectory) -> Iterator[Log]:
        return (log for log in self if self._home[log.topic_partition] is directory)

    # Looking after

    def write_checkpoints(self) -> None:
        """Write every directory's checkpoints. Raises the first StorageError after having tried every directory."""

        def write(directory: LogDirectory) -> None:
            directory.write_checkpoints(self._in(directory))

        self._for_each(self.online_directories, write)

    def write_log_start_offsets(self) -> None:
        """Write where every log starts, so that deleted records stay deleted over a crash. Raises as above."""

        def write(directory: LogDirectory) -> None:
            directory.write_log_start_offsets(self._in(directory))

        self._for_each(self.online_directories, write)

    def _for_each(self, things: Iterable[T], work: Callable[[T], object]) -> None:
        """Do `work` to each, whatever became of the others; then raise the first StorageError."""
        first_error: StorageError | None = None
        for thing in things:
            try:
                work(thing)
            except StorageError as error:
                self.on_storage_error(error)
                first_error = first_error or error
        if first_error is not None:
            raise first_error

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
                self.on_storage_error(error)
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
        for directory in self.online_directories:
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

    def remove_doomed_files(self) -> None:
        """Unlink deleted segments and logs whose delay is over. Raises as above."""
        self._for_each(self, Log.remove_doomed_files)
        self._remove_doomed_logs()

    def _remove_doomed_logs(self) -> None:
        now_ms = self._env.clock.monotonic_ms()
        while self._doomed and self._doomed[0][0] <= now_ms:
            self._remove_directory(self._doomed[0][1])
            self._doomed.popleft()

    def flush_due(self) -> None:
        """Flush the logs whose `flush.ms` has passed. Blocks. Raises as above."""
        self._for_each(self, Log.maybe_flush)

    def _remove_directory(self, path: Path) -> None:
        if self._env.disk.stat(path) is not None:
            for name in self._env.disk.list(path):
                self._env.disk.remove(path / name)
            self._env.disk.remove(path)

    # Ending

    def shut_down(self, broker_epoch: int = 0) -> bool:
        """Flush and close every log, write checkpoints, and the marker where everything went well; unlock.

        Answers whether every directory got its marker. Failures are in `LogDirectory.failures`. Blocks.
        """
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
        self._unlock()
        return is_clean

    def abandon(self) -> None:
        """End as a crash would: nothing flushed, no checkpoint, no marker. For a start that failed, and for tests."""
        for log in self:
            log.abandon()
        self._unlock()

    def _unlock(self) -> None:
        for directory in self._directories:
            directory.unlock()
