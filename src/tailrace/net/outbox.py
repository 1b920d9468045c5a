"""Bytes and file ranges on their way out: sending from the front of a list, and the queue of what could not be sent.

Invariant: bytes leave in the order written; `size` is what the queue holds, file ranges included. Bounded by its
connection. A RangeGate keeps back the file ranges that would have to be waited for. Source of the rules for partial and
zero-byte writes: the Go runtime's `internal/poll.FD.Write`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Protocol

from tailrace.net.handler import ColdRanges, FileRange, HasFileno, Part, Parts
from tailrace.net.limits import LOAD_WINDOW_BYTES, LOOK_VALID_MS, RANGE_CHECK_BYTES, WRITE_PARTS, WRITE_TURN_BYTES

_MSG_MORE: Final = getattr(socket, "MSG_MORE", 0)
WOULD_BLOCK: Final = (BlockingIOError, InterruptedError)


class StreamSocket(Protocol):
    """The part of `socket.socket` a connection uses; non-blocking. The in-memory transport has its own."""

    def fileno(self) -> int: ...

    def recv_into(self, buffer: memoryview, /) -> int: ...

    def send(self, data: bytes | bytearray | memoryview, /) -> int: ...

    def sendmsg(self, buffers: list[Any], ancdata: tuple[()], flags: int, /) -> int: ...

    def sendfile(self, file: Any, offset: int, count: int, /) -> int:
        """Send file bytes. Not called on the kernel's sockets, whose method of that name refuses to be non-blocking."""
        ...

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...

    def getsockopt(self, level: int, name: int, /) -> int: ...

    def getsockname(self) -> Any: ...

    def getpeername(self) -> Any: ...


class RangeGate:
    """Stops the file ranges of one connection that are not in memory.

    What was found there, or has just been loaded, passes for LOOK_VALID_MS without being looked at again. So each load
    is followed by progress, however short of memory the machine is.
    """

    __slots__ = ("_file", "_first", "_looked_ms", "_until", "cold_ranges", "is_shut", "now_ms")

    def __init__(self, cold_ranges: ColdRanges) -> None:
        self.cold_ranges = cold_ranges
        self.is_shut = False
        """Set when a range was stopped: the first part that was not sent."""
        self.now_ms = 0.0
        """The loop's time; its owner keeps it."""
        self._file: HasFileno | None = None
        self._first = self._until = 0
        self._looked_ms = 0.0

    def admit(self, file: HasFileno, position: int, size: int) -> int:
        """How many bytes may be sent at once, up to `size`."""
        if (
            file is self._file
            and self._first <= position < self._until
            and self.now_ms - self._looked_ms < LOOK_VALID_MS
        ):
            return min(size, self._until - position)
        size = min(size, RANGE_CHECK_BYTES)
        if self.cold_ranges.is_resident(file, position, size):
            self._pass(file, position, size)
            return size
        self.is_shut = True
        return 0

    def open(self, loaded: FileRange | None) -> None:
        """Stop nothing yet; let `loaded` pass."""
        self.is_shut = False
        if loaded is None:
            self._file = None
        else:
            self._pass(loaded.file, loaded.position, loaded.size)

    def _pass(self, file: HasFileno, position: int, size: int) -> None:
        self._file = file
        self._first, self._until = position, position + size
        self._looked_ms = self.now_ms


