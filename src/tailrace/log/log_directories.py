"""The log directories of one broker: opened together, of one cluster, one by one failing.

Invariant: every online directory is locked and bears this node's and this cluster's id. One that cannot be opened at
start is offline from then on, as one that fails later; where all of them are, there is nothing to start with.
Not its business: the logs within. Source: Kafka LogManager, MetaPropertiesEnsemble; KIP-112, KIP-858.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tailrace.base.disk import Disk
from tailrace.base.errors import StorageError, TailraceError
from tailrace.log import meta_properties
from tailrace.log.config import LogEnvironment
from tailrace.log.log_directory import LogDirectory
from tailrace.log.meta_properties import MetaProperties
from tailrace.log.partition_metadata import encode_topic_id


class LogDirectories:
    """Every log directory of one broker, in the order of its settings."""

    __slots__ = ("_env", "_items", "cluster_id", "missing_ids")

    cluster_id: str
    missing_ids: frozenset[str]
    """Directories that held logs of this broker and are not among these; who knows of them says so."""

    def __init__(self, log_dirs: Sequence[Path], env: LogEnvironment, node_id: int, cluster_id: str | None) -> None:
        """Lock the directories and check whose they are. `cluster_id` None takes their own, or makes one.

        Raises TailraceError in one sentence where one is in use or another node's or cluster's; StorageError.
        """
        assert log_dirs, "a broker has a log directory"
        self._env = env
        self._items = [LogDirectory(env.disk, path) for path in log_dirs]
        self.missing_ids = frozenset()
        try:
            self._open()
            self.cluster_id = self._identify(node_id, cluster_id)
        except TailraceError:
            self.unlock()
            raise

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[LogDirectory]:
        return iter(self._items)

    def __getitem__(self, index: int) -> LogDirectory:
        return self._items[index]

    @property
    def online(self) -> list[LogDirectory]:
        """Those in use."""
        return [directory for directory in self._items if directory.error is None]

    @property
    def are_complete(self) -> bool:
        """Whether none is offline, and none that held logs of this broker is missing."""
        return not self.missing_ids and all(directory.error is None for directory in self._items)

    def at(self, path: str) -> LogDirectory | None:
        """The log directory that `path` is or lies in."""
        for directory in self._items:
            root = str(directory.path)
            if path == root or path.startswith(root + "/"):
                return directory
        return None

    def check_any_online(self) -> None:
        """Raise the StorageError of the first where every one is offline."""
        errors = [directory.error for directory in self._items if directory.error is not None]
        if len(errors) == len(self._items):
            raise errors[0]

    def unlock(self) -> None:
        """Let other processes have them."""
        for directory in self._items:
            directory.unlock()

    def _open(self) -> None:
        for directory in self._items:
            try:
                directory.open()
                directory.meta = meta_properties.read(self._env.disk, directory.path)
            except StorageError as error:
                directory.error = error
        self.check_any_online()

    def _identify(self, node_id: int, cluster_id: str | None) -> str:
        found = next((each.meta.cluster_id for each in self._items if each.meta is not None), None)
        cluster_id = cluster_id or found or encode_topic_id(self._env.random.uuid())
        for directory in self.online:
            if directory.meta is None:
                meta = MetaProperties(cluster_id, node_id, encode_topic_id(self._env.random.uuid()))
                try:
                    meta_properties.write(self._env.disk, directory.path, meta)
                    _keep_name(self._env.disk, directory.path)
                except StorageError as error:
                    directory.error = error
                    continue
                directory.meta = meta
            _check_owner(directory.path, directory.meta, node_id, cluster_id)
        self.check_any_online()
        return cluster_id


def _keep_name(disk: Disk, path: Path) -> None:
    """Have a directory that may have been made just now outlive a power cut, with what will be in it."""
    with suppress(StorageError):  # a parent that may not be opened was made by somebody else, as a mount point is
        disk.sync_directory(path.parent)


def _check_owner(path: Path, meta: MetaProperties, node_id: int, cluster_id: str) -> None:
    if meta.node_id != node_id:
        raise TailraceError(
            f"{path} belongs to node {meta.node_id}, not to node {node_id}; "
            f"set node.id to {meta.node_id}, or give this broker a directory of its own."
        )
    if meta.cluster_id != cluster_id:
        raise TailraceError(
            f"{path} belongs to cluster {meta.cluster_id}, not to {cluster_id}; "
            "give this broker directories of one cluster."
        )
