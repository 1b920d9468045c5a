"""Reading files only where that waits for no disk: what lets one loop serve clients that read the past.

    with ReadScope(page_cache):        reads of `base.disk` in this thread answer from memory
        ...                            or raise NotResident, which says what to load and from where

The rest is a loop around it: catch, have another thread `load` that piece, try again. Invariant: a scope lets each
piece be missing once; the second time it is read and waited for, so memory pressure cannot keep a request for ever.
How it is told: preadv2 with RWF_NOWAIT, which reads what is in memory and refuses the rest (Linux 4.14, not on every
file system). Where that is missing, what was written last counts as being in memory and everything else as not.
Not its business: threads (node.readers), who waits for the answer.
Source: preadv2(2), posix_fadvise(2), and the kernel's `filemap_read` for what RWF_NOWAIT refuses.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from tailrace.base.errors import TailraceError
from tailrace.base.limits import LOAD_MAX_BYTES, RECENT_BYTES, RESIDENCY_STRIDE_BYTES

_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)
_ADVISE: Final[Callable[[int, int, int, int], None] | None] = getattr(os, "posix_fadvise", None)
_IS_LINUX: Final = sys.platform == "linux"
"""Where sendfile(2) sends to any file and not to sockets alone."""
_UNTOLD: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPERM})
"""How file systems, kernels and sandboxes refuse RWF_NOWAIT, as opposed to refusing to wait (EAGAIN)."""
_BUFFER_BYTES: Final = 64 * 1024
"""Reads up to this size go through memory that is kept: clearing fresh memory would cost as much as reading."""


class HasFileno(Protocol):
    """An open file."""

    def fileno(self) -> int: ...


class NotResident(TailraceError):
    """A read that would have waited for the disk: `size` bytes of `path` from `position`.

    `file` is the open one; None: the whole of what is at `path` was wanted.
    """

    def __init__(self, path: Path, file: HasFileno | None, position: int, size: int) -> None:
        super().__init__(f"{size} bytes of {path} from {position} are not in memory")
        self.path = path
        self.file = file
        self.position = position
        self.size = size


class PageCache(Protocol):
    """What is known of the file bytes that the machine holds in memory. `load` is for any thread, the rest for one."""

    def is_resident(self, fd: int, position: int, size: int) -> bool:
        """Whether `size` > 0 bytes can be had without waiting, as far as can be told from samples."""
        ...

    def pread(self, fd: int, size: int, position: int) -> bytes | None:
        """As `os.pread`, without waiting; None where it would have waited. Raises OSError."""
        ...

    def load(self, fd: int, position: int, size: int) -> None:
        """Wait until the bytes are in memory, or the file ends. Raises OSError."""
        ...


class KernelPageCache:
    """The machine's."""

    __slots__ = ("_buffer", "_probe")

    def __init__(self) -> None:
        self._probe = [bytearray(1)]
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def is_resident(self, fd: int, position: int, size: int) -> bool:
        # A sample each stride and the last byte: readers leave runs in memory, and the kernel takes runs away. A hole
        # between two samples costs one wait. cachestat(2) sees no holes, but counts pages that are still being read.
        last = position + size - 1
        preadv, probe = os.preadv, self._probe
        try:
            for at in range(position, last, RESIDENCY_STRIDE_BYTES):
                preadv(fd, probe, at, _NOWAIT)
            preadv(fd, probe, last, _NOWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            return error.errno not in _UNTOLD or _is_recent(fd, position)
        return bool(_NOWAIT) or _is_recent(fd, position)

    def pread(self, fd: int, size: int, position: int) -> bytes | None:
        if _NOWAIT:
            buffer = self._buffer[:size] if size <= _BUFFER_BYTES else memoryview(bytearray(size))
            try:
                count = os.preadv(fd, [buffer], position, _NOWAIT)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno not in _UNTOLD:
                    raise
            else:
                if count < size and position + count < os.fstat(fd).st_size:
                    return None
                return bytes(buffer if count == size else buffer[:count])
        return os.pread(fd, size, position) if _is_recent(fd, position) else None

    def load(self, fd: int, position: int, size: int) -> None:
        if _ADVISE is not None:
            # The kernel's own reading ahead would be set off again by who sends the pages it marked: the loop, which
            # then spends milliseconds on finding memory for it. What is wanted is asked for here.
            _ADVISE(fd, 0, 0, os.POSIX_FADV_RANDOM)
        if _IS_LINUX and size > _BUFFER_BYTES:
            os.posix_fadvise(fd, position, size, os.POSIX_FADV_WILLNEED)
            _send_nowhere(fd, position, size)
        else:
            _read(fd, position, size)


def _send_nowhere(fd: int, position: int, size: int) -> None:
    """Wait for every page without copying any: for a MiB a third less processor time than reading it."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        end = position + size
        while position < end:
            count = os.sendfile(nowhere, fd, position, end - position)
            if not count:
                return
            position += count
    finally:
        os.close(nowhere)


def _read(fd: int, position: int, size: int) -> None:
    end = position + size
    buffer = [bytearray(min(size, LOAD_MAX_BYTES))]
    while position < end:
        count = os.preadv(fd, buffer, position)
        if not count:
            return
        position += count


def _is_recent(fd: int, position: int) -> bool:
    return os.fstat(fd).st_size - position <= RECENT_BYTES


class _Here(threading.local):
    """What holds for this thread. A parameter would pass through every function between a request and its reads."""

    scope: ReadScope | None = None


_here = _Here()


class ReadScope:
    """Reads of this thread raise NotResident instead of waiting for a piece for the first time. Not nested."""

    __slots__ = ("_page_cache", "_tried")

    def __init__(self, page_cache: PageCache) -> None:
        self._page_cache = page_cache
        self._tried: set[tuple[Path, int]] = set()

    def __enter__(self) -> None:
        assert _here.scope is None, "read scopes do not nest"
        _here.scope = self

    def __exit__(self, *_: object) -> None:
        _here.scope = None

    def pread(self, path: Path, file: HasFileno, size: int, position: int) -> bytes:
        """`size` bytes of an open file. Raises NotResident, OSError."""
        data = self._page_cache.pread(file.fileno(), size, position)
        if data is not None:
            return data
        self._raise_once(NotResident(path, file, position, size))
        return os.pread(file.fileno(), size, position)

    def read(self, path: Path) -> bytes:
        """The whole of a file. Raises NotResident, OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            data = self._page_cache.pread(fd, size, 0) if size else b""
            if data is None:
                self._raise_once(NotResident(path, None, 0, size))
                data = os.pread(fd, size, 0)
            return data
        finally:
            os.close(fd)

    def _raise_once(self, missing: NotResident) -> None:
        key = (missing.path, missing.position)
        if key not in self._tried:
            self._tried.add(key)
            raise missing


class Waiting:
    """Within it reads of this thread wait, whatever scope is around: for work that must not be left half done."""

    __slots__ = ("_outer",)

    def __enter__(self) -> None:
        self._outer = _here.scope
        _here.scope = None

    def __exit__(self, *_: object) -> None:
        _here.scope = self._outer


def read_scope() -> ReadScope | None:
    """The scope this thread is in."""
    return _here.scope


class ColdReads(Protocol):
    """Who loads what a scope missed, for one loop and in its thread. Bounded in bytes, first come first served."""

    def scope(self) -> ReadScope:
        """A scope for one request."""
        ...

    def load(self, missing: NotResident, done: Callable[[OSError | None], None]) -> None:
        """Have a piece loaded; then `done(None, or why not)`. A file that went away is not an error."""
        ...

    def follow(self, file: HasFileno, position: int, size: int) -> None:
        """A range is about to be sent: if its reader is one of those that read the past in order, read ahead of it."""
        ...


class InlineReads:
    """ColdReads that waits in the caller's thread. For tests and tools."""

    __slots__ = ("_page_cache",)

    def __init__(self, page_cache: PageCache | None = None) -> None:
        self._page_cache = page_cache or KernelPageCache()

    def scope(self) -> ReadScope:
        return ReadScope(self._page_cache)

    def load(self, missing: NotResident, done: Callable[[OSError | None], None]) -> None:
        done(load_missing(self._page_cache, missing.path, missing.position, missing.size))

    def follow(self, file: HasFileno, position: int, size: int) -> None:
        """Read nothing ahead."""


def load_missing(page_cache: PageCache, path: Path, position: int, size: int, fd: int = -1) -> OSError | None:
    """Load a piece, of `fd` where that is open (it is closed) or else of what is at `path`. Answers what failed."""
    try:
        if fd < 0:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        page_cache.load(fd, position, size)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
    finally:
        if fd >= 0:
            os.close(fd)
    return None
