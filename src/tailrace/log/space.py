"""Room on the volumes of the log directories: appends are refused before there is none, and everything else goes on.

    ENOUGH   free space is at or above the bound
    LOW      below it: clients' records are refused; offsets, checkpoints and metadata still fit
    NONE     an operation met a full volume or a quota: coordinators' records are refused as well

Each directory keeps a reserve, a file of zeros. It is given up when what frees space (DeleteRecords, deleted topics,
checkpoints) finds no room; appends never get it. After a full volume, that it could be written again is the proof that
there is space, whatever the volume says: a quota is not seen in its free bytes.
Invariant: `is_short` says whether any online directory is not ENOUGH: the one test that an append costs.
Not its business: when to look (`node.space_watch`). Kafka has no such bound: a full disk stops it. wants C7.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tailrace.base.disk import Disk, VolumeSpace, volume_space, write_fully
from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.limits import RESERVE_FILE_MAX_BYTES, RESERVED_MAX_BYTES
from tailrace.log.log_directories import LogDirectories
from tailrace.log.log_directory import LogDirectory, SpaceLevel

RESERVE_FILE: Final = ".tailrace-reserve"
BY_SIZE: Final = -1
"""`log.dir.reserved.bytes`: one percent of the volume, at most RESERVED_MAX_BYTES."""
_CHUNK: Final = bytes(64 * 1024)

SpaceOf = Callable[[Path], VolumeSpace]


class NoSpace(KafkaError):
    """An append or a new topic is refused for want of space."""

    def __init__(self, directory: Path) -> None:
        message = f"The volume of {directory} is full; records are taken again when there is space on it."
        super().__init__(ErrorCode.KAFKA_STORAGE_ERROR, message)


class Space:
    """The space of every log directory. One owner, one thread."""

    __slots__ = ("_directories", "_disk", "_space_of", "is_short", "on_change", "reserved_bytes")

    reserved_bytes: int
    """`log.dir.reserved.bytes`: bytes below which a directory is LOW, 0 never, or BY_SIZE."""
    on_change: Callable[[LogDirectory, VolumeSpace], None]
    """Told when a directory's level changed."""

    def __init__(self, directories: LogDirectories, disk: Disk, space_of: SpaceOf = volume_space) -> None:
        self._directories = directories
        self._disk = disk
        self._space_of = space_of
        self.is_short = False
        self.reserved_bytes = BY_SIZE
        self.on_change = lambda directory, space: None

    def check(self, *, makes_reserve: bool = True) -> int:
        """Look at every online directory; answers how many bytes the one that is nearest to its bound is above it.

        Makes the reserves that are not there, unless told not to. Raises nothing: a volume that does not say counts as
        it did before.
        """
        headroom = 1 << 62
        for directory in self._directories.online:
            try:
                space = self._space_of(directory.path)
            except OSError:
                continue
            bound = self._bound(space)
            if directory.space is not SpaceLevel.ENOUGH:
                bound += bound // 8  # so that it does not come and go with every segment
            has_reserve = makes_reserve and space.free >= bound and self._keep_reserve(directory, space)
            if directory.space is SpaceLevel.NONE and not has_reserve:
                level = SpaceLevel.NONE
            else:
                level = SpaceLevel.LOW if space.free < bound else SpaceLevel.ENOUGH
            self._set(directory, level, space)
            headroom = min(headroom, space.free - bound)
        return headroom

    def on_no_space(self, directory: LogDirectory) -> None:
        """An operation below `directory` met a full volume."""
        if directory.error is None:
            self._set(directory, SpaceLevel.NONE, VolumeSpace(0, 0))

    def give_up_reserve(self, directory: LogDirectory) -> None:
        """Let what frees space have the reserve. It is made again when there is space."""
        if directory.error is None:
            with suppress(StorageError):
                self._disk.remove(directory.path / RESERVE_FILE)

    def check_append(self, directory: LogDirectory) -> None:
        """Raise NoSpace where clients' records are refused."""
        if directory.space is not SpaceLevel.ENOUGH:
            raise NoSpace(directory.path)

    def check_create(self) -> None:
        """Raise NoSpace where no directory takes the log of a new topic."""
        online = self._directories.online
        if online and all(directory.space is not SpaceLevel.ENOUGH for directory in online):
            raise NoSpace(online[0].path)

    def _bound(self, space: VolumeSpace) -> int:
        if self.reserved_bytes == BY_SIZE:
            return min(space.total // 100, RESERVED_MAX_BYTES)
        return self.reserved_bytes

    def _set(self, directory: LogDirectory, level: SpaceLevel, space: VolumeSpace) -> None:
        if directory.space is not level:
            directory.space = level
            self.is_short = any(each.space is not SpaceLevel.ENOUGH for each in self._directories.online)
            self.on_change(directory, space)

    def _keep_reserve(self, directory: LogDirectory, space: VolumeSpace) -> bool:
        """Whether the reserve is there, or could be made. After a full volume it is made again, as a proof."""
        path = directory.path / RESERVE_FILE
        aside = path.with_name(RESERVE_FILE + ".tmp")
        size = min(RESERVE_FILE_MAX_BYTES, space.total // 64)
        try:
            found = self._disk.stat(path)
            if found is not None and found.size >= size and directory.space is not SpaceLevel.NONE:
                return True
            if space.free < 2 * size:
                return False
            self._disk.remove(aside)
            file = self._disk.open(aside)
            try:
                for _ in range(0, size, len(_CHUNK)):
                    write_fully(file, _CHUNK)
            finally:
                file.close()
            self._disk.rename(aside, path)
        except StorageError:
            with suppress(StorageError):
                self._disk.remove(aside)
            return False
        return True
