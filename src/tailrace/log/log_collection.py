"""The logs of this broker, over its log directories: load, get, create, delete, lose. `logs` looks after them.

Invariant: at most one Log a partition. A log that fails to load is left out and remembered in its directory's
`failures`; the others are served. A directory that failed (`error`) has no logs here, and nothing below it is touched
again: no checkpoint, no marker, no fsync.
Not its business: which partitions should exist (cluster), who leads (replication).
One owner, one thread. Source: Kafka LogManager.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from tailrace.base.errors import ErrorCode, KafkaError, StorageError, TailraceError
from tailrace.base.types import ZERO_TOPIC_ID, TopicId, TopicPartition
from tailrace.log import partition_metadata
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.directory_syncs import DirectorySyncs
from tailrace.log.filenames import (
    DELETE_DIRECTORY_SUFFIX,
    LOG_SUFFIX,
    deleted_directory,
    parse_directory,
    stray_directory,
)
from tailrace.log.files import DoomedFiles
from tailrace.log.log import Log
from tailrace.log.log_directories import LogDirectories
from tailrace.log.log_directory import LogDirectory, SpaceLevel
from tailrace.log.recovery import KnownOffsets
from tailrace.log.space import Space
from tailrace.log.trouble import Trouble, trouble_of
from tailrace.observe.durations import Durations

T = TypeVar("T")

TopicIdOf = Callable[[str], TopicId]
"""The id of a topic, by name; ZERO_TOPIC_ID where there is no such topic."""

ConfigOf = Callable[[str], LogConfig]
"""Settings of a topic, by name."""

OnDirectoryFailed = Callable[[LogDirectory, list[TopicPartition]], None]
"""Told once that a directory went offline, and which partitions were served from it."""


def _are_different(one: TopicId, other: TopicId) -> bool:
    """Whether two topic ids are known and not the same."""
    return ZERO_TOPIC_ID not in (one, other) and one != other


def _unknown_topic_id(topic: str) -> TopicId:
    return ZERO_TOPIC_ID


class LogMissing(KafkaError):
    """A partition's log is not to be had while a log directory is offline or missing."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.KAFKA_STORAGE_ERROR, "its log directory is offline or missing")


