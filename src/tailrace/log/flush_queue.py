"""Flushes of many logs, a few at a time: what begins one may hold files open and the loop for a millisecond.

Invariant: at most `FLUSHES_MAX` of the flushes asked for here are running; the others wait in the order of asking, each
log once. A log that is gone when its turn comes is passed over: its names may be another's by then.
Not its business: flushes that answers wait for (`group_commit`), and those of sealed segments (`flushing`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

from tailrace.base.errors import StorageError
from tailrace.base.limits import BACKGROUND_THREADS
from tailrace.log.flushing import Done, told_nobody
from tailrace.log.log import Log

FLUSHES_MAX: Final = 2 * BACKGROUND_THREADS
"""Flushes that are running: one for each thread and one that waits for it. Each holds some five descriptors."""

Begin = Callable[[Log, Done], object]
"""How a log's flush begins: `Log.begin_flush` or `Log.begin_close`."""


class FlushQueue:
    """Logs that are to be flushed. `is_here` tells whether a log is still its partition's."""

    __slots__ = ("_is_beginning", "_is_here", "_running_count", "_waiting")

    def __init__(self, is_here: Callable[[Log], bool]) -> None:
        self._is_here = is_here
        self._waiting: OrderedDict[Log, tuple[Begin, Done]] = OrderedDict()
        self._running_count = 0
        self._is_beginning = False

    def __len__(self) -> int:
        return len(self._waiting)

    def want(self, log: Log, begin: Begin = Log.begin_flush, done: Done = told_nobody) -> None:
        """Flush `log` when its turn comes; then `done`. Nothing where it waits already, and then nobody is told."""
        self._waiting.setdefault(log, (begin, done))
        self._begin()

    def clear(self) -> None:
        """Forget the logs that wait: they are flushed another way. Nobody is told."""
        self._waiting.clear()

    def _begin(self) -> None:
        if self._is_beginning:  # a flush that ended at once: the one below goes on
            return
        self._is_beginning = True
        try:
            while self._waiting and self._running_count < FLUSHES_MAX:
                log, (begin, done) = self._waiting.popitem(last=False)
                if not self._is_here(log):
                    done(None)
                    continue
                self._running_count += 1
                begin(log, partial(self._end, done))
        finally:
            self._is_beginning = False

    def _end(self, done: Done, error: StorageError | None) -> None:
        self._running_count -= 1
        done(error)
        self._begin()
