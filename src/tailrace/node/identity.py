"""Who this broker is: its node id and its cluster, as settings, log directories and metadata tell them.

    node id       node.id, broker.id, else meta.properties, else 1
    cluster id    meta.properties, else metadata.db, else a new one

So a `meta.properties` that was lost is written again as it was, but for the id of its directory.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from tailrace.base.disk import RealDisk
from tailrace.base.errors import TailraceError
from tailrace.cluster.records import ClusterRecord
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.sqlite_store import SqliteStore
from tailrace.log import meta_properties
from tailrace.node.kafka_directory import METADATA_FILE

DEFAULT_NODE_ID: Final = 1


def node_id_of(settings: BrokerSettings, log_dirs: list[Path]) -> int:
    """`node.id`, else its older name `broker.id`, else the one the directories have had from the first, else 1."""
    given = settings.static_names()
    named = next((settings.integer(name) for name in ("node.id", "broker.id") if name in given), None)
    if named is not None:
        return named
    for log_dir in log_dirs:
        with suppress(TailraceError):  # of a directory that cannot be read the log says so, with the rest it has to say
            meta = meta_properties.read(RealDisk(), log_dir)
            if meta is not None:
                return meta.node_id
    return DEFAULT_NODE_ID


def known_cluster_id(data_dir: Path, log_dirs: list[Path]) -> str | None:
    """What the metadata says, where no log directory says it (any more); None where neither does, or one still does."""
    if any((log_dir / meta_properties.FILE_NAME).exists() for log_dir in log_dirs):
        return None
    path = data_dir / METADATA_FILE
    if not path.exists():
        return None
    store = SqliteStore(path)
    try:
        records = store.load().records
    finally:
        store.close()
    return next((record.cluster_id for record in records if isinstance(record, ClusterRecord)), None)