class LogCollection:
    """Every log of one broker. `cluster_id` None takes the directories' own, or makes one."""

    __slots__ = (
        "_by_partition",
        "_config_of",
        "_directories",
        "_directory_syncs",
        "_doomed",
        "_env",
        "_home",
        "node_id",
        "on_directory_failed",
        "space",
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

        A directory that cannot be opened is offline from the start, as long as there is another.
        Raises TailraceError in one sentence where one is in use or another node's or cluster's; StorageError.
        """
        self._env = replace(env, report=self._on_report)
        self._config_of = config_of
        self._by_partition: dict[TopicPartition, Log] = {}
        self._home: dict[TopicPartition, LogDirectory] = {}
        self._doomed = DoomedFiles(self._env)
        self._directory_syncs = DirectorySyncs(self._env)
        self._directories = LogDirectories(log_dirs, self._env, node_id, cluster_id)
        self.space = Space(self._directories, env.disk)
        self.node_id = node_id
        self.on_directory_failed = lambda directory, partitions: None

    # Loading

    def load_all(self, topic_id_of: TopicIdOf = _unknown_topic_id) -> None:
        """Take in every log there is, and remove what was being deleted. Failures of single logs are remembered.

        After a clean end a log is opened when it is first asked for; else each is opened and mended here. Of a
        partition in two directories `topic_id_of` tells which is of a deleted topic. Raises StorageError.
        """
        for directory in self._directories.online:
            try:
                self._load_directory(directory, topic_id_of)
            except StorageError as error:
                self.on_storage_error(error)
        self._remove_doomed_logs()
        self._directories.check_any_online()

    def _load_directory(self, directory: LogDirectory, topic_id_of: TopicIdOf) -> None:
        for name in self._env.disk.list(directory.path):
            path = directory.path / name
            if name.endswith(DELETE_DIRECTORY_SUFFIX) and self._is_directory(path):
                self._doomed.note([path], self._env.clock.monotonic_ms())
                continue
            topic_partition = parse_directory(name)
            if topic_partition is None or self._is_twice(directory, topic_partition, topic_id_of):
                continue
            if directory.was_clean:
                directory.unopened[topic_partition] = 0
            elif self._is_directory(path):
                log = self._load(directory, topic_partition)
                if log is not None:
                    self._add(directory, log)

    def _is_twice(self, directory: LogDirectory, topic_partition: TopicPartition, topic_id_of: TopicIdOf) -> bool:
        """Whether another directory has the partition too: then neither is served, for nobody knows which is right.

        Unless one of them is of a deleted topic: that one is set aside.
        """
        other = self._home.get(topic_partition) or self._directory_of_unopened(topic_partition)
        if other is None:
            other = next((each for each in self._directories if topic_partition in each.failures), None)
        if other is None:
            return False
        topic_id = topic_id_of(topic_partition.topic)
        name = str(topic_partition)
        ids = [partition_metadata.read(self._env.disk, each.path / name) for each in (other, directory)]
        if _are_different(ids[1], topic_id):
            self._set_aside(directory, topic_partition)
            return True
        self._forget(topic_partition)
        if _are_different(ids[0], topic_id):
            self._set_aside(other, topic_partition)
            return False
        other.failures[topic_partition] = directory.failures[topic_partition] = TailraceError(
            f"{topic_partition} is in two log directories, {other.path} and {directory.path}; "
            "move one of the two away while the broker is stopped."
        )
        return True

    def _forget(self, topic_partition: TopicPartition) -> None:
        """Have no log of the partition; its files stay."""
        log = self._by_partition.pop(topic_partition, None)
        self._home.pop(topic_partition, None)
        if log is not None:
            log.abandon()
        for directory in self._directories:
            directory.unopened.pop(topic_partition, None)

    def _set_aside(self, directory: LogDirectory, topic_partition: TopicPartition) -> None:
        """Give the directory of a log a name under which nobody looks for it. Raises StorageError."""
        disk = self._env.disk
        target = directory.path / stray_directory(topic_partition, self._env.random.uuid().hex)
        disk.rename(directory.path / str(topic_partition), target)
        disk.sync_directory(directory.path)

    def _is_directory(self, path: Path) -> bool:
        found = self._env.disk.stat(path)
        return found is not None and found.is_directory

    def _load(self, directory: LogDirectory, topic_partition: TopicPartition) -> Log | None:
        config = self._config_of(topic_partition.topic)
        known = KnownOffsets(
            directory.recovery_points.get(topic_partition, 0), directory.log_start_offsets.get(topic_partition, 0)
        )
        opened = partial(
            Log.open,
            directory.path / str(topic_partition),
            topic_partition,
            config,
            self._env,
            known,
            was_clean=directory.was_clean,
        )
        try:
            log = self.with_reserve(opened)
        except (StorageError, KafkaError) as error:
            directory.failures[topic_partition] = error  # one bad file costs one log; a directory fails in service
            return None
        # After a power cut what lies above the recovery point may be what was cut away before: a leader has to say.
        known_end = log.log_end_offset if directory.was_clean else log.recovery_point
        log.high_watermark = min(directory.high_watermarks.get(topic_partition, 0), known_end)
        log.first_dirty_offset = directory.cleaner_offsets.get(topic_partition, -1)
        return log

    def with_reserve(self, work: Callable[[], T]) -> T:
        """Do what frees space or needs a little to start; on a full volume once more, with the reserve given up.

        Raises what `work` raises; what a failure means for its directory is for who catches it.
        """
        try:
            return work()
        except StorageError as error:
            if trouble_of(error) is not Trouble.NO_SPACE:
                raise
            self.on_upkeep_error(error)
            return work()

    def _open(self, topic_partition: TopicPartition) -> Log | None:
        """Open a log that was not asked for before; None where there is none, or it failed."""
        directory = self._directory_of_unopened(topic_partition)
        if directory is None:
            return None
        log = self._load(directory, topic_partition)  # NotResident: it stays unopened, and is asked for again
        del directory.unopened[topic_partition]
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
    def directories(self) -> LogDirectories:
        """The log directories."""
        return self._directories

    @property
    def flush_times(self) -> Durations:
        """How long flushes of its logs took."""
        return self._env.flush_times

    @property
    def cluster_id(self) -> str:
        """The cluster that the directories belong to."""
        return self._directories.cluster_id

    def directory_of(self, topic_partition: TopicPartition) -> LogDirectory:
        """Where the partition's open log lies. KeyError where there is none."""
        return self._home[topic_partition]

    def is_full(self, topic_partition: TopicPartition) -> bool:
        """Whether the volume of the partition's open log has no room, not even for what coordinators write."""
        return self.space.is_short and self._home[topic_partition].space is SpaceLevel.NONE

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

    def find_or_create(self, topic_partition: TopicPartition, topic_id: TopicId) -> Log:
        """The log of a partition that exists; an empty one where there is none in any directory it may lie in.

        Raises as `create`, and LogMissing where its log may lie in a directory that is not to be had: an empty one in
        its place would be a loss nobody notices. Source: Kafka LogManager.getOrCreateLog.
        """
        self._set_stray_aside(topic_partition, topic_id)
        if topic_partition not in self and not self._directories.are_complete:
            raise LogMissing
        return self.create(topic_partition, topic_id)

    def create(self, topic_partition: TopicPartition, topic_id: TopicId) -> Log:
        """The log of a partition that is created just now: empty. A log of a deleted topic there is set aside.

        Raises StorageError; KafkaError(KAFKA_STORAGE_ERROR) where its log is there and cannot be loaded.
        """
        self._set_stray_aside(topic_partition, topic_id)
        log = self.get(topic_partition)
        if log is not None:
            if topic_id != ZERO_TOPIC_ID and log.topic_id == ZERO_TOPIC_ID:
                log.set_topic_id(topic_id)  # the process died before it was written
            return log
        for directory in self._directories:
            if topic_partition in directory.failures:
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(directory.failures[topic_partition]))
        directory = self._directory_for_a_new_log()
        path = directory.path / str(topic_partition)
        config = self._config_of(topic_partition.topic)
        try:
            log = Log.open(path, topic_partition, config, self._env, was_clean=False)
            if topic_id != ZERO_TOPIC_ID and log.topic_id == ZERO_TOPIC_ID:
                log.set_topic_id(topic_id)
        except StorageError as error:
            self.on_storage_error(error)
            if directory.error is None or not self._directories.online:
                raise
            return self.create(topic_partition, topic_id)  # the directory has just failed; another may do
        self._add(directory, log)
        return log

    def _set_stray_aside(self, topic_partition: TopicPartition, topic_id: TopicId) -> None:
        log = self.get(topic_partition)
        if log is not None and _are_different(log.topic_id, topic_id):
            directory = self._home[topic_partition]
            self._forget(topic_partition)
            self._set_aside(directory, topic_partition)

    def _directory_for_a_new_log(self) -> LogDirectory:
        """The one with the fewest logs, as in Kafka, where there is space. Raises StorageError."""
        self._directories.check_any_online()
        online = self._directories.online
        if len(online) == 1:
            return online[0]
        counts = Counter(id(home) for home in self._home.values())
        return min(online, key=lambda each: (each.space, counts[id(each)] + len(each.unopened)))

    def delete(self, topic_partition: TopicPartition) -> None:
        """Delete the partition's log: gone at once, its files after `file.delete.delay.ms`. Raises StorageError.

        Its new name is synced behind our back. A power cut before that leaves a log of no topic, which is not served.
        """
        log = self._by_partition.get(topic_partition)
        directory = self._home[topic_partition] if log is not None else self._directory_of_unopened(topic_partition)
        directory = directory or self._directory_with(topic_partition)
        if directory is None:
            return
        path = directory.path / deleted_directory(topic_partition, self._env.random.uuid().hex)
        if log is not None:
            log.delete(path)
            del self._by_partition[topic_partition]
            del self._home[topic_partition]
        else:  # it was not opened, or not made whole, or cannot be read
            self._env.disk.rename(directory.path / str(topic_partition), path)
            directory.unopened.pop(topic_partition, None)
            directory.failures.pop(topic_partition, None)
        self._directory_syncs.want(directory.path)
        delay_ms = self._config_of(topic_partition.topic).file_delete_delay_ms
        self._doomed.note([path], self._env.clock.monotonic_ms() + delay_ms)

    def _remove_doomed_logs(self) -> None:
        self._doomed.remove_due(self._env.clock.monotonic_ms())

    def _directory_with(self, topic_partition: TopicPartition) -> LogDirectory | None:
        """The directory with files of a partition that has no log."""
        for directory in self._directories.online:
            if self._is_directory(directory.path / str(topic_partition)):
                return directory
        return None

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
        directory = self._directories.at(error.path)
        if directory is not None and trouble is Trouble.DIRECTORY:
            self.fail_directory(directory, error)
        elif directory is not None and trouble is Trouble.NO_SPACE:
            self.space.on_no_space(directory)
        return trouble

    def on_upkeep_error(self, error: StorageError) -> Trouble:
        """As `on_storage_error`, of an operation that frees space: on a full volume the reserve is given up for it."""
        trouble = self.on_storage_error(error)
        directory = self._directories.at(error.path)
        if directory is not None and trouble is Trouble.NO_SPACE:
            self.space.give_up_reserve(directory)
        return trouble

    def _on_report(self, error: StorageError) -> None:
        self.on_upkeep_error(error)

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
        self._directory_syncs.forget(directory.path)
        self._doomed.forget(lambda path: self._directories.at(str(path)) is directory)
        self.on_directory_failed(directory, partitions)
        for log in lost:
            log.release()

    def _in(self, directory: LogDirectory) -> list[Log]:
        """The open logs of a directory."""
        if len(self._directories) == 1:
            return list(self._by_partition.values())
        return [log for topic_partition, log in self._by_partition.items() if self._home[topic_partition] is directory]
