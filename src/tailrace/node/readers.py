"""The threads that read the past from disk, so that the loop reads it from memory.

    a lookup misses a piece (NotResident)      load: that piece, then the request tries again
    a connection may not send a range          load_range: its next bytes, then it sends them
    a reader goes on where it stopped          follow: what comes next, before it asks

Invariant: at most `threads_max` reads of at most LOAD_MAX_BYTES are in flight; the rest queues, oldest first, and what
nobody waits for yet goes after everything somebody waits for. Each connection waits for one range at a time, so none
can crowd out the others. Threads start when there is work and end when there has been none for a while.
What the device refuses is told to `on_unreadable`, whoever met it here: a thread, or a connection that was sending.
Not its business: what to do with the bytes. Used from the loop's thread; `done` is called there.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Final, NamedTuple

from tailrace.base.disk import RealFile
from tailrace.base.errors import StorageError
from tailrace.base.limits import (
    LOAD_MAX_BYTES,
    READ_AHEAD_BYTES,
    READ_AHEAD_STREAMS_MAX,
    READER_IDLE_MS,
    READER_STOP_MS,
)
from tailrace.base.page_cache import HasFileno, NotResident, PageCache, ReadScope, load_missing
from tailrace.net.handler import FileRange

Done = Callable[[OSError | None], None]
_NO_PATH: Final = Path()


class _Reading(NamedTuple):
    """One piece to load: of `fd`, which it owns, or of what is at `path`."""

    fd: int
    path: Path
    position: int
    size: int
    done: Done | None


class Readers:
    """Reader threads of one loop. Implements `page_cache.ColdReads` and `net.handler.ColdRanges`."""

    def __init__(
        self,
        call_soon_threadsafe: Callable[[Callable[[], object]], None],
        page_cache: PageCache,
        threads_max: int,
        on_unreadable: Callable[[StorageError], object] = lambda error: None,
    ) -> None:
        """`on_unreadable` is called in the loop's thread, in a step of its own."""
        self._call_soon_threadsafe = call_soon_threadsafe
        self._page_cache = page_cache
        self._threads_max = threads_max
        self._on_unreadable = on_unreadable
        self._lock = Lock()
        self._calls: SimpleQueue[bool] = SimpleQueue()
        """True for each piece that waits, False for a thread to end. With a Condition each cost 20 to 37 µs of
        CPU instead of 13 (16 in flight, November 2026)."""
        self._awaited: deque[_Reading] = deque()
        self._ahead: deque[_Reading] = deque()
        self._threads: set[Thread] = set()
        self._unended = 0
        self._is_closed = False
        self._streams: OrderedDict[tuple[int, int, int], int] = OrderedDict()
        """(device, inode, position at which a reader of the past will go on) -> up to where it was read for him."""

    # What requests and connections ask for

    def scope(self) -> ReadScope:
        """A scope for one request."""
        return ReadScope(self._page_cache)

    def is_resident(self, file: HasFileno, position: int, size: int) -> bool:
        """Whether the bytes can be sent without waiting."""
        return self._page_cache.is_resident(file.fileno(), position, size)

    def load(self, missing: NotResident, done: Done) -> None:
        """Load what a lookup missed."""
        fd = -1 if missing.file is None else _duplicate(missing.file)
        self._submit(_Reading(fd, missing.path, missing.position, missing.size, done))

    def load_range(self, part: FileRange, size: int, done: Done | None) -> None:
        """Load the first `size` bytes of a range; remember that its reader is one of the past, and where he goes on."""
        fd = _duplicate(part.file)
        if fd < 0:
            if done is not None:  # the connection sends it as it is, and meets what is wrong
                self._call_soon_threadsafe(partial(done, None))
            return
        if done is not None:
            end = part.position + part.size
            self._remember(fd, end, end)
            done = partial(self._range_loaded, part.file, done)
        self._submit(_Reading(fd, _NO_PATH, part.position, size, done))

    def _range_loaded(self, file: HasFileno, done: Done, error: OSError | None) -> None:
        done(error)
        if error is not None:
            self._tell(file, error)

    def on_unreadable(self, file: HasFileno, error: OSError) -> None:
        """A connection met it: `net.handler.ColdRanges`."""
        self._call_soon_threadsafe(partial(self._tell, file, error))

    def _tell(self, file: HasFileno, error: OSError) -> None:
        if isinstance(file, RealFile):  # nothing else has a device below it
            self._on_unreadable(StorageError("read", str(file.path), error))

    def follow(self, file: HasFileno, position: int, size: int) -> None:
        """Read ahead of a reader of the past who asks for the range he was expected to ask for."""
        if not self._streams:
            return
        fd = file.fileno()
        stat = os.fstat(fd)
        until = self._streams.pop((stat.st_dev, stat.st_ino, position), None)
        if until is None:
            return
        end = position + size
        start = max(until, end)
        target = min(end + READ_AHEAD_BYTES, stat.st_size)
        if target - start < min(READ_AHEAD_BYTES // 2, stat.st_size - start):
            target = start  # enough is there; small reads would only cost more
        for at in range(start, target, LOAD_MAX_BYTES):
            self.load_range(FileRange(file, at, target - at), min(LOAD_MAX_BYTES, target - at), None)
        if end < stat.st_size:
            self._remember(fd, end, max(start, target))

    def _remember(self, fd: int, position: int, until: int) -> None:
        stat = os.fstat(fd)
        self._streams[stat.st_dev, stat.st_ino, position] = until
        if len(self._streams) > READ_AHEAD_STREAMS_MAX:
            self._streams.popitem(last=False)

    # The threads

    def _submit(self, reading: _Reading) -> None:
        with self._lock:
            if self._is_closed:
                _drop([reading])
                return
            (self._ahead if reading.done is None else self._awaited).append(reading)
            self._unended += 1
            if self._unended > len(self._threads) < self._threads_max:
                thread = Thread(target=self._run, name="tailrace-reader", daemon=True)
                self._threads.add(thread)
                thread.start()
            self._calls.put(True)

    def _next(self) -> _Reading | None:
        """The next piece to load; None when this thread should end, which is then off the books."""
        while True:
            try:
                if not self._calls.get(timeout=READER_IDLE_MS / 1000):
                    break
            except Empty:
                with self._lock:
                    if not self._calls.empty():
                        continue
                    self._threads.discard(current_thread())
                    return None
            with self._lock:
                if self._awaited or self._ahead:  # else they were dropped
                    return (self._awaited or self._ahead).popleft()
        return None

    def _run(self) -> None:
        while (reading := self._next()) is not None:
            error = load_missing(self._page_cache, reading.path, reading.position, reading.size, reading.fd)
            with self._lock:
                self._unended -= 1
            if reading.done is not None:
                self._call_soon_threadsafe(partial(reading.done, error))

    def close(self) -> None:
        """Drop what waits and end the threads; one that hangs in the disk is left behind. Blocks up to a second."""
        with self._lock:
            self._is_closed = True
            _drop(self._awaited)
            _drop(self._ahead)
            self._awaited.clear()
            self._ahead.clear()
            threads = list(self._threads)
        for _ in threads:
            self._calls.put(False)
        for thread in threads:
            thread.join(READER_STOP_MS / 1000 / len(threads))


def _drop(readings: Iterable[_Reading]) -> None:
    for reading in readings:
        if reading.fd >= 0:
            os.close(reading.fd)


def _duplicate(file: HasFileno) -> int:
    """A descriptor of its own for a thread, -1 where there is none to be had: a file closed meanwhile, or too many."""
    try:
        return os.dup(file.fileno())
    except (OSError, ValueError):
        return -1
