"""Bytes a handler has not consumed yet. Exists only while there are some, so an idle connection holds no memory.

    small    up to SMALL_LEFTOVER_BYTES of a frame that fits the scratch: plain bytes, put in front of the next receive
    large    anything else: a buffer of its own, received into directly; of the announced size if one was announced,
             so that a frame is neither copied again nor followed by the head of the next

Invariant: exactly one of the two forms is in use. Not its business: what the bytes mean.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from tailrace.net.buffers import Buffers
from tailrace.net.limits import READ_TURN_BYTES, SCRATCH_FRAME_BYTES, SMALL_LEFTOVER_BYTES


class Inbox:
    """Unconsumed bytes of one connection."""

    __slots__ = ("_buffers", "_fill", "_large", "_limit_bytes", "_small")

    def __init__(self, buffers: Buffers, limit_bytes: int) -> None:
        self._buffers = buffers
        self._limit_bytes = limit_bytes
        self._small = b""
        self._large: memoryview | None = None
        self._fill = 0  # bytes held by _large

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self._small) if self._large is None else self._fill

    def receive(self, recv_into: Callable[[memoryview], int]) -> tuple[int, memoryview]:
        """Receive once behind what is held. Returns (bytes received, everything held); raises what `recv_into` raises.

        The view is valid until the next receive of any connection, or `hold`, or `release`.
        """
        large = self._large
        if large is None:
            scratch = self._buffers.scratch
            start = len(self._small)
            scratch[:start] = self._small
            received = recv_into(scratch[start:])
            return received, scratch[: start + received]
        received = recv_into(large[self._fill : self._fill + READ_TURN_BYTES])
        self._fill += received
        return received, large[: self._fill]

    def view(self) -> memoryview:
        """Everything held, valid as that of `receive`."""
        if self._large is not None:
            return self._large[: self._fill]
        view = self._buffers.scratch[: len(self._small)]
        view[:] = self._small
        return view

    def hold(self, rest: memoryview, want: int) -> None:
        """Hold `rest` (a view of this inbox or of the scratch) instead of what was held, with room for `want` bytes
        in all.

        Raises OSError(EMSGSIZE) when that is more than the limit.
        """
        size = len(rest)
        large = self._large
        if large is not None and rest.obj is large.obj and size == self._fill and max(want, size + 1) <= len(large):
            return  # All of it is where it was, and there is room.
        if size <= SMALL_LEFTOVER_BYTES and want <= SCRATCH_FRAME_BYTES:
            self._small = bytes(rest)
            self.release()
            return
        capacity = want if want > size else 2 * size
        if capacity > self._limit_bytes:
            raise OSError(errno.EMSGSIZE, f"more than {self._limit_bytes} bytes without the end of a frame")
        buffer = self._buffers.take(capacity)
        buffer[:size] = rest
        self.release()
        self._small = b""
        self._large = buffer[:capacity]
        self._fill = size

    def release(self) -> None:
        """Give up the large buffer, if any."""
        if self._large is not None:
            self._buffers.give(self._large)
            self._large = None
