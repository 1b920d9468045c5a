"""Files and directories, passed in, so that tests can make the n-th operation fail.

`RealDisk` is the machine's; the fakes of tests/fault wrap it. Every failure is a StorageError that names the operation
and the path; nothing else escapes. What is not promised: durability before `sync`; order between files.
A file is closed when `close` is called or when nothing refers to it any more, whichever is first: who still has a
range of it to send keeps it open, and its descriptor number is never reused under him.
Within a `page_cache.ReadScope` reads of what is not in memory raise NotResident.
"""

from __future__ import annotations

import fcntl
import os
import stat as stat_modes
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from tailrace.base.errors import StorageError
from tailrace.base.page_cache import read_scope
from tailrace.base.volume_sync import can_sync_volumes, sync_volume

Buffer = bytes | bytearray | memoryview

_SMALL_FILE_BYTES: Final = 64 * 1024


class FileStat(NamedTuple):
    """What `Disk.stat` tells of a path."""

    size: int
    modified_ms: int
    is_directory: bool


class VolumeSpace(NamedTuple):
    """Bytes of a volume, and those of them that may still be written."""

    total: int
    free: int


class File(Protocol):
    """An open file that grows at its end and is read anywhere."""

    def fileno(self) -> int:
        """The descriptor, for sendfile. Ask each time: ValueError once the file is closed."""
        ...

    def write(self, data: Buffer) -> int:
        """One write(2) at the end; answers how many bytes were taken, which may be fewer than given."""
        ...

    def pread(self, size: int, position: int) -> bytes:
        """Up to `size` bytes from `position`; fewer only at the end of the file."""
        ...

    def size(self) -> int:
        """Bytes in the file."""
        ...

    def truncate(self, size: int) -> None:
        """Cut (or grow with zeros) to `size` bytes."""
        ...

    def sync(self) -> None:
        """Wait until data and size are on the device (fdatasync)."""
        ...

    def close(self) -> None:
        """Close; again is nothing."""
        ...


class Disk(Protocol):
    """A file system. Paths that are missing raise StorageError with FileNotFoundError as cause, except in `stat`."""

    def open(self, path: Path) -> File:
        """Open for reading and appending; create it where it is missing."""
        ...

    def open_existing(self, path: Path) -> File:
        """Open for reading only; a missing file is an error, and not made."""
        ...

    def read(self, path: Path) -> bytes:
        """The whole of a small file."""
        ...

    def stat(self, path: Path) -> FileStat | None:
        """Size, time and kind of what is at `path`; None where there is nothing."""
        ...

    def set_modified(self, path: Path, modified_ms: int) -> None:
        """Say that a file was last modified at `modified_ms` since 1970."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Rename, replacing the target in one step."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file or an empty directory; nothing where it is missing."""
        ...

    def list(self, path: Path) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def make_directory(self, path: Path) -> None:
        """Make a directory and those above it; nothing where it exists."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Wait until the names in a directory are on the device."""
        ...

    def lock(self, path: Path) -> File | None:
        """Lock the directory at `path` until the file is closed; None where another process has it."""
        ...

    def can_sync_volumes(self) -> bool:
        """Whether there is `sync_volume`."""
        ...

    def sync_volume(self, path: Path, file: File) -> None:
        """Wait until everything on the volume of `path` is on the device. `file` is one on it: a failure to write
        anything since it was opened is raised too."""
        ...


