"""A fake stream socket and a harness around one Connection: what the kernel would answer is written down by the
test."""

from __future__ import annotations

import errno
from collections import deque
from typing import Any

from tailrace.base.clock import ManualClock
from tailrace.net.buffers import Buffers
from tailrace.net.connection import Connection
from tailrace.net.handler import ConnectionOptions, HasFileno
from tailrace.net.poller import FakePoller
from tailrace.net.selector import PollerSelector

FD = 70


class ScriptedSocket:
    """`incoming`: bytes, an OSError to raise, b"" for end of stream; empty means EAGAIN. `room`: bytes taken per
    call."""

    def __init__(self) -> None:
        self.incoming: deque[bytes | OSError] = deque()
        self.reads: list[int] = []  # size of the buffer offered to each receive
        self.room: deque[int | OSError] = deque()  # empty: takes everything
        self.sent = bytearray()
        self.calls: list[str] = []
        self.flags: list[int] = []
        self.shut = False
        self.closed = False
        self.file_bytes = b""
        self.so_error = 0

    def fileno(self) -> int:
        return FD

    def recv_into(self, buffer: memoryview, /) -> int:
        self.reads.append(len(buffer))
        if not self.incoming:
            raise BlockingIOError(errno.EAGAIN, "would block")
        head = self.incoming[0]
        if isinstance(head, OSError):
            self.incoming.popleft()
            raise head
        size = min(len(buffer), len(head))
        buffer[:size] = head[:size]
        self.incoming.popleft()
        if size < len(head):
            self.incoming.appendleft(head[size:])
        return size

    def send(self, data: Any, /) -> int:
        self.calls.append("send")
        return self._take(bytes(data))

    def sendmsg(self, buffers: list[Any], ancdata: tuple[()] = (), flags: int = 0, /) -> int:
        self.calls.append(f"sendmsg{len(buffers)}")
        self.flags.append(flags)
        return self._take(b"".join(buffers))

    def sendfile(self, file: HasFileno, offset: int, count: int, /) -> int:
        self.calls.append("sendfile")
        data = self.file_bytes[offset : offset + count]
        return self._take(data) if data else 0

    def _take(self, data: bytes) -> int:
        if self.room:
            room = self.room.popleft()
            if isinstance(room, OSError):
                raise room
            data = data[:room]
        self.sent += data
        return len(data)

    def shutdown(self, how: int, /) -> None:
        self.shut = True

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True

    def getsockopt(self, level: int, name: int, /) -> int:
        return self.so_error

    def getsockname(self) -> Any:
        return ("here", 1)

    def getpeername(self) -> Any:
        return ("there", 2)


class Recorder:
    """A handler that writes down what it is told. `consume` of None: everything."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[Any] = []
        self.consume: int | None = None

    def on_opened(self) -> None:
        self.events.append("opened")

    def on_data(self, data: memoryview) -> int:
        assert not data.readonly
        self.events.append(bytes(data))
        return len(data) if self.consume is None else min(self.consume, len(data))

    def on_eof(self) -> None:
        self.events.append("eof")

    def on_writable(self) -> None:
        self.events.append("writable")

    def on_closed(self, error: OSError | None) -> None:
        self.events.append(("closed", None if error is None else type(error).__name__))


class Harness:
    """One connection on a scripted socket and a fake poller. `turn(mask)` is one turn of the loop with that
    readiness."""

    def __init__(self, handler: Any = Recorder, options: ConnectionOptions = ConnectionOptions()) -> None:
        self.clock = ManualClock()
        self.poller = FakePoller()
        self.selector = PollerSelector(self.poller, self.clock)
        self.sock = ScriptedSocket()
        self.buffers = Buffers()
        self.gone: list[Connection] = []
        self.connection = Connection(1, self.sock, self.selector, self.buffers, options, self.gone.append)
        self.handler = handler(self.connection)
        self.connection.start(self.handler)

    def turn(self, mask: int | None = None, passed_ms: float = 0) -> None:
        self.clock.advance(passed_ms)
        self.poller.ready.append([] if mask is None else [(FD, mask)])
        self.selector.select(0)

    @property
    def interest(self) -> int | None:
        return self.poller.watched.get(FD)
