"""A disk that can lose its power: what was not synced is gone, in each of the ways a file system may lose it.

The process works on real files below `root`. Beside them this disk keeps what is on the device: the bytes a file had
when `sync` returned, the names a directory had when `sync_directory` returned. `lose_power` writes that, and as much of
the rest as `Survival` says, to another directory; open the logs there. It can be called often, for other outcomes.

    names     of each directory: those synced, then any number of the changes after that, in their order
    contents  of each file: those synced, then Survival:
              NOTHING   not one byte more
              PREFIX    any number of the writes and cuts after that, in their order, the last write perhaps in part
              ZEROS     the size of such a prefix, but zeros where the bytes were (delayed allocation, ext4 and XFS)
              GARBAGE   the same with noise (a device that reorders its cache)

A sync that fails has dropped the bytes it was asked for, for good: the next one succeeds and does not have them, as on
Linux ("fsyncgate"). `before_sync` makes one fail, or wait, in the thread that asks. Safe to use from several threads.
Not here: the metadata store does not go through `Disk`, and `.lock` holds nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from random import Random
from typing import NamedTuple

from tailrace.base.disk import Buffer, File, FileStat, RealDisk
from tailrace.base.errors import StorageError


class Survival(Enum):
    """What a power loss leaves of the bytes that were not synced."""

    NOTHING = auto()
    PREFIX = auto()
    ZEROS = auto()
    GARBAGE = auto()


class _Change(NamedTuple):
    """A write of `data`, or, where that is None, a cut (or growth) to `size`."""

    data: bytes | None
    size: int


class _Content:
    """A file, whatever its names: the bytes on the device, and the changes that are not."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = bytearray(durable)
        self.unsynced: list[_Change] = []
        self._settled_count = 0

    @property
    def change_count(self) -> int:
        """All changes so far."""
        return self._settled_count + len(self.unsynced)

    def settle(self, change_count: int) -> None:
        """All changes up to `change_count` are on the device."""
        count = max(change_count - self._settled_count, 0)  # another sync may have been faster
        for change in self.unsynced[:count]:
            _apply(self.durable, change)
        del self.unsynced[:count]
        self._settled_count += count

    def drop(self, change_count: int) -> None:
        """The changes up to `change_count` that are not on the device never will be: zeros take their place."""
        count = max(change_count - self._settled_count, 0)
        self.unsynced[:count] = [
            change if change.data is None else _Change(bytes(len(change.data)), change.size)
            for change in self.unsynced[:count]
        ]

    def survivors(self, random: Random, survival: Survival) -> bytes:
        content = bytearray(self.durable)
        if survival is Survival.NOTHING or not self.unsynced:
            return bytes(content)
        count = random.randint(0, len(self.unsynced))
        for change in self.unsynced[:count]:
            _apply(content, change)
        torn = self.unsynced[count].data if count < len(self.unsynced) else None
        if torn and random.random() < 0.5:
            content += torn[: random.randint(0, len(torn) - 1)]
        first_lost = min(len(self.durable), len(content))
        if survival is Survival.ZEROS:
            content[first_lost:] = bytes(len(content) - first_lost)
        elif survival is Survival.GARBAGE:
            content[first_lost:] = random.randbytes(len(content) - first_lost)
        return bytes(content)


def _apply(content: bytearray, change: _Change) -> None:
    if change.data is not None:
        content += change.data
    elif change.size <= len(content):
        del content[change.size :]
    else:
        content += bytes(change.size - len(content))


class _Names:
    """A directory: its names now, those on the device, and the steps from the one to the other."""

    def __init__(self) -> None:
        self.now: dict[str, _Content | _Names] = {}
        self.durable: dict[str, _Content | _Names] = {}
        self.unsynced: list[Callable[[dict[str, _Content | _Names]], object]] = []

    def change(self, step: Callable[[dict[str, _Content | _Names]], object]) -> None:
        step(self.now)
        self.unsynced.append(step)

    def settle(self) -> None:
        self.durable = dict(self.now)
        self.unsynced.clear()


