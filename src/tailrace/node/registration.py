"""Which log directories this broker has had, kept in the metadata, so that one that is missing is missed.

A disk that is not mounted leaves an empty directory, and a path dropped from `log.dirs` leaves none: either way a
broker that only looks at what is there would start every partition of it again, empty. So the ids of the directories
are registered, and while one of them is not there, partitions that are found nowhere stay offline.
An id is forgotten once every partition was found without it, or when `log.dirs.forget.missing` says so.
Source: KIP-858, RegisterBrokerRecord.LogDirs.
"""

from __future__ import annotations

import logging

from tailrace.cluster.metadata import Metadata
from tailrace.cluster.records import BrokerRecord
from tailrace.log.log_directories import LogDirectories

_log = logging.getLogger("tailrace.node")


def register_broker(metadata: Metadata, directories: LogDirectories, broker: BrokerRecord, *, forget: bool) -> None:
    """Make this broker known with every log directory it has and had; with `forget`, those it has only."""
    metadata.register_broker(with_directories(metadata, directories, broker, forget=forget))


def with_directories(
    metadata: Metadata, directories: LogDirectories, broker: BrokerRecord, *, forget: bool
) -> BrokerRecord:
    """What to register of a broker: with every log directory it has and had; with `forget`, those it has only."""
    present = _present(directories)
    known = metadata.image.brokers.get(broker.broker_id)
    before = dict(known.directories) if known is not None else {}
    missing = {directory_id: path for directory_id, path in before.items() if directory_id not in present}
    if missing and forget:
        _log.warning("log directories given up, as log.dirs.forget.missing says: %s", _words(missing))
        missing = {}
    directories.missing_ids = frozenset(missing)
    for directory in directories:
        if directory.error is not None:
            _log.error("log directory %s is offline: %s", directory.path, directory.error)
    if missing:
        _log.error(
            "log directories of this broker are missing: %s. Partitions that are in none of the others are offline. "
            "Mount them and restart; or, to begin their partitions again, empty, set log.dirs.forget.missing=true once",
            _words(missing),
        )
    return broker._replace(directories=tuple({**missing, **present}.items()))


def forget_missing(metadata: Metadata, directories: LogDirectories) -> None:
    """Every partition was found: directories that are not there hold nothing that is missed."""
    broker = metadata.image.brokers[metadata.node_id]
    metadata.register_broker(broker._replace(directories=tuple(_present(directories).items())))
    directories.missing_ids = frozenset()


def _present(directories: LogDirectories) -> dict[str, str]:
    return {each.meta.directory_id: str(each.path.absolute()) for each in directories.online if each.meta is not None}


def _words(directories: dict[str, str]) -> str:
    return ", ".join(f"{path} (directory.id {directory_id})" for directory_id, path in directories.items())
