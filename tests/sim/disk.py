"""A machine's disk in memory: what a process wrote stays when it is killed; what was not synced may go with the power.

    names      of a directory: those synced, then any number of the changes after that, in their order
    contents   of a file: those synced, then any number of the writes and cuts after that, the last perhaps in part

A disk that lies (`is_lying`) says of a sync that it is done, and keeps what was synced in a cache, which goes with the
power. It keeps the order: with what it lied about everything later is gone, and the next true sync is one of all that.
A device that lies and reorders leaves holes in logs that nobody looks for, here as with Kafka.
Not its business: how long anything takes; the process waits where it does (`process.Background`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from tailrace.base.disk import Buffer, File, FileStat
from tailrace.base.errors import StorageError


class Inode:
    """A file, whatever its name: the bytes now, those on the device, and the changes between."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = bytearray()
        self.unsynced: list[bytes | int] = []
        """Bytes that were appended, or a size that it was cut or grown to."""

    def settle(self) -> None:
        """Everything is on the device."""
        if self.unsynced:
            self.durable = bytearray(self.data)
            self.unsynced.clear()

    def lose(self, random: Random, *, all_of_it: bool) -> None:
        """The power is gone."""
        count = 0 if all_of_it else random.randint(0, len(self.unsynced))
        kept, lost = self.unsynced[:count], self.unsynced[count:]
        if lost and isinstance(lost[0], bytes) and not all_of_it and random.random() < 0.5:
            kept.append(lost[0][: random.randint(0, len(lost[0]))])
        for change in kept:
            if isinstance(change, bytes):
                self.durable += change
            else:
                self.durable = _sized(self.durable, change)
        self.data = bytearray(self.durable)
        self.unsynced.clear()


def _sized(data: bytearray, size: int) -> bytearray:
    return data[:size] if size <= len(data) else data + bytes(size - len(data))


class Directory:
    """Names now, names on the device, and the steps between."""

    def __init__(self) -> None:
        self.now: dict[str, Inode | Directory] = {}
        self.durable: dict[str, Inode | Directory] = {}
        self.unsynced: list[Callable[[dict[str, Inode | Directory]], object]] = []

    def change(self, step: Callable[[dict[str, Inode | Directory]], object]) -> None:
        step(self.now)
        self.unsynced.append(step)

    def settle(self) -> None:
        self.durable = dict(self.now)
        self.unsynced.clear()

    def lose(self, random: Random, *, all_of_it: bool) -> None:
        for step in [] if all_of_it else self.unsynced[: random.randint(0, len(self.unsynced))]:
            step(self.durable)
        self.now = dict(self.durable)
        self.unsynced.clear()
        for _, what in sorted(self.now.items()):
            what.lose(random, all_of_it=all_of_it)


class SimDisk:
    """`base.disk.Disk`. One for each machine; it outlives processes."""

    def __init__(self) -> None:
        self.is_lying = False
        self._top = Directory()
        self._cached: dict[Inode | Directory, None] = {}
        """What was said to be synced, and is not."""
        self._locked: SimFile | None = None

    def lose_power(self, random: Random) -> None:
        """What was not synced is gone, some or all of it."""
        self._top.lose(random, all_of_it=bool(self._cached))
        self._cached.clear()
        self._locked = None

    def release_lock(self) -> None:
        """The process that held it is dead."""
        self._locked = None

    def _find(self, path: Path) -> Inode | Directory | None:
        found: Inode | Directory | None = self._top
        for part in path.parts[1:]:
            found = found.now.get(part) if isinstance(found, Directory) else None
        return found

    def _directory(self, path: Path) -> Directory:
        found = self._find(path)
        if not isinstance(found, Directory):
            raise StorageError("open", str(path), FileNotFoundError(2, "no such directory"))
        return found

    def _file(self, operation: str, path: Path) -> Inode:
        found = self._find(path)
        if not isinstance(found, Inode):
            raise StorageError(operation, str(path), FileNotFoundError(2, "no such file"))
        return found

    def open(self, path: Path) -> File:
        parent = self._directory(path.parent)
        found = parent.now.get(path.name)
        if found is None:
            made = found = Inode()
            parent.change(lambda names: names.__setitem__(path.name, made))
        assert isinstance(found, Inode)
        return SimFile(self, found)

    def open_existing(self, path: Path) -> File:
        return SimFile(self, self._file("open", path))

    def read(self, path: Path) -> bytes:
        return bytes(self._file("read", path).data)

    def stat(self, path: Path) -> FileStat | None:
        found = self._find(path)
        if found is None:
            return None
        return FileStat(len(found.data) if isinstance(found, Inode) else 0, 0, isinstance(found, Directory))

    def set_modified(self, path: Path, modified_ms: int) -> None:
        """Nobody looks at it here."""

    def rename(self, source: Path, target: Path) -> None:
        assert source.parent == target.parent
        if self._find(source) is None:
            raise StorageError("rename", str(source), FileNotFoundError(2, "no such file"))

        def step(names: dict[str, Inode | Directory]) -> None:
            if source.name in names:
                names[target.name] = names.pop(source.name)

        self._directory(source.parent).change(step)

    def remove(self, path: Path) -> None:
        if self._find(path) is not None:
            self._directory(path.parent).change(lambda names: names.pop(path.name, None))

    def list(self, path: Path) -> list[str]:
        return sorted(self._directory(path).now)

    def make_directory(self, path: Path) -> None:
        for each in (*reversed(path.parents), path):
            if self._find(each) is None:
                made = Directory()
                self._directory(each.parent).change(_link(each.name, made))

    def sync_directory(self, path: Path) -> None:
        self.settle(self._directory(path))

    def settle(self, what: Inode | Directory) -> None:
        """A sync of it."""
        self._cached[what] = None
        if not self.is_lying:
            for each in self._cached:
                each.settle()
            self._cached.clear()

    def lock(self, path: Path) -> File | None:
        if self._locked is not None:
            return None
        self._locked = SimFile(self, Inode())
        return self._locked

    def unlock(self, file: SimFile) -> None:
        """A file was closed."""
        if file is self._locked:
            self._locked = None

    def can_sync_volumes(self) -> bool:
        return False

    def sync_volume(self, path: Path, file: File) -> None:
        raise AssertionError("there is no sync of volumes here")


def _link(name: str, what: Directory) -> Callable[[dict[str, Inode | Directory]], object]:
    return lambda names: names.__setitem__(name, what)


class SimFile:
    """`base.disk.File`."""

    def __init__(self, disk: SimDisk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._is_closed = False

    def fileno(self) -> int:
        if self._is_closed:
            raise ValueError("closed")
        return -1

    def write(self, data: Buffer) -> int:
        written = bytes(data)
        self._inode.data += written
        self._inode.unsynced.append(written)
        return len(written)

    def pread(self, size: int, position: int) -> bytes:
        return bytes(self._inode.data[position : position + size])

    def size(self) -> int:
        return len(self._inode.data)

    def truncate(self, size: int) -> None:
        self._inode.data = _sized(self._inode.data, size)
        self._inode.unsynced.append(size)

    def sync(self) -> None:
        self._disk.settle(self._inode)

    def close(self) -> None:
        self._is_closed = True
        self._disk.unlock(self)
