"""Small pools of threads for work that waits for the disk: fsync, deletion, checkpoints; compaction; the metadata.

Results come back in the loop's thread, in the order the work ends. Sized for the disk, not for the cores. The threads
start with the first work, so an idle broker has none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

from tailrace.base.limits import BACKGROUND_THREADS, CLEANER_THREADS_MAX, LEASE_THREADS, METADATA_THREADS, SYNC_THREADS

T = TypeVar("T")


class ThreadBackground:
    """Runs work in threads, and what follows it in the loop's.

    `concurrent.futures` does the same for three times the CPU (50 µs a piece of work against 15, November 2026), most
    of it for futures that nobody waits for; a flush that answers wait for takes this way.
    """

    __slots__ = (
        "_call_soon_threadsafe",
        "_is_closed",
        "_lock",
        "_max_threads",
        "_name",
        "_queue",
        "_threads",
        "_unended",
    )

    def __init__(
        self,
        call_soon_threadsafe: Callable[[Callable[[], object]], None],
        max_threads: int = BACKGROUND_THREADS,
        name: str = "tailrace-disk",
    ) -> None:
        self._call_soon_threadsafe = call_soon_threadsafe
        self._max_threads = max_threads
        self._name = name
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._unended = 0
        self._lock = Lock()
        self._is_closed = False

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run `work` in a thread; then `done(result or exception)` in the loop's thread, which is the caller's.

        After `close` there are no threads: then both run here and now.
        """
        with self._lock:
            if not self._is_closed:
                self._unended += 1
                if self._unended > len(self._threads) < self._max_threads:
                    thread = Thread(target=self._run, name=f"{self._name}-{len(self._threads)}")
                    self._threads.append(thread)
                    thread.start()
                self._queue.put(partial(self._do, work, done))
                return
        done(_outcome(work))

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            piece()

    def _do(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        outcome = _outcome(work)
        with self._lock:
            self._unended -= 1
        self._call_soon_threadsafe(lambda: done(outcome))

    def close(self) -> None:
        """Wait for the work at hand and end the threads. Again is nothing."""
        with self._lock:
            self._is_closed = True
            threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join()


def _outcome(work: Callable[[], T]) -> T | Exception:
    try:
        return work()
    except Exception as error:  # whoever submitted it gets it, in its own thread
        return error


class Pools:
    """The pools of one broker, each for work that must not wait for the others'."""

    __slots__ = ("background", "cleaner", "leases", "metadata", "syncing")

    def __init__(self, call_soon_threadsafe: Callable[[Callable[[], object]], None]) -> None:
        self.background = ThreadBackground(call_soon_threadsafe)
        self.syncing = ThreadBackground(call_soon_threadsafe, SYNC_THREADS, "tailrace-sync")
        self.metadata = ThreadBackground(call_soon_threadsafe, METADATA_THREADS, "tailrace-metadata")
        self.leases = ThreadBackground(call_soon_threadsafe, LEASE_THREADS, "tailrace-leases")
        self.cleaner = ThreadBackground(call_soon_threadsafe, CLEANER_THREADS_MAX, "tailrace-cleaner")

    def close(self) -> None:
        """Wait for the work at hand and end the threads."""
        for pool in (self.background, self.syncing, self.metadata, self.leases, self.cleaner):
            pool.close()
