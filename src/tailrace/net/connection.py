"""One byte stream: receives into shared memory, writes at once when it can, queues within bounds when it cannot.

    receive   no leftover             -> the engine's scratch buffer; an idle connection holds no memory
              small leftover          -> copied in front of the next receive in the scratch
              large frame or leftover -> a buffer of its own, received into directly, never copied again
    write     queue empty -> send, sendmsg or sendfile at once; the rest is queued and sent on EPOLLOUT, in order

Reading stops for any of three reasons: the handler paused it, the write queue is above its high water mark, the
stream ended.
Invariant: `on_closed` follows `close` exactly once, in a later step; after `close` no other callback is made.
Not its business: frames, protocols, time-outs of requests. One owner: its handler; one thread: the loop's.
Source of the EAGAIN, EINTR, zero-byte and EOF rules: the Go runtime's `internal/poll.FD`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from tailrace.net.buffers import Buffers
from tailrace.net.handler import ConnectionOptions, FileRange, Part, Parts, StreamHandler
from tailrace.net.limits import (
    READ_TURN_BYTES,
    SCRATCH_FRAME_BYTES,
    SMALL_LEFTOVER_BYTES,
    WRITE_PARTS,
    WRITE_TURN_BYTES,
)
from tailrace.net.poller import POLL_ERR, POLL_HUP, POLL_IN, POLL_OUT, READABLE, WRITABLE
from tailrace.net.selector import PollerSelector, logger
from tailrace.net.timers import Timer

_MSG_MORE: Final = getattr(socket, "MSG_MORE", 0)
_WOULD_BLOCK: Final = (BlockingIOError, InterruptedError)


class Connection:
    """A stream socket of one engine. Made by `Engine.listen`, `connect` and `adopt`."""

    __slots__ = (
        "_above_high",
        "_buffers",
        "_closing",
        "_deadlines",
        "_eof",
        "_fill",
        "_interest",
        "_large",
        "_on_gone",
        "_options",
        "_paused",
        "_queue",
        "_recv_into",
        "_selector",
        "_send",
        "_small",
        "_sock",
        "_want",
        "bytes_in",
        "bytes_out",
        "closed",
        "fd",
        "handler",
        "id",
        "queued_bytes",
    )

    handler: StreamHandler

    def __init__(
        self,
        identity: int,
        sock: socket.socket,
        selector: PollerSelector,
        buffers: Buffers,
        options: ConnectionOptions,
        on_gone: Callable[[Connection], None],
    ) -> None:
        self.id = identity
        self.fd = sock.fileno()
        self.closed = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.queued_bytes = 0
        """Unsent bytes, those of file ranges included."""
        self._sock = sock
        self._selector = selector
        self._buffers = buffers
        self._options = options
        self._on_gone = on_gone
        self._recv_into = sock.recv_into
        self._send = sock.send
        self._interest = 0
        self._want = 0
        self._small: bytes | None = None
        self._large: memoryview | None = None  # whole buffer of `buffers`; the first _fill bytes are received
        self._fill = 0
        self._queue: deque[Part] | None = None
        self._above_high = False
        self._paused = False
        self._eof = False
        self._closing = 0
        self._deadlines: _Deadlines | None = None

    # Facts.

    @property
    def local_address(self) -> object:
        """The socket's own name: (host, port, ...) or a path."""
        return self._sock.getsockname()

    @property
    def peer_address(self) -> object:
        """The peer's name; raises OSError when it is gone."""
        return self._sock.getpeername()

    @property
    def above_high_water(self) -> bool:
        """Whether so much is unsent that the peer is not read from. A handler does well to stop producing."""
        return self._above_high

    # What the handler asks for.

    def start(self, handler: StreamHandler) -> None:
        """Begin to dispatch to `handler`. Called once, by the engine."""
        self.handler = handler
        self._interest = POLL_IN
        self._selector.watch(self.fd, POLL_IN, self)
        try:
            handler.on_opened()
        except Exception as error:
            self.on_failure(error)

    def want(self, size: int) -> None:
        """Do not call `on_data` before `size` unconsumed bytes are there. Holds until the next call of `on_data`."""
        self._want = size

    def pause_reading(self) -> None:
        """Call `on_data` no more until `resume_reading`. Idempotent."""
        self._paused = True

    def resume_reading(self) -> None:
        """Undo `pause_reading`; bytes not consumed before are offered again, in a later step."""
        if self._paused and not self.closed:
            self._paused = False
            self._resume()

    def offer_again(self) -> None:
        """Have `on_data` called in a later step with what was left, though nothing more has arrived.

        For a handler that bounds its work of one step.
        """
        self._selector.post(self._redeliver)

    def set_read_deadline(self, ms: float | None) -> None:
        """Act when no byte arrives for `ms` milliseconds, counted from this call and from each receive; None: never.

        `handler.on_deadline("read")` is called if there is one, and the connection stays usable; else it is closed with
        TimeoutError. The deadline ends with that; set it again if wanted. While reading is paused it still runs.
        """
        self._deadline_pair().read.set(ms)

    def set_write_deadline(self, ms: float | None) -> None:
        """As `set_read_deadline`, for a queue that holds bytes and does not shrink for `ms` ("write")."""
        self._deadline_pair().write.set(ms)

    def write(self, parts: Parts) -> None:
        """Send `parts` in order, after everything written before. Never waits and never raises for a dead peer.

        Bytes and bytearrays are kept by reference until sent: do not change them. A writable memoryview is copied if it
        cannot be sent at once. Ignored when the connection is closed or closing.
        """
        if self.closed or self._closing:
            return
        if self._queue:
            self._enqueue(parts, 0)
            return
        if len(parts) == 1 and type(parts[0]) is not FileRange:
            part = parts[0]
            try:
                sent = self._send(part)  # type: ignore[arg-type]
            except _WOULD_BLOCK:
                sent = 0
            except OSError as error:
                self.close(error)
                return
            self.bytes_out += sent
            if sent == len(part):  # type: ignore[arg-type]
                return
        else:
            sent = self._send_now(parts)
        if not self.closed:
            self._enqueue(parts, sent)

    def close(self, error: OSError | None = None) -> None:
        """Close at once; unsent bytes are dropped. `on_closed(error)` follows in a later step. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._selector.unwatch(self.fd)
        self._sock.close()
        self._queue = None
        self.queued_bytes = 0
        self._small = None
        if self._deadlines is not None:
            self._deadlines.cancel()
            self._deadlines = None
        self._selector.post(lambda: self._finish(error))

    def close_after_flush(self) -> None:
        """Close when everything written has been handed to the kernel. Reads nothing more, accepts no more writes."""
        if not self._queue:
            self.close()
        elif not self.closed:
            self._closing = 2
            self._update_interest()

    def shutdown_write(self) -> None:
        """Send end-of-stream after everything written; reading goes on. Accepts no more writes."""
        if self.closed or self._closing:
            return
        self._closing = 1
        if not self._queue:
            self._shutdown()

    # What the selector calls.

    def on_events(self, mask: int) -> None:
        """Readiness from the poller."""
        if mask & READABLE:
            if self._interest & POLL_IN and not (self._paused or self._above_high or self._closing == 2):
                self._receive()
            else:
                self._not_reading(mask)
        if mask & WRITABLE and self._queue:
            self._flush()

    def on_failure(self, error: Exception) -> None:
        """A handler raised."""
        logger.error("connection %d closed: its handler failed", self.id, exc_info=error)
        self.close(OSError(errno.ECONNABORTED, "handler failed"))

    # Receiving.

    def _receive(self) -> None:
        if self._large is not None:
            self._receive_large(self._large)
            return
        held = self._small
        scratch = self._buffers.scratch
        try:
            if held is None:
                size = received = self._recv_into(scratch)
            else:
                size = len(held)
                scratch[:size] = held
                received = self._recv_into(scratch[size:])
                size += received
        except _WOULD_BLOCK:
            return
        except OSError as error:
            self.close(error)
            return
        if not received:
            self._end_of_stream()
            return
        self.bytes_in += received
        if self._deadlines is not None:
            self._deadlines.read.touch()
        self._deliver(scratch[:size])

    def _receive_large(self, buffer: memoryview) -> None:
        end = min(max(self._want, self._fill + 1), len(buffer)) if self._want else len(buffer)
        try:
            received = self._recv_into(buffer[self._fill : min(end, self._fill + READ_TURN_BYTES)])
        except _WOULD_BLOCK:
            return
        except OSError as error:
            self.close(error)
            return
        if not received:
            self._end_of_stream()
            return
        self.bytes_in += received
        self._fill += received
        if self._deadlines is not None:
            self._deadlines.read.touch()
        if self._fill >= self._want or self._fill == len(buffer):
            self._deliver(buffer[: self._fill])

    def _deliver(self, data: memoryview) -> None:
        """Offer `data`, which lies in the scratch or in `_large`, and keep what is left."""
        used = 0
        if len(data) >= self._want:
            self._want = 0
            used = self.handler.on_data(data)
            if self.closed:
                self._drop_large()
                return
        if used == len(data):
            self._small = None
            self._drop_large()
        else:
            assert 0 <= used < len(data), "on_data consumed more than it was given"
            self._keep(data[used:])

    def _keep(self, rest: memoryview) -> None:
        size = len(rest)
        if size <= SMALL_LEFTOVER_BYTES and self._want <= SCRATCH_FRAME_BYTES:
            self._small = bytes(rest)
            self._drop_large()
            return
        capacity = self._want if self._want > size else 2 * size
        if capacity > self._options.receive_max_bytes:
            self.close(OSError(errno.EMSGSIZE, f"a frame of more than {self._options.receive_max_bytes} bytes"))
            self._drop_large()
            return
        buffer = self._buffers.take(capacity)
        buffer[:size] = rest
        self._drop_large()
        self._small = None
        self._large = buffer
        self._fill = size

    def _drop_large(self) -> None:
        if self._large is not None:
            self._buffers.give(self._large)
            self._large = None
            self._fill = 0

    def _redeliver(self) -> None:
        """Offer what is held, without receiving."""
        if self.closed or self._paused or self._above_high or self._closing == 2:
            return
        try:
            if self._large is not None:
                if self._fill >= self._want:
                    self._deliver(self._large[: self._fill])
            elif self._small is not None and len(self._small) >= self._want:
                view = self._buffers.scratch[: len(self._small)]
                view[:] = self._small
                self._deliver(view)
        except Exception as error:
            self.on_failure(error)

    def _end_of_stream(self) -> None:
        self._eof = True
        self._update_interest()
        on_eof = getattr(self.handler, "on_eof", None)
        if on_eof is None:
            self.close()
        else:
            on_eof()

    def _not_reading(self, mask: int) -> None:
        """An event for a reader that is paused: stop watching, or learn that the peer is gone."""
        if mask & POLL_ERR:
            code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.close(OSError(code, os.strerror(code)) if code else ConnectionResetError())
        elif mask & POLL_HUP and not self._queue:
            self.close()
        else:
            self._update_interest()

    # Sending.

    def _send_now(self, parts: Parts) -> int:
        """Send from the front until the kernel takes no more or the turn's budget is spent. Returns the bytes sent."""
        total = index = 0
        try:
            while index < len(parts) and total < WRITE_TURN_BYTES and not self.closed:
                part = parts[index]
                if type(part) is FileRange:
                    index += 1
                    expected, sent = part.size, self._send_range(part)
                else:
                    end = index + 1
                    while end < len(parts) and end - index < WRITE_PARTS and type(parts[end]) is not FileRange:
                        end += 1
                    run: list[bytes] = list(parts[index:end])  # type: ignore[arg-type]
                    expected = sum(map(len, run))
                    index = end
                    # More follows: a file's head and its bytes then leave in one packet.
                    sent = self._sock.sendmsg(run, (), _MSG_MORE if end < len(parts) else 0)
                self.bytes_out += sent
                total += sent
                if sent < expected:
                    break
        except _WOULD_BLOCK:
            pass
        except OSError as error:
            self.close(error)
        return total

    def _send_range(self, part: FileRange) -> int:
        done = 0
        while done < part.size and done < WRITE_TURN_BYTES:
            try:
                sent = os.sendfile(self.fd, part.file.fileno(), part.position + done, part.size - done)
            except _WOULD_BLOCK:
                break
            if not sent:
                raise OSError(errno.EIO, f"file ends {part.size - done} bytes before its range")
            done += sent
        return done

    def _enqueue(self, parts: Parts, skip: int) -> None:
        """Queue `parts` without their first `skip` bytes, and watch for room."""
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        for part in parts:
            size = part.size if type(part) is FileRange else len(part)  # type: ignore[arg-type]
            if skip >= size:
                skip -= size
                continue
            queue.append(_rest_of(part, skip))
            self.queued_bytes += size - skip
            skip = 0
        if not queue:
            return
        if self.queued_bytes > self._options.high_water_bytes:
            self._above_high = True
            if self.queued_bytes > self._options.write_queue_max_bytes and self._memory_queued_exceeds_limit(queue):
                self.close(OSError(errno.ENOBUFS, "the peer does not read its answers"))
                return
        if self._deadlines is not None and not self._interest & POLL_OUT:
            self._deadlines.write.touch()
        self._update_interest()

    def _memory_queued_exceeds_limit(self, queue: deque[Part]) -> bool:
        in_memory = sum(len(part) for part in queue if not isinstance(part, FileRange))
        return in_memory > self._options.write_queue_max_bytes

    def _flush(self) -> None:
        queue = self._queue
        assert queue
        sent = self._send_now(list(islice(queue, WRITE_PARTS)))
        if self.closed or not sent:
            return
        self.queued_bytes -= sent
        while sent:
            part = queue.popleft()
            size = part.size if type(part) is FileRange else len(part)  # type: ignore[arg-type]
            if sent < size:
                queue.appendleft(_rest_of(part, sent))
                break
            sent -= size
        if self._deadlines is not None:
            self._deadlines.write.touch()
        if not queue:
            self._queue = None
            if self._closing == 2:
                self.close()
                return
            if self._closing == 1:
                self._shutdown()
        if self._above_high and self.queued_bytes <= self._options.low_water_bytes:
            self._above_high = False
            self._resume()
            on_writable = getattr(self.handler, "on_writable", None)
            if on_writable is not None and not self._closing:
                on_writable()
        self._update_interest()

    # State.

    def _resume(self) -> None:
        self._update_interest()
        if self._small is not None or self._large is not None:
            self._selector.post(self._redeliver)

    def _update_interest(self) -> None:
        if self.closed:
            return
        mask = 0 if self._paused or self._above_high or self._eof or self._closing == 2 else POLL_IN
        if self._queue:
            mask |= POLL_OUT
        if mask != self._interest:
            self._interest = mask
            self._selector.poller.change(self.fd, mask)

    def _shutdown(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.close(error)

    def _finish(self, error: OSError | None) -> None:
        self._drop_large()
        self._on_gone(self)
        self.handler.on_closed(error)

    def _deadline_pair(self) -> _Deadlines:
        if self._deadlines is None:
            self._deadlines = _Deadlines(self)
        return self._deadlines

    def _on_deadline(self, direction: str) -> None:
        if direction == "write" and not self._queue:
            return
        on_deadline = getattr(self.handler, "on_deadline", None)
        if on_deadline is None:
            self.close(TimeoutError(errno.ETIMEDOUT, f"{direction} deadline passed"))
            return
        try:
            on_deadline(direction)
        except Exception as error:
            self.on_failure(error)


class _Deadline:
    """A deadline that progress pushes back: one store a receive, the timer is moved only when it comes up."""

    __slots__ = ("_connection", "_direction", "_ms", "_timer")

    def __init__(self, connection: Connection, direction: str) -> None:
        self._connection = connection
        self._direction = direction
        self._ms: float | None = None
        self._timer: Timer | None = None

    def set(self, ms: float | None) -> None:
        self._ms = ms
        if ms is None:
            self.cancel()
        elif self._timer is None:
            self._timer = self._connection._selector.timers.schedule(ms, self._fire)
        else:
            self._timer.reset(ms)

    def touch(self) -> None:
        if self._ms is not None:
            self.set(self._ms)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _fire(self) -> None:
        if self._direction == "read":
            self._ms = None
        self._connection._on_deadline(self._direction)


class _Deadlines:
    __slots__ = ("read", "write")

    def __init__(self, connection: Connection) -> None:
        self.read = _Deadline(connection, "read")
        self.write = _Deadline(connection, "write")

    def cancel(self) -> None:
        self.read.cancel()
        self.write.cancel()


def _rest_of(part: Part, skip: int) -> Part:
    """`part` without its first `skip` bytes, in a form that outlives this call."""
    if type(part) is FileRange:
        return FileRange(part.file, part.position + skip, part.size - skip) if skip else part
    if type(part) is memoryview and not part.readonly:
        return bytes(part[skip:])
    return memoryview(part)[skip:] if skip else part  # type: ignore[arg-type]