class Outbox:
    """What a connection could not send at once."""

    __slots__ = ("_asked", "_parts", "_sent", "size")

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self.size = 0
        self._sent = 0
        self._asked = 0
        """Every range that ends below was asked for, in bytes since the beginning, as `_sent`."""

    def append(self, parts: Parts, skip: int) -> None:
        """Queue `parts` without their first `skip` bytes."""
        for part in parts:
            size = size_of(part)
            if skip >= size:
                skip -= size
                continue
            self._parts.append(_rest_of(part, skip))
            self.size += size - skip
            skip = 0

    def send(self, sock: StreamSocket, gate: RangeGate | None) -> int:
        """Send from the front, at most a turn's worth. Returns the bytes sent; raises OSError when the stream is
        broken."""
        parts = self._parts
        sent = left = send_now(sock, list(islice(parts, WRITE_PARTS)), gate)
        self.size -= sent
        self._sent += sent
        while left:
            part = parts.popleft()
            size = size_of(part)
            if left < size:
                parts.appendleft(_rest_of(part, left))
                break
            left -= size
        return sent

    def first_range(self) -> FileRange:
        """What of the first part may be loaded at once. Only where a gate stopped it."""
        part = self._parts[0]
        assert isinstance(part, FileRange), "a gate stops file ranges only"
        return FileRange(part.file, part.position, min(part.size, RANGE_CHECK_BYTES))

    def load_first(self, cold_ranges: ColdRanges, done: Callable[[OSError | None], None]) -> None:
        """Load what the gate stopped, then `done`; and what follows it, within the window."""
        size = self.first_range().size
        self._asked = max(self._asked, self._sent + size)
        cold_ranges.load_range(self._parts[0], size, done)  # type: ignore[arg-type]
        self.load_ahead(cold_ranges)

    def load_ahead(self, cold_ranges: ColdRanges) -> None:
        """Have what follows loaded, each byte once; nothing where the gate has stopped nothing yet."""
        if self._asked <= self._sent:
            return
        end = self._sent + LOAD_WINDOW_BYTES
        at = self._sent
        for part in self._parts:
            if at >= end:
                return
            size = size_of(part)
            if isinstance(part, FileRange):
                start = max(self._asked, at)
                while start < min(at + size, end):
                    rest = _rest_of(part, start - at)
                    assert isinstance(rest, FileRange)
                    count = min(rest.size, RANGE_CHECK_BYTES)
                    if not cold_ranges.is_resident(rest.file, rest.position, count):
                        cold_ranges.load_range(rest, count, None)
                    start = self._asked = start + count
            at += size

    def memory_size(self) -> int:
        """Bytes held in memory: all but those of file ranges."""
        return sum(size_of(part) for part in self._parts if type(part) is not FileRange)


def send_now(sock: StreamSocket, parts: Parts, gate: RangeGate | None) -> int:
    """Send from the front of `parts` until the kernel takes no more or the turn's budget is spent.

    Returns the bytes sent. Raises OSError when nothing more can ever be sent; then no count is given.
    """
    total = index = 0
    while index < len(parts) and total < WRITE_TURN_BYTES:
        part = parts[index]
        try:
            if isinstance(part, FileRange):
                index += 1
                size, sent = part.size, _send_range(sock, part, gate)
            else:
                end = _end_of_run(parts, index)
                run: list[Any] = list(parts[index:end])
                index = end
                size = sum(map(len, run))
                # More follows: a file's head and its first bytes then leave in one packet.
                sent = sock.sendmsg(run, (), _MSG_MORE if end < len(parts) else 0) if size else 0
                if size and not sent:
                    raise OSError(errno.EPIPE, "the stream took no bytes")
        except WOULD_BLOCK:
            break
        total += sent
        if sent < size:
            break
    return total


def _end_of_run(parts: Parts, start: int) -> int:
    """Where the buffers that one sendmsg can take end."""
    end = start + 1
    while end < len(parts) and end - start < WRITE_PARTS and not isinstance(parts[end], FileRange):
        end += 1
    return end


def _send_range(sock: StreamSocket, part: FileRange, gate: RangeGate | None) -> int:
    """Send from the front of a file range. Raises OSError(EIO) when the file ends before it does."""
    done = admitted = 0
    while done < part.size and done < WRITE_TURN_BYTES:
        count = min(part.size - done, WRITE_TURN_BYTES)
        try:
            if gate is not None:
                if not admitted:
                    admitted = gate.admit(part.file, part.position + done, count)
                    if not admitted:
                        break
                count = admitted
            if isinstance(sock, socket.socket):
                sent = os.sendfile(sock.fileno(), part.file.fileno(), part.position + done, count)
            else:
                sent = sock.sendfile(part.file, part.position + done, count)
        except WOULD_BLOCK:
            break
        except OSError as error:
            if error.errno == errno.EIO and gate is not None:  # of the file: a socket never says so
                gate.cold_ranges.on_unreadable(part.file, error)
            raise
        except ValueError as error:  # what fileno() of a closed file raises
            raise OSError(errno.EBADF, "file was closed before its range was sent") from error
        if not sent:
            raise OSError(errno.EIO, f"file ends {part.size - done} bytes before its range")
        done += sent
        admitted -= sent if gate is not None else 0
    return done


def _rest_of(part: Part, skip: int) -> Part:
    """`part` without its first `skip` bytes, in a form that outlives this call."""
    if isinstance(part, FileRange):
        return FileRange(part.file, part.position + skip, part.size - skip) if skip else part
    if isinstance(part, memoryview):
        return part[skip:] if part.readonly else bytes(part[skip:])
    return memoryview(part)[skip:].toreadonly() if skip else part


def size_of(part: Part) -> int:
    """Bytes of one part."""
    return part.size if isinstance(part, FileRange) else len(part)