class RealFile:
    """A file of the operating system, opened with O_APPEND."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: Path, flags: int = os.O_RDWR | os.O_APPEND | os.O_CREAT) -> None:
        self._fd = -1
        self.path = path
        try:
            self._fd = os.open(path, flags | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError("open", str(path), error) from error

    def fileno(self) -> int:
        if self._fd < 0:
            raise ValueError(f"{self.path} is closed")
        return self._fd

    def write(self, data: Buffer) -> int:
        try:
            return os.write(self._fd, data)
        except OSError as error:
            raise StorageError("write", str(self.path), error) from error

    def pread(self, size: int, position: int) -> bytes:
        scope = read_scope()
        try:
            if scope is not None:
                return scope.pread(self.path, self, size, position)
            return os.pread(self._fd, size, position)
        except OSError as error:
            raise StorageError("read", str(self.path), error) from error

    def size(self) -> int:
        try:
            return os.fstat(self._fd).st_size
        except OSError as error:
            raise StorageError("stat", str(self.path), error) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise StorageError("truncate", str(self.path), error) from error

    def sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise StorageError("fsync", str(self.path), error) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                raise StorageError("close", str(self.path), error) from error

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class RealDisk:
    """The machine's file system."""

    __slots__ = ()

    def open(self, path: Path) -> File:
        return RealFile(path)

    def open_existing(self, path: Path) -> File:
        return RealFile(path, os.O_RDONLY)

    def read(self, path: Path) -> bytes:
        scope = read_scope()
        try:
            return _read_small(path) if scope is None else scope.read(path)
        except OSError as error:
            raise StorageError("read", str(path), error) from error

    def stat(self, path: Path) -> FileStat | None:
        try:
            found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat, and asked for every file at start
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError("stat", str(path), error) from error
        return FileStat(found.st_size, found.st_mtime_ns // 1_000_000, stat_modes.S_ISDIR(found.st_mode))

    def set_modified(self, path: Path, modified_ms: int) -> None:
        try:
            os.utime(path, ns=(modified_ms * 1_000_000, modified_ms * 1_000_000))
        except OSError as error:
            raise StorageError("utime", str(path), error) from error

    def rename(self, source: Path, target: Path) -> None:
        try:
            source.replace(target)
        except OSError as error:
            raise StorageError("rename", str(source), error) from error

    def remove(self, path: Path) -> None:
        try:
            try:
                path.unlink()
            except (IsADirectoryError, PermissionError):
                path.rmdir()  # unlink of a directory is EISDIR on Linux, EPERM elsewhere
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageError("remove", str(path), error) from error

    def list(self, path: Path) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            raise StorageError("list", str(path), error) from error

    def make_directory(self, path: Path) -> None:
        try:
            try:
                os.mkdir(path)  # noqa: PTH102 - a fifth of the cost of Path.mkdir, and asked for with every log
            except (FileExistsError, FileNotFoundError):
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError("mkdir", str(path), error) from error

    def sync_directory(self, path: Path) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("open", str(path), error) from error
        try:
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError("fsync", str(path), error) from error

    def lock(self, path: Path) -> File | None:
        return lock_directory(path)

    def can_sync_volumes(self) -> bool:
        return can_sync_volumes()

    def sync_volume(self, path: Path, file: File) -> None:
        try:
            sync_volume(file.fileno())
        except OSError as error:
            raise StorageError("fsync", str(path), error) from error


def _read_small(path: Path) -> bytes:
    """What a file holds, in three system calls where it is small: half the cost of Path.read_bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, _SMALL_FILE_BYTES)
        if len(data) == _SMALL_FILE_BYTES:
            with open(fd, "rb", closefd=False) as file:
                data += file.read()
        return data
    finally:
        os.close(fd)


def write_atomically(disk: Disk, path: Path, data: Buffer) -> None:
    """Replace a small file: written beside it as `.tmp`, synced, renamed, directory synced. All of it or none."""
    disk.rename(_write_aside(disk, path, data, lambda file: file.sync()), path)
    disk.sync_directory(path.parent)


def replace_unsynced(disk: Disk, path: Path, data: Buffer) -> None:
    """Like `write_atomically` without waiting for the device: a killed process leaves all or none of it, a power cut
    may leave it empty. For files that their reader can do without, or that are synced later."""
    disk.rename(_write_aside(disk, path, data, lambda file: None), path)


def _write_aside(disk: Disk, path: Path, data: Buffer, then: Callable[[File], None]) -> Path:
    temporary = path.with_name(path.name + ".tmp")
    disk.remove(temporary)
    file = disk.open(temporary)
    try:
        write_fully(file, data)
        then(file)
    finally:
        file.close()
    return temporary


def sync_path(disk: Disk, path: Path) -> None:
    """Wait until the file at `path` is on the device; nothing where it is missing."""
    if disk.stat(path) is not None:
        file = disk.open(path)
        try:
            file.sync()
        finally:
            file.close()


def write_fully(file: File, data: Buffer) -> None:
    """Write all of `data` at the end, in as many writes as it takes. On StorageError a part may have been written."""
    written = file.write(data)
    if written < len(data):
        rest = memoryview(data)
        while written < len(rest):
            written += file.write(rest[written:])


def volume_space(path: Path) -> VolumeSpace:
    """Size of the volume that holds `path`, and what is free on it for this user. Raises OSError."""
    found = os.statvfs(path)
    return VolumeSpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def lock_directory(path: Path) -> File | None:
    """Take the exclusive lock of `path`/.lock, held until the file is closed. None where another process has it.

    Two kinds of lock: flock keeps out a second broker of this process, lockf is the one a JVM takes.
    """
    file = RealFile(path / ".lock")
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX lets lockf answer EACCES as well as EAGAIN
        file.close()
        return None
    except OSError as error:
        file.close()
        raise StorageError("lock", str(path / ".lock"), error) from error
    return file
