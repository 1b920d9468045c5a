"""One byte stream: receives into shared memory, writes at once when it can, queues within bounds when it cannot.

    receive   nothing held -> into the engine's scratch, straight to the handler; else through the Inbox
    write     nothing queued -> send, sendmsg or sendfile at once; the rest through the Outbox on EPOLLOUT, in order

Reading stops for any of four reasons: the handler paused it, the outbox is above its high water mark, the stream has
ended, the connection is closing. One receive a turn, so no connection starves the others.
Invariant: `on_closed` follows `close` exactly once, in a later step; after `close` no other callback is made.
Not its business: frames, protocols, time-outs of requests. One owner: its handler; one thread: the loop's.
Source of the EAGAIN, EINTR, zero-byte and EOF rules: the Go runtime's `internal/poll.FD`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from tailrace.net.buffers import Buffers
from tailrace.net.deadlines import Deadlines
from tailrace.net.handler import ConnectionOptions, FileRange, Parts, StreamHandler
from tailrace.net.inbox import Inbox
from tailrace.net.limits import FLUSH_STALL_MS, READ_TURN_BYTES
from tailrace.net.outbox import WOULD_BLOCK, Outbox, RangeGate, StreamSocket, send_now
from tailrace.net.poller import POLL_ERR, POLL_HUP, POLL_IN, POLL_OUT, READABLE, WRITABLE
from tailrace.net.selector import PollerSelector, logger

# Reasons not to read, as bits of Connection._blocked.
_PAUSED: Final = 1
_ABOVE_HIGH: Final = 2
_ENDED: Final = 4
_CLOSING: Final = 8

_UNWATCHED: Final = -1
"""Connection._interest when the poller does not know the descriptor."""


class Connection:
    """A stream socket of one engine. Made by `Engine.listen`, `connect` and `adopt`."""

    __slots__ = (
        "_above_high",
        "_blocked",
        "_buffers",
        "_deadlines",
        "_gate",
        "_inbox",
        "_interest",
        "_is_loading",
        "_on_data",
        "_on_gone",
        "_options",
        "_outbox",
        "_recv_into",
        "_scratch",
        "_selector",
        "_send",
        "_sock",
        "_want",
        "_write_shut",
        "bytes_in",
        "bytes_out",
        "closed",
        "fd",
        "handler",
        "id",
        "on_sent",
    )

    handler: StreamHandler
    on_sent: Callable[[], object] | None
    """Called once, when what is queued has been handed to the kernel; for who wants to know how long that took."""

    def __init__(
        self,
        identity: int,
        sock: StreamSocket,
        selector: PollerSelector,
        buffers: Buffers,
        options: ConnectionOptions,
        on_gone: Callable[[Connection], None],
    ) -> None:
        self.id = identity
        self.fd = sock.fileno()
        self.closed = False
        self.on_sent = None
        self.bytes_in = 0
        self.bytes_out = 0
        self._sock = sock
        self._recv_into = sock.recv_into
        self._send = sock.send
        self._selector = selector
        self._buffers = buffers
        self._scratch = buffers.scratch
        self._options = options
        self._on_gone = on_gone
        self._above_high = False
        self._blocked = 0
        self._interest = 0
        self._want = 0
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._gate = None if options.cold_ranges is None else RangeGate(options.cold_ranges)
        self._is_loading = False
        """Whether the outbox waits for the disk and not for the peer."""
        self._write_shut = False
        self._deadlines: Deadlines | None = None

    # Facts.

    @property
    def local_address(self) -> Any:
        """The socket's own name: (host, port, ...) or a path."""
        return self._sock.getsockname()

    @property
    def peer_address(self) -> Any:
        """The peer's name; raises OSError when it is gone."""
        return self._sock.getpeername()

    @property
    def queued_bytes(self) -> int:
        """Unsent bytes, those of file ranges included."""
        return 0 if self._outbox is None else self._outbox.size

    @property
    def held_bytes(self) -> int:
        """Received bytes the handler has not consumed."""
        return 0 if self._inbox is None else self._inbox.size

    @property
    def paused(self) -> bool:
        """Whether the handler paused reading."""
        return self._blocked & _PAUSED != 0

    @property
    def above_high_water(self) -> bool:
        """Whether the high water mark was passed and the low one not yet reached. Good reason to produce no more."""
        return self._above_high

    @property
    def turn_ms(self) -> float:
        """When the turn of the loop began in which it is called, on the monotonic clock."""
        return self._selector.turn_ms

    # What the handler asks for.

    def want(self, size: int) -> None:
        """Do not call `on_data` before `size` unconsumed bytes are there. Holds until the next call of `on_data`."""
        self._want = size

    def pause_reading(self) -> None:
        """Call `on_data` no more until `resume_reading`. Idempotent."""
        # The poller is told when it next reports something: pausing and resuming within a turn costs nothing.
        self._blocked |= _PAUSED

    def resume_reading(self) -> None:
        """Undo `pause_reading`; bytes not consumed before are offered again, in a later step."""
        if not self.closed:
            self._unblock(_PAUSED)

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
        """As `set_read_deadline`, for when bytes are queued and none leaves for `ms` ("write"). Holds for every
        queue."""
        pair = self._deadline_pair()
        pair.write_ms = ms
        pair.write.set(ms if self._outbox is not None else None)

    def write(self, parts: Parts) -> None:
        """Send `parts` in order, after everything written before. Never waits and never raises for a dead peer.

        Bytes and bytearrays are kept by reference until sent: do not change them. A writable memoryview is copied if it
        cannot be sent at once. Views are of bytes (format B). Ignored when closed, closing or shut for writing.
        """
        if self._outbox is not None:
            if not self.closed and not self._write_shut:
                self._enqueue(parts, 0)
            return
        if self.closed or self._write_shut:
            return
        try:
            if len(parts) == 1 and type(parts[0]) is not FileRange:
                part: Any = parts[0]
                sent = self._send(part)
                if sent == len(part):
                    self.bytes_out += sent
                    return
            else:
                if self._gate is not None:
                    self._gate.now_ms = self._selector.turn_ms
                sent = send_now(self._sock, parts, self._gate)
        except WOULD_BLOCK:
            sent = 0
        except OSError as error:
            self.close(error)
            return
        self.bytes_out += sent
        self._is_loading = self._gate is not None and self._gate.is_shut
        self._enqueue(parts, sent)
        if self._is_loading:
            self._load()

    def close(self, error: OSError | None = None) -> None:
        """Close at once; unsent bytes are dropped. `on_closed(error)` follows in a later step. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._blocked |= _CLOSING
        self._selector.unwatch(self.fd)
        self._sock.close()
        self._outbox = None
        if self._deadlines is not None:
            self._deadlines.cancel()
            self._deadlines = None
        self._selector.post(lambda: self._finish(error))

    def close_after_flush(self) -> None:
        """Close when everything written has been handed to the kernel. Reads nothing more, accepts no more writes.

        What has arrived by then is thrown away first: a kernel that closes with bytes unread sends a reset, and the
        peer may lose the last answer to it. Bytes that arrive later still cause one.
        """
        if self.closed:
            return
        self._write_shut = True
        self._blocked |= _CLOSING
        if self._outbox is not None:
            self._update_interest()
            if self._deadline_pair().write_ms is None:
                self.set_write_deadline(FLUSH_STALL_MS)
        elif self._blocked & _ENDED:
            self.close()
        else:
            self._selector.post(self._discard_and_close)  # later: the handler may be reading the scratch

    def detach(self) -> StreamSocket:
        """Give the socket away, for another loop or thread; to this engine the connection is closed from now on.

        Only for a socket of the kernel with nothing queued: asserted. What was received and not consumed is the
        handler's to pass on. `on_closed(None)` follows. Raises OSError when there is no descriptor to be had.
        """
        assert isinstance(self._sock, socket.socket) and self._outbox is None, "cannot be given away"
        given = self._sock.dup()
        self.close()
        return given

    def shutdown_write(self) -> None:
        """Send end-of-stream after everything written; reading goes on. Accepts no more writes. Idempotent."""
        if not self.closed and not self._write_shut:
            self._write_shut = True
            if self._outbox is None:
                self._shutdown()

    # What the engine and the selector call.

    def start(self, handler: StreamHandler) -> None:
        """Begin to dispatch to `handler`. Called once, by the engine."""
        self.handler = handler
        self._on_data = handler.on_data
        self._interest = POLL_IN
        self._selector.watch(self.fd, POLL_IN, self)
        try:
            handler.on_opened()
        except Exception as error:
            self.on_failure(error)

    def on_events(self, mask: int) -> None:
        """Readiness from the poller. The common case, all of a request and nothing held, is dealt with here."""
        if self._outbox is not None and mask & WRITABLE and not self._is_loading:
            self._flush(self._outbox)
        if mask & READABLE:
            if self._blocked:
                self._not_reading(mask)
            elif self._inbox is not None:
                self._receive_more(self._inbox)
            else:
                try:
                    size = self._recv_into(self._scratch)
                except WOULD_BLOCK:
                    return
                except OSError as error:
                    self.close(error)
                    return
                self.bytes_in += size
                if self._deadlines is not None:
                    self._deadlines.read.touched_ms = self._selector.turn_ms
                if not size:
                    self._end_of_stream()
                elif self._want:
                    self._deliver(self._scratch[:size])
                else:
                    used = self._on_data(self._scratch[:size])
                    if used != size:
                        self._hold(self._scratch[used:size])

    def on_failure(self, error: Exception) -> None:
        """A handler raised."""
        if not self.closed:
            logger.error("connection %d closed: its handler failed", self.id, exc_info=error)
            self.close(OSError(errno.ECONNABORTED, "handler failed"))

    # Receiving.

    def _receive_more(self, inbox: Inbox) -> None:
        try:
            received, data = inbox.receive(self._recv_into)
        except WOULD_BLOCK:
            return
        except OSError as error:
            self.close(error)
            return
        if not received:
            self._end_of_stream()
            return
        self.bytes_in += received
        if self._deadlines is not None:
            self._deadlines.read.touched_ms = self._selector.turn_ms
        self._deliver(data)

    def _deliver(self, data: memoryview) -> None:
        """Offer `data` if the handler wants as little, and hold what it leaves."""
        used = 0
        if len(data) >= self._want:
            self._want = 0
            used = self._on_data(data)
        if used != len(data):
            self._hold(data[used:])
        elif self._inbox is not None:
            self._inbox.release()
            self._inbox = None

    def _hold(self, rest: memoryview) -> None:
        assert len(rest), "on_data consumed more than it was given"
        if self.closed:
            return
        inbox = self._inbox
        if inbox is None:
            inbox = self._inbox = Inbox(self._buffers, self._options.receive_max_bytes)
        try:
            inbox.hold(rest, self._want)
        except OSError as error:
            self.close(error)

    def _redeliver(self) -> None:
        """Offer what is held, without receiving."""
        if self._blocked & ~_ENDED or self._inbox is None:
            return
        try:
            self._deliver(self._inbox.view())
            self._close_if_over()
        except Exception as error:
            self.on_failure(error)

    def _end_of_stream(self) -> None:
        self._blocked |= _ENDED
        self._update_interest()
        if self._inbox is not None:
            self._deliver(self._inbox.view())  # A handler that resumed only just has not been offered it yet.
            if self.closed:
                return
        on_eof = getattr(self.handler, "on_eof", None)
        if on_eof is None:
            self.close()
        else:
            on_eof()
            self._close_if_over()

    def _not_reading(self, mask: int) -> None:
        """An event for a reader that is blocked: stop watching, or learn that the peer is gone."""
        if self.closed:
            return
        if mask & POLL_ERR:
            code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.close(OSError(code, os.strerror(code)) if code else ConnectionResetError())
        elif mask & POLL_HUP and self._is_loading:
            self.close()  # nobody is there to be sent what is being loaded, and epoll would say so all the while
        elif mask & POLL_HUP and self._outbox is None:
            # Both directions are shut, but the reader has not had everything. epoll reports this asked or unasked.
            self._selector.poller.remove(self.fd)
            self._interest = _UNWATCHED
            self._close_if_over()
        else:
            self._update_interest()

    # Sending.

    def _enqueue(self, parts: Parts, skip: int) -> None:
        """Queue `parts` without their first `skip` bytes, and watch for room."""
        outbox = self._outbox
        first = outbox is None
        if outbox is None:
            outbox = Outbox()
        outbox.append(parts, skip)
        if not outbox.size:
            return
        self._outbox = outbox
        options = self._options
        if outbox.size > options.high_water_bytes:
            self._above_high = True
            if not options.reads_while_full:
                self._blocked |= _ABOVE_HIGH
            if outbox.size > options.write_queue_max_bytes and outbox.memory_size() > options.write_queue_max_bytes:
                self.close(OSError(errno.ENOBUFS, "the peer does not read its answers"))
                return
        if first:
            self._update_interest()
            if self._deadlines is not None:
                self._deadlines.write.set(self._deadlines.write_ms)

    def _flush(self, outbox: Outbox) -> None:
        if self._gate is not None:
            self._gate.now_ms = self._selector.turn_ms
        try:
            sent = outbox.send(self._sock, self._gate)
        except OSError as error:
            self.close(error)
            return
        self.bytes_out += sent
        if self._deadlines is not None and sent:
            self._deadlines.write.touched_ms = self._selector.turn_ms
        if not outbox.size:
            self._outbox = None
            if self.on_sent is not None:
                on_sent, self.on_sent = self.on_sent, None
                on_sent()
            if self._blocked & _CLOSING:
                self._discard_and_close()
                return
            if self._deadlines is not None:
                self._deadlines.write.set(None)
            if self._write_shut:
                self._shutdown()
            self._update_interest()
        elif self._gate is not None:
            if self._gate.is_shut:
                self._load()
            else:
                outbox.load_ahead(self._gate.cold_ranges)
        if self._above_high and outbox.size <= self._options.low_water_bytes:
            self._above_high = False
            self._unblock(_ABOVE_HIGH)
            on_writable = getattr(self.handler, "on_writable", None)
            if on_writable is not None and not self._write_shut and not self.closed:
                on_writable()

    def _load(self) -> None:
        """The next range is not in memory: have it loaded, and go on then."""
        gate, outbox = self._gate, self._outbox
        if gate is None or outbox is None:  # closed while it was queued
            return
        gate.open(None)
        self._is_loading = True
        self._update_interest()
        outbox.load_first(gate.cold_ranges, self._on_loaded)

    def _on_loaded(self, error: OSError | None) -> None:
        self._is_loading = False
        gate, outbox = self._gate, self._outbox
        if self.closed or gate is None or outbox is None:
            return
        if error is not None:
            self.close(error)
            return
        gate.now_ms = self._selector.turn_ms
        gate.open(outbox.first_range())
        try:
            self._flush(outbox)
            self._update_interest()
        except Exception as failure:
            self.on_failure(failure)

    def _discard_and_close(self) -> None:
        if self.closed:
            return
        try:
            for _ in range(READ_TURN_BYTES // len(self._scratch)):
                if self._recv_into(self._scratch) < len(self._scratch):
                    break
        except OSError:
            pass  # Nothing is there, or the peer is gone: either way it may be closed.
        self.close()

    # State.

    def _unblock(self, reason: int) -> None:
        if not self._blocked & reason:
            return
        self._blocked &= ~reason
        self._update_interest()
        if self._inbox is not None:
            self._selector.post(self._redeliver)

    def _update_interest(self) -> None:
        if self.closed:
            return
        mask = (0 if self._blocked else POLL_IN) | (0 if self._outbox is None or self._is_loading else POLL_OUT)
        if mask == self._interest:
            return
        if self._interest != _UNWATCHED:
            self._selector.poller.change(self.fd, mask)
        elif mask:
            self._selector.poller.add(self.fd, mask)
        else:
            return
        self._interest = mask

    def _shutdown(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.close(error)
        else:
            self._close_if_over()

    def _close_if_over(self) -> None:
        """Close when neither end can say anything more and the handler has had everything."""
        if self._blocked & _ENDED and self._write_shut and self._outbox is None and self._inbox is None:
            self.close()

    def _finish(self, error: OSError | None) -> None:
        if self._inbox is not None:
            self._inbox.release()
            self._inbox = None
        self._on_gone(self)
        try:
            self.handler.on_closed(error)
        finally:
            # Let go of the handler, which holds this connection: both are freed at once, not by the collector.
            del self._on_data, self._on_gone, self.handler
            self.on_sent = None

    def _deadline_pair(self) -> Deadlines:
        if self._deadlines is None:
            self._deadlines = Deadlines(
                self._selector, lambda: self._on_deadline("read"), lambda: self._on_deadline("write")
            )
        return self._deadlines

    def _on_deadline(self, direction: str) -> None:
        on_deadline = getattr(self.handler, "on_deadline", None)
        if on_deadline is None or self._blocked & _CLOSING:
            self.close(TimeoutError(errno.ETIMEDOUT, f"{direction} deadline passed"))
            return
        try:
            on_deadline(direction)
        except Exception as error:
            self.on_failure(error)
