"""What lies in a log directory, looked at without changing anything: values for the checks.

Works while a broker runs on it and when none does. Files come and go meanwhile: what is gone when it is looked at is
left out. Segments are looked at by their heads and by the ends of their indexes, never read through.
Not its business: judging; the metadata's own files (`tailrace dump`, `sqlite3`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

from tailrace.base.disk import RealDisk, VolumeSpace, volume_space
from tailrace.base.errors import StorageError, TailraceError
from tailrace.base.types import TopicPartition
from tailrace.doctor.holder import Holder, find_holder
from tailrace.doctor.limits import HEAD_BYTES, SEGMENT_LOOKS_MAX
from tailrace.log import checkpoint, meta_properties
from tailrace.log.filenames import (
    CLEANED_SUFFIX,
    DELETE_DIRECTORY_SUFFIX,
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    KAFKA_METADATA_TOPIC,
    LOG_SUFFIX,
    STRAY_DIRECTORY_SUFFIX,
    SWAP_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    offset_of,
    parse_directory,
)
from tailrace.log.log_directory import CLEAN_SHUTDOWN
from tailrace.log.meta_properties import MetaProperties

METADATA_FILE: Final = "metadata.db"
LEFTOVERS: Final = (CLEANED_SUFFIX, SWAP_SUFFIX, DELETED_SUFFIX, ".tmp")
ENTRY_BYTES: Final = {INDEX_SUFFIX: 8, TIME_INDEX_SUFFIX: 12, TXN_INDEX_SUFFIX: 34}
"""Bytes of one entry of each index."""


class SegmentFacts(NamedTuple):
    """One segment. `head`: its first bytes, HEAD_BYTES where there are so many. `indexes`: sizes by suffix.
    `last_position`: where the last entry of its offset index points; None where it has none."""

    topic_partition: TopicPartition
    base_offset: int
    next_base_offset: int | None
    size_bytes: int
    head: bytes
    indexes: dict[str, int]
    last_position: int | None


@dataclass(slots=True)
class DirectoryFacts:
    """One log directory."""

    path: Path
    trouble: str = ""
    """Why it cannot be looked at; then nothing else is filled in."""
    is_writable: bool = True
    owners: frozenset[int] = frozenset()
    """User ids that own it and what is directly in it."""
    file_system: str = ""
    """Of the mount; empty where the system does not say."""
    space: VolumeSpace | None = None
    holder: Holder | None = None
    """The process that has it locked."""
    was_clean: bool = False
    meta: MetaProperties | None = None
    has_metadata: bool = False
    has_kafka_metadata: bool = False
    malformed: list[str] = field(default_factory=list)
    """Files of the directory itself that do not parse, and why."""
    recovery_points: dict[TopicPartition, int] = field(default_factory=dict)
    partitions: list[TopicPartition] = field(default_factory=list)
    segments: list[SegmentFacts] = field(default_factory=list)
    unlooked_segments: int = 0
    leftovers: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)


def look_at(path: Path) -> DirectoryFacts:
    """Everything about a directory. Raises nothing for one that cannot be read: `trouble` says why."""
    facts = DirectoryFacts(path)
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        facts.trouble = (error.strerror or str(error)).lower()
        return facts
    facts.is_writable = os.access(path, os.W_OK | os.X_OK)
    facts.owners = frozenset(_owners(path, names))
    facts.file_system = file_system_of(path)
    with suppress(OSError):
        facts.space = volume_space(path)
    facts.holder = find_holder(path / ".lock")
    facts.was_clean = CLEAN_SHUTDOWN in names
    facts.has_metadata = METADATA_FILE in names
    facts.has_kafka_metadata = f"{KAFKA_METADATA_TOPIC}-0" in names
    _read_own_files(facts)
    for name in names:
        _sort_entry(facts, name)
    return facts


def _owners(path: Path, names: list[str]) -> Iterator[int]:
    for each in (path, *(path / name for name in names)):
        with suppress(OSError):
            yield each.lstat().st_uid


def _read_own_files(facts: DirectoryFacts) -> None:
    disk = RealDisk()
    try:
        facts.meta = meta_properties.read(disk, facts.path)
    except (TailraceError, StorageError) as error:
        facts.malformed.append(str(error))
    for name in (checkpoint.RECOVERY_POINTS, checkpoint.LOG_START_OFFSETS, checkpoint.HIGH_WATERMARKS):
        try:
            offsets = checkpoint.read_offsets(disk, facts.path / name)
        except (TailraceError, StorageError) as error:
            facts.malformed.append(str(error))
            continue
        if name == checkpoint.RECOVERY_POINTS:
            facts.recovery_points = offsets


def _sort_entry(facts: DirectoryFacts, name: str) -> None:
    if name.endswith(DELETE_DIRECTORY_SUFFIX):
        facts.deleted.append(name)
    elif name.endswith(STRAY_DIRECTORY_SUFFIX):
        facts.strays.append(name)
    elif name.endswith(".tmp"):
        facts.leftovers.append(name)
    else:
        topic_partition = parse_directory(name)
        if topic_partition is not None:
            facts.partitions.append(topic_partition)
            _look_at_log(facts, topic_partition)


def _look_at_log(facts: DirectoryFacts, topic_partition: TopicPartition) -> None:
    directory = facts.path / f"{topic_partition.topic}-{topic_partition.partition}"
    try:
        names = os.listdir(directory)
    except OSError as error:
        facts.malformed.append(f"{directory}: {(error.strerror or str(error)).lower()}")
        return
    facts.leftovers += [f"{directory.name}/{name}" for name in sorted(names) if name.endswith(LEFTOVERS)]
    bases = sorted(base for name in names if (base := offset_of(name, LOG_SUFFIX)) is not None)
    for base, following in zip_longest(bases, bases[1:]):
        if len(facts.segments) >= SEGMENT_LOOKS_MAX:
            facts.unlooked_segments += 1
            continue
        with suppress(FileNotFoundError):
            facts.segments.append(_segment(directory, topic_partition, base, following))


def _segment(directory: Path, topic_partition: TopicPartition, base: int, following: int | None) -> SegmentFacts:
    stem = directory / f"{base:020d}"
    with stem.with_suffix(LOG_SUFFIX).open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
    indexes: dict[str, int] = {}
    for suffix in ENTRY_BYTES:
        with suppress(FileNotFoundError):
            indexes[suffix] = stem.with_suffix(suffix).stat().st_size
    position = _last_position(stem.with_suffix(INDEX_SUFFIX), indexes.get(INDEX_SUFFIX, 0))
    return SegmentFacts(topic_partition, base, following, size, head, indexes, position)


def _last_position(path: Path, size: int) -> int | None:
    """Where the last entry of an offset index points. Kafka fills the index of its newest segment up with zeros."""
    if size < 8:
        return None
    with path.open("rb") as file:
        file.seek(size - size % 8 - 8)
        entry = file.read(8)
    return int.from_bytes(entry[4:], "big") if any(entry) else None


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path`, from /proc/mounts; empty where there is none."""
    try:
        lines = Path("/proc/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    here = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = fields[1].replace("\\040", " ")
        is_above = here == mount or here.startswith(mount.rstrip("/") + "/")
        if is_above and len(mount) >= len(best):
            best, kind = mount, fields[2]
    return kind
