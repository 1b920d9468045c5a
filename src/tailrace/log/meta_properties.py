"""`meta.properties`: whose log directory this is. Java properties, one `name=value` a line.

    version=1
    cluster.id=<22 characters>
    node.id=1
    directory.id=<22 characters>

Source: Kafka MetaProperties (version 1), KIP-858.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from tailrace.base.disk import Disk, write_atomically
from tailrace.base.errors import StorageError, TailraceError

FILE_NAME: Final = "meta.properties"
_VERSION: Final = "1"


class MetaProperties(NamedTuple):
    """Identity of a log directory."""

    cluster_id: str
    node_id: int
    directory_id: str


def read(disk: Disk, directory: Path) -> MetaProperties | None:
    """The identity in `directory`, None where it has none. Raises TailraceError where it does not parse."""
    path = directory / FILE_NAME
    try:
        text = disk.read(path).decode("utf-8", "replace")
    except StorageError as error:
        if isinstance(error.cause, FileNotFoundError):
            return None
        raise
    pairs = [line.partition("=") for line in text.splitlines() if line.strip() and not line.startswith(("#", "!"))]
    values = {name.strip(): value.strip() for name, _, value in pairs}
    try:
        node_id = int(values["node.id"])
        cluster_id = values["cluster.id"]
    except (KeyError, ValueError):
        raise TailraceError(f"{path} has no cluster.id and node.id; it is not a log directory's.") from None
    version = values.get("version", _VERSION)
    if version != _VERSION:
        raise TailraceError(f"{path} has version {version}; this broker reads version {_VERSION}, use a later one.")
    return MetaProperties(cluster_id, node_id, values.get("directory.id", ""))


def write(disk: Disk, directory: Path, meta: MetaProperties) -> None:
    """Replace the file. Raises StorageError."""
    lines = [
        "version=1",
        f"cluster.id={meta.cluster_id}",
        f"node.id={meta.node_id}",
        f"directory.id={meta.directory_id}",
        "",
    ]
    write_atomically(disk, directory / FILE_NAME, "\n".join(lines).encode())