class PowerLossDisk:
    """Everything below `root`, which must exist; what is there already is on the device."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before_sync: Callable[[Path], object] | None = None
        """Called with the path in the thread that syncs: waits, or raises StorageError for a sync that fails."""
        self.synced: list[Path] = []
        """The files and directories of the syncs that succeeded, in their order."""
        self._disk = RealDisk()
        self.guard = threading.Lock()
        self._top = _load(root)

    def _find(self, path: Path) -> _Content | _Names | None:
        found: _Content | _Names | None = self._top
        for part in path.relative_to(self.root).parts:
            found = found.now.get(part) if isinstance(found, _Names) else None
        return found

    def _directory(self, path: Path) -> _Names:
        found = self._find(path)
        assert isinstance(found, _Names), f"{path} is not a directory of this disk"
        return found

    # The operations of Disk

    def open(self, path: Path) -> File:
        with self.guard:
            file = self._disk.open(path)
            content = self._find(path)
            if content is None:
                content = _Content()
                self._directory(path.parent).change(_link(path.name, content))
            assert isinstance(content, _Content)
        return _PowerLossFile(self, path, file, content)

    def open_existing(self, path: Path) -> File:
        return self._disk.open_existing(path)

    def set_modified(self, path: Path, modified_ms: int) -> None:
        self._disk.set_modified(path, modified_ms)

    def read(self, path: Path) -> bytes:
        return self._disk.read(path)

    def stat(self, path: Path) -> FileStat | None:
        return self._disk.stat(path)

    def rename(self, source: Path, target: Path) -> None:
        assert source.parent == target.parent, "a rename between directories is not modelled"
        with self.guard:
            self._disk.rename(source, target)
            self._directory(source.parent).change(_rename(source.name, target.name))

    def remove(self, path: Path) -> None:
        with self.guard:
            self._disk.remove(path)
            if self._find(path) is not None:
                self._directory(path.parent).change(_unlink(path.name))

    def list(self, path: Path) -> list[str]:
        return self._disk.list(path)

    def make_directory(self, path: Path) -> None:
        with self.guard:
            self._disk.make_directory(path)
            for each in (*reversed(path.parents), path):
                if each.is_relative_to(self.root) and self._find(each) is None:
                    self._directory(each.parent).change(_link(each.name, _Names()))

    def sync_directory(self, path: Path) -> None:
        if self.before_sync is not None:
            self.before_sync(path)
        with self.guard:
            if path.is_relative_to(self.root):  # what holds the root is durable
                self._directory(path).settle()
            self.synced.append(path)

    def lock(self, path: Path) -> File | None:
        return self._disk.lock(path)

    def can_sync_volumes(self) -> bool:
        return True

    def sync_volume(self, path: Path, file: File) -> None:
        try:
            if self.before_sync is not None:
                self.before_sync(path)
        except StorageError:
            for content in _contents(self._top):
                content.drop(content.change_count)
            raise
        with self.guard:
            for content in _contents(self._top):
                content.settle(content.change_count)
            for names in _all_names(self._top):
                names.settle()
            self.synced.append(path)

    # The end of the power

    def lose_power(self, target: Path, seed: int, survival: Survival = Survival.NOTHING) -> None:
        """Write what a power loss at this moment leaves to the new directory `target`. Equal seeds, equal outcomes."""
        random = Random(seed)
        with self.guard:
            _write(self._top, target, random, survival)


class _PowerLossFile:
    """A real file that notes its changes."""

    def __init__(self, disk: PowerLossDisk, path: Path, file: File, content: _Content) -> None:
        self._disk = disk
        self._path = path
        self._file = file
        self._content = content

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, data: Buffer) -> int:
        with self._disk.guard:
            written = self._file.write(data)
            self._content.unsynced.append(_Change(bytes(memoryview(data)[:written]), 0))
            return written

    def pread(self, size: int, position: int) -> bytes:
        return self._file.pread(size, position)

    def size(self) -> int:
        return self._file.size()

    def truncate(self, size: int) -> None:
        with self._disk.guard:
            self._file.truncate(size)
            self._content.unsynced.append(_Change(None, size))

    def sync(self) -> None:
        with self._disk.guard:
            change_count = self._content.change_count  # what is written while the device works is not promised
        try:
            if self._disk.before_sync is not None:
                self._disk.before_sync(self._path)
        except StorageError:
            with self._disk.guard:
                self._content.drop(change_count)
            raise
        with self._disk.guard:
            self._content.settle(change_count)
            self._disk.synced.append(self._path)

    def close(self) -> None:
        self._file.close()


def _link(name: str, what: _Content | _Names) -> Callable[[dict[str, _Content | _Names]], object]:
    return lambda names: names.__setitem__(name, what)


def _unlink(name: str) -> Callable[[dict[str, _Content | _Names]], object]:
    return lambda names: names.pop(name, None)


def _rename(source: str, target: str) -> Callable[[dict[str, _Content | _Names]], object]:
    return lambda names: names.__setitem__(target, names.pop(source))


def _load(path: Path) -> _Names:
    names = _Names()
    for entry in sorted(path.iterdir()):
        names.now[entry.name] = _load(entry) if entry.is_dir() else _Content(entry.read_bytes())
    names.settle()
    return names


def _write(directory: _Names, target: Path, random: Random, survival: Survival) -> None:
    names = dict(directory.durable)
    if survival is not Survival.NOTHING:
        for step in directory.unsynced[: random.randint(0, len(directory.unsynced))]:
            step(names)
    target.mkdir(parents=True)
    for name, what in sorted(names.items()):
        if isinstance(what, _Names):
            _write(what, target / name, random, survival)
        else:
            (target / name).write_bytes(what.survivors(random, survival))


def _all_names(top: _Names) -> list[_Names]:
    below = [names for what in top.now.values() if isinstance(what, _Names) for names in _all_names(what)]
    return [top, *below]


def _contents(top: _Names) -> list[_Content]:
    return [what for names in _all_names(top) for what in names.now.values() if isinstance(what, _Content)]
