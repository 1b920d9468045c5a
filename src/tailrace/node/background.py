"""A small pool of threads for work that waits for the disk: fsync, deletion, checkpoints; another for compaction.

Results come back in the loop's thread, in the order the work ends. Sized for the disk, not for the cores. The threads
start with the first work, so an idle broker has none.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tailrace.base.limits import BACKGROUND_THREADS, CLEANER_THREADS_MAX, SYNC_THREADS

T = TypeVar("T")


class ThreadBackground:
    """Runs work in threads, and what follows it in the loop's."""

    __slots__ = ("_call_soon_threadsafe", "_executor")

    def __init__(
        self,
        call_soon_threadsafe: Callable[[Callable[[], object]], None],
        threads: int = BACKGROUND_THREADS,
        name: str = "tailrace-disk",
    ) -> None:
        self._call_soon_threadsafe = call_soon_threadsafe
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run `work` in a thread; then `done(result or exception)` in the loop's thread."""

        def finished(future: Future[T]) -> None:
            error = future.exception()
            assert error is None or isinstance(error, Exception), "a disk thread was interrupted"
            outcome: T | Exception = future.result() if error is None else error
            self._call_soon_threadsafe(lambda: done(outcome))

        self._executor.submit(work).add_done_callback(finished)

    def close(self) -> None:
        """Wait for the work at hand and end the threads."""
        self._executor.shutdown(wait=True)


class Pools:
    """The pools of one broker, each for work that must not wait for the others'."""

    __slots__ = ("background", "cleaner", "syncing")

    def __init__(self, call_soon_threadsafe: Callable[[Callable[[], object]], None]) -> None:
        self.background = ThreadBackground(call_soon_threadsafe)
        self.syncing = ThreadBackground(call_soon_threadsafe, SYNC_THREADS, "tailrace-sync")
        self.cleaner = ThreadBackground(call_soon_threadsafe, CLEANER_THREADS_MAX, "tailrace-cleaner")

    def close(self) -> None:
        """Wait for the work at hand and end the threads."""
        for pool in (self.background, self.syncing, self.cleaner):
            pool.close()
