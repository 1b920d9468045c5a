"""What the directory of several workers holds before they start: the metadata of another number of them, or of a broker
that was alone.

    more workers      the new ones join; what is there stays where it is
    fewer             refused while a worker that goes holds replicas; else it is forgotten
    a broker alone    becomes worker 1, in four steps, each of which a crash may follow:
                      its metadata copied to workers.db.new, which becomes workers.db; its logs moved to workers/1;
                      metadata.db set aside under another name
So while metadata.db is there beside workers.db the logs are on their way, and the next start goes on with them.
Not its business: taking a directory back from workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tailrace.base.disk import RealDisk
from tailrace.base.errors import TailraceError
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.records import ClusterRecord, RemoveBrokerRecord
from tailrace.cluster.store import MetadataStore
from tailrace.local.workers import WORKERS_DIRECTORY
from tailrace.node.kafka_directory import METADATA_FILE, WORKERS_FILE, metadata_of

NEW_SUFFIX: Final = ".new"
SET_ASIDE_SUFFIX: Final = ".before-workers"
_STAYING: Final = (METADATA_FILE, WORKERS_FILE, WORKERS_DIRECTORY, ".lock", "lost+found")
"""What names begin with that are no logs' and not beside logs by right: none is a partition's or a file of Kafka's."""


def new_metadata(data_dir: Path) -> Path:
    """Where the copy is made; what is left of one that was not finished is removed."""
    path = data_dir / (WORKERS_FILE + NEW_SUFFIX)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return path


def copy_metadata(path: Path, store: MetadataStore) -> None:
    """Put what the metadata of a broker alone says into an empty store. Waits. Raises TailraceError."""
    image = metadata_of(path)
    version = store.append(0, [ClusterRecord(image.cluster_id)])
    store.compact(version, image.records())


def put_in_place(data_dir: Path) -> None:
    """The copied metadata is the workers' from now on."""
    (data_dir / (WORKERS_FILE + NEW_SUFFIX)).rename(data_dir / WORKERS_FILE)
    RealDisk().sync_directory(data_dir)


def move_logs(log_dirs: Sequence[Path], worker_log_dirs: Sequence[Path]) -> None:
    """Move what each log directory holds into the worker's, but for metadata and lock. Again goes on."""
    for source, target in zip(log_dirs, worker_log_dirs, strict=True):
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.iterdir()):
            if not path.name.startswith(_STAYING):
                path.rename(target / path.name)
        RealDisk().sync_directory(target)
        RealDisk().sync_directory(source)


def set_metadata_aside(data_dir: Path) -> None:
    """The logs are moved: the broker that was alone is a worker."""
    path = data_dir / METADATA_FILE
    path.rename(path.with_name(path.name + SET_ASIDE_SUFFIX))
    RealDisk().sync_directory(data_dir)


def forget_gone(node_ids: range, store: MetadataStore) -> list[int]:
    """Forget brokers beyond `node_ids`; answers which. Waits.

    Raises TailraceError, one sentence, while one of them holds replicas.
    """
    image = MetadataImage()
    version, records = store.load()
    image.replay(records, version)
    gone = [broker_id for broker_id in image.brokers if broker_id not in node_ids]
    for broker_id in gone:
        held = [
            f"{topic.name}-{index}"
            for topic in image.topics.values()
            for index, partition in enumerate(topic.partitions)
            if broker_id in partition.replicas
        ]
        if held:
            count = max(image.brokers) - node_ids.start + 1
            raise TailraceError(
                f"worker {broker_id - node_ids.start + 1} (broker {broker_id}) holds {len(held)} partitions, such as "
                f"{held[0]}: start with --workers {count}, move them to the others, then start with fewer"
            )
    if gone:
        store.append(version, [RemoveBrokerRecord(broker_id) for broker_id in gone])
    return gone
