"""Receive buffers of one engine: the shared scratch, and large ones for frames that do not fit it.

A large buffer is anonymous memory: a page costs nothing until bytes arrive in it, so a peer that announces 100 MB and
sends 4 bytes holds one page. Returned buffers are kept for reuse up to SPARE_BUFFER_BYTES.
Invariant: a buffer that was given back is used by nobody else.
"""

from __future__ import annotations

import mmap

from tailrace.net.limits import SCRATCH_BYTES, SPARE_BUFFER_BYTES

_GRAIN_BYTES = 256 * 1024


class Buffers:
    """Scratch and spare buffers. One owner: its engine."""

    __slots__ = ("_spare", "_spare_bytes", "scratch")

    def __init__(self) -> None:
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        """Valid until the next receive of any connection of the engine."""
        self._spare: dict[int, list[mmap.mmap | bytearray]] = {}
        self._spare_bytes = 0

    def take(self, size: int) -> memoryview:
        """A writable buffer of at least `size` bytes, contents undefined. Give it, or a slice of it, back with
        `give`."""
        rounded = -(-size // _GRAIN_BYTES) * _GRAIN_BYTES if size > _GRAIN_BYTES // 4 else 1 << (size - 1).bit_length()
        spare = self._spare.get(rounded)
        if spare:
            self._spare_bytes -= rounded
            return memoryview(spare.pop())
        return memoryview(mmap.mmap(-1, rounded) if rounded >= _GRAIN_BYTES else bytearray(rounded))

    def give(self, buffer: memoryview) -> None:
        """Take back a buffer of `take` that nobody reads any more."""
        memory = buffer.obj
        size = len(memory)  # type: ignore[arg-type]
        if self._spare_bytes + size <= SPARE_BUFFER_BYTES:
            self._spare_bytes += size
            self._spare.setdefault(size, []).append(memory)  # type: ignore[arg-type]
