"""The logs of this broker, over its log directories: load, get, create, delete, look after, shut down.

Invariant: at most one Log a partition. A log that fails to load is left out and remembered in its directory's
`failures`; the others are served. Not its business: which partitions should exist (cluster), who leads (replication).
One owner, one thread. Source: Kafka LogManager.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tailrace.base.errors import KafkaError, StorageError, TailraceError
from tailrace.base.types import ZERO_TOPIC_ID, TopicId, TopicPartition
from tailrace.log import meta_properties
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.filenames import DELETE_DIRECTORY_SUFFIX, deleted_directory, parse_directory
from tailrace.log.log import Log
from tailrace.log.log_directory import LogDirectory
from tailrace.log.meta_properties import MetaProperties
from tailrace.log.partition_metadata import encode_topic_id
from tailrace.log.recovery import KnownOffsets

ConfigOf = Callable[[str], LogConfig]
"""Settings of a topic, by name."""


class Logs:
    """Every log of one broker. `cluster_id` None takes the directories' own, or makes one."""

    __slots__ = ("_by_partition", "_config_of", "_directories", "_doomed", "_env", "_home", "cluster_id", "node_id")

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
        self._env = env
        self._config_of = config_of
        self._by_partition: dict[TopicPartition, Log] = {}
        self._home: dict[TopicPartition, LogDirectory] = {}
        self._doomed: deque[tuple[float, Path]] = deque()
        self._directories: list[LogDirectory] = []
        self.node_id = node_id
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
        """Open every log there is, and remove what was being deleted. Failures of single logs are remembered."""
        for directory in self._directories:
            for name in self._env.disk.list(directory.path):
                path = directory.path / name
                if name.endswith(DELETE_DIRECTORY_SUFFIX) and self._is_directory(path):
                    self._remove_directory(path)
                    continue
                topic_partition = parse_directory(name)
                if topic_partition is not None and self._is_directory(path):
                    self._load(directory, topic_partition, path)

    def _is_directory(self, path: Path) -> bool:
        found = self._env.disk.stat(path)
        return found is not None and found.is_directory

    def _load(self, directory: LogDirectory, topic_partition: TopicPartition, path: Path) -> None:
        if topic_partition in self._by_partition:
            directory.failures[topic_partition] = TailraceError(f"{topic_partition} is in two log directories.")
            return
        config = self._config_of(topic_partition.topic)
        known = KnownOffsets(
            directory.recovery_points.get(topic_partition, 0), directory.log_start_offsets.get(topic_partition, 0)
        )
        try:
            log = Log.open(path, topic_partition, config, self._env, known, was_clean=directory.was_clean)
        except (StorageError, KafkaError) as error:
            directory.failures[topic_partition] = error
            return
        log.high_watermark = min(directory.high_watermarks.get(topic_partition, 0), log.log_end_offset)
        self._add(directory, log)

    def _add(self, directory: LogDirectory, log: Log) -> None:
        self._by_partition[log.topic_partition] = log
        self._home[log.topic_partition] = directory

    # The collection

    def __len__(self) -> int:
        return len(self._by_partition)

    def __iter__(self) -> Iterator[Log]:
        return iter(list(self._by_partition.values()))

    @property
    def directories(self) -> list[LogDirectory]:
        """The log directories, for DescribeLogDirs."""
        return self._directories

    def directory_of(self, topic_partition: TopicPartition) -> LogDirectory:
        """Where the partition's log lies. KeyError where there is none."""
        return self._home[topic_partition]

    def get(self, topic_partition: TopicPartition) -> Log | None:
        """The partition's log, None where there is none (or it failed to load)."""
        return self._by_partition.get(topic_partition)

    def create(self, topic_partition: TopicPartition, topic_id: TopicId) -> Log:
        """The partition's log; an empty one in the directory with the fewest logs where there is none.

        Raises StorageError; KafkaError(INCONSISTENT_TOPIC_ID is the caller's to decide: compare `log.topic_id`).
        """
        log = self._by_partition.get(topic_partition)
        if log is not None:
            return log
        directory = min(self._directories, key=lambda d: sum(1 for home in self._home.values() if home is d))
        path = directory.path / str(topic_partition)
        log = Log.open(path, topic_partition, self._config_of(topic_partition.topic), self._env, was_clean=False)
        if topic_id != ZERO_TOPIC_ID and log.topic_id == ZERO_TOPIC_ID:
            log.set_topic_id(topic_id)
        self._add(directory, log)
        return log

    def delete(self, topic_partition: TopicPartition) -> None:
        """Delete the partition's log: gone at once, its files after `file.delete.delay.ms`. Raises StorageError."""
        log = self._by_partition.get(topic_partition)
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
        config = self._config_of(topic)
        for topic_partition, log in self._by_partition.items():
            if topic_partition.topic == topic:
                log.update_config(config)

    # Looking after

    def write_checkpoints(self) -> None:
        """Write every directory's checkpoints. Raises StorageError."""
        for directory in self._directories:
            directory.write_checkpoints(log for log in self if self._home[log.topic_partition] is directory)

    def write_log_start_offsets(self) -> None:
        """Write where every log starts, so that deleted records stay deleted over a crash. Raises StorageError."""
        for directory in self._directories:
            directory.write_log_start_offsets(log for log in self if self._home[log.topic_partition] is directory)

    def apply_retention(self) -> int:
        """Delete what retention no longer keeps, forget idle producers, unlink what was deleted long enough ago.

        Answers how many segments went. Raises the first StorageError after having tried every log.
        """
        now_ms = self._env.clock.wall_ms()
        deleted = 0
        first_error: StorageError | None = None
        for log in self:
            try:
                deleted += log.apply_retention(now_ms)
                log.expire_producers(now_ms)
            except StorageError as error:
                first_error = first_error or error
        self.remove_doomed_files()
        if first_error is not None:
            raise first_error
        return deleted

    def remove_doomed_files(self) -> None:
        """Unlink deleted segments and logs whose delay is over. Raises StorageError."""
        for log in self:
            log.remove_doomed_files()
        now_ms = self._env.clock.monotonic_ms()
        while self._doomed and self._doomed[0][0] <= now_ms:
            self._remove_directory(self._doomed[0][1])
            self._doomed.popleft()

    def flush_due(self) -> None:
        """Flush the logs whose `flush.ms` has passed. Blocks. Raises StorageError."""
        for log in self:
            log.maybe_flush()

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
            try:
                log.close()
            except StorageError as error:
                self._home[log.topic_partition].failures[log.topic_partition] = error
        is_clean = True
        for directory in self._directories:
            try:
                directory.write_checkpoints(log for log in self if self._home[log.topic_partition] is directory)
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
