"""What is said of how etcd answers: one line when it becomes slow, when it is cut off, and when it is back.

Told of every call (`EtcdClient`'s `Report`), from any thread. Invariant: no line twice without another in between.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from threading import Lock
from typing import Final

SLOW_FROM_MS: Final = 1000
"""An answer that takes this long is worth a line: an etcd that is well commits in some milliseconds."""
WELL_BELOW_MS: Final = 500
"""An answer must be this fast for etcd to count as well again, so that the lines do not alternate."""


class _State(Enum):
    WELL = "well"
    SLOW = "slow"
    CUT_OFF = "cut off"


class EtcdHealth:
    """The state of one client. `tell` gets the lines."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._state = _State.WELL
        self._lock = Lock()

    def on_call(self, failure: Exception | None, took_ms: float) -> None:
        """A call ended."""
        with self._lock:
            state = self._next(failure, took_ms)
            if state is self._state:
                return
            before, self._state = self._state, state
        if state is _State.CUT_OFF:
            self._tell(f"{failure}. Topics, settings and leaders cannot change until it does.")
        elif state is _State.SLOW:
            self._tell(f"etcd is slow: an answer took {took_ms:.0f} ms. Changes of the metadata wait for it.")
        elif before is _State.SLOW:
            self._tell("etcd answers in time again.")
        else:
            self._tell("etcd answers again.")

    def _next(self, failure: Exception | None, took_ms: float) -> _State:
        if failure is not None:
            return _State.CUT_OFF
        if took_ms >= SLOW_FROM_MS:
            return _State.SLOW
        if self._state is _State.SLOW and took_ms >= WELL_BELOW_MS:
            return _State.SLOW
        return _State.WELL
