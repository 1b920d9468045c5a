"""Log directories that another program wrote, or may go to: where things lie, who holds them.

    <log dir>/                    one or more, `log.dirs`
      meta.properties               cluster, node and directory id
      <topic>-<partition>/          logs
    <metadata.log.dir>/           the first log directory unless set
      bootstrap.checkpoint          what a Kafka controller begins with
      __cluster_metadata-0/         Kafka's metadata log; its segments and snapshots
    <data dir>/metadata.db        ours

Shared by all that take a directory over; reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tailrace.base.disk import RealDisk, lock_directory
from tailrace.base.errors import TailraceError
from tailrace.base.types import TopicPartition
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.sqlite_store import SqliteStore
from tailrace.log import meta_properties
from tailrace.log.filenames import KAFKA_METADATA_TOPIC, parse_directory
from tailrace.log.meta_properties import MetaProperties

METADATA_FILE: Final = "metadata.db"
WORKERS_FILE: Final = "workers.db"
"""In its place, the metadata of several workers (`local.workers`)."""
KAFKA_METADATA_DIRECTORY: Final = f"{KAFKA_METADATA_TOPIC}-0"


def log_directories(settings: BrokerSettings, data_dir: Path) -> list[Path]:
    """`log.dirs` when it is set, else the data directory itself."""
    given = [name for name in settings.static_names() if name in ("log.dirs", "log.dir")]
    if not given:
        return [data_dir]
    return [Path(name) for name in settings.names("log.dirs") or settings.names("log.dir")]


def metadata_directory(settings: BrokerSettings, log_dirs: Sequence[Path]) -> Path:
    """Where Kafka keeps its metadata log."""
    given = settings.text("metadata.log.dir")
    return Path(given) if given else log_dirs[0]


def partitions_in(log_dirs: Sequence[Path]) -> dict[TopicPartition, Path]:
    """The directory of each partition that has one. TailraceError where one has two, or a directory cannot be read."""
    found: dict[TopicPartition, Path] = {}
    for log_dir in log_dirs:
        try:
            paths = sorted(path for path in log_dir.iterdir() if path.is_dir())
        except OSError as error:
            raise TailraceError(f"cannot read {log_dir}: {error.strerror}") from error
        for path in paths:
            topic_partition = parse_directory(path.name)
            if topic_partition is None:
                continue
            if topic_partition in found:
                raise TailraceError(f"{topic_partition} is both in {found[topic_partition].parent} and in {log_dir}")
            found[topic_partition] = path
    return found


def refuse_unknown_logs(data_dir: Path, log_dirs: Sequence[Path]) -> None:
    """TailraceError where there are logs that no metadata tells of: nothing would be served of them."""
    existing = [log_dir for log_dir in log_dirs if log_dir.is_dir()]
    logs = partitions_in(existing)
    has_kafka = any((log_dir / KAFKA_METADATA_DIRECTORY).is_dir() for log_dir in existing)
    if not logs and not has_kafka:
        return
    where = next(iter(logs.values())).parent if logs else existing[0]
    raise TailraceError(
        f"{where} holds logs, but {data_dir / METADATA_FILE} does not tell of them. If Apache Kafka wrote them, "
        "`tailrace from-kafka` with the same options takes them over; else put that file back."
    )


def metadata_of(path: Path) -> MetadataImage:
    """What the metadata of a broker alone says. TailraceError where it cannot be read, or a broker has it open."""
    store = SqliteStore(path)
    try:
        image = MetadataImage()
        version, records = store.load()
        image.replay(records, version)
    finally:
        store.close()
    if not image.cluster_id:
        raise TailraceError(f"{path} is empty")
    return image


def identities(log_dirs: Sequence[Path]) -> list[MetaProperties]:
    """What each directory's `meta.properties` says. TailraceError where one has none, or two disagree."""
    found: list[MetaProperties] = []
    for log_dir in log_dirs:
        meta = meta_properties.read(RealDisk(), log_dir)
        if meta is None:
            raise TailraceError(f"{log_dir} has no {meta_properties.FILE_NAME}: it is not a broker's log directory")
        if found and (meta.cluster_id, meta.node_id) != (found[0].cluster_id, found[0].node_id):
            raise TailraceError(f"{log_dir} and {log_dirs[0]} belong to different brokers or clusters")
        found.append(meta)
    return found


@contextmanager
def locked(directories: Sequence[Path]) -> Iterator[None]:
    """Keep brokers, ours and Kafka's, out of `directories` inside the block. TailraceError where one is in."""
    held = []
    try:
        for directory in dict.fromkeys(directories):
            if not directory.is_dir():
                raise TailraceError(f"there is no directory {directory}")
            lock = lock_directory(directory)
            if lock is None:
                raise TailraceError(f"{directory} is in use by another process; stop the broker first")
            held.append(lock)
        yield
    finally:
        for lock in held:
            lock.close()
