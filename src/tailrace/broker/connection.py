"""One client's connection: frames in, answers out in the order of the requests.

A request that can be answered at once is answered within `on_data`; one that waits takes a place in a queue, and the
answers behind it wait for it, as the protocol demands. All answers of one receive leave in one write, and so do those
that were waited for and came in one turn. At `REQUESTS_IN_FLIGHT_MAX` waiting answers the connection is not read until
one has gone out.

Invariant: the queue holds an entry for each request whose answer has not been written, oldest first.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tailrace.base.limits import REQUESTS_IN_FLIGHT_MAX
from tailrace.base.pending import Pending
from tailrace.broker.context import Peer
from tailrace.broker.dispatch import Answer, Parts
from tailrace.broker.services import CloseConnection
from tailrace.net.connection import Connection
from tailrace.wire.frame import SIZE_BYTES, frame_size
from tailrace.wire.primitives import DecodeError

_log = logging.getLogger("tailrace.broker")


class Answers(Protocol):
    """What a connection asks of `Dispatch`: in the words of its methods of the same names."""

    last_key: int
    now_ns: Callable[[], int]

    def answer(self, peer: Peer, frame: memoryview, received_ms: float) -> Parts | Pending[Answer] | None: ...

    def on_sent(self, sent: list[tuple[int, int]]) -> None: ...

    def call_soon(self, callback: Callable[[], None]) -> None: ...

    def on_closed(self, peer: Peer) -> None: ...


class ClientConnection:
    """Stream handler of one Kafka client."""

    __slots__ = (
        "_answers",
        "_connection",
        "_dispatch",
        "_idle_ms",
        "_is_sending",
        "_key",
        "_out",
        "_peer",
        "_reading",
        "_request_max_bytes",
        "_unsent",
    )

    def __init__(self, connection: Connection, dispatch: Answers, request_max_bytes: int, idle_ms: int) -> None:
        self._connection = connection
        self._dispatch = dispatch
        self._request_max_bytes = request_max_bytes
        self._idle_ms = idle_ms
        self._answers: deque[tuple[int, Parts | Pending[Answer]]] = deque()
        """Each with the key of its API."""
        self._out: Parts = []
        self._reading = False
        self._is_sending = False
        """Whether answers that were waited for leave at the end of this turn."""
        self._peer: Peer | None = None
        self._unsent: list[tuple[int, int]] | None = None
        """(key, when) of the last answer of each write that the socket did not take at once."""
        self._key = 0
        """Of the API of the last answer in `_out`."""

    def on_opened(self) -> None:
        """Note both ends; a client that is silent for `connections.max.idle.ms` is dropped."""
        try:
            local, remote = _host_port(self._connection.local_address), _host_port(self._connection.peer_address)
        except OSError as error:  # a client that was accepted and reset before its turn has no name any more
            self._connection.close(error)
            return
        self._peer = Peer(self._connection.id, remote[0], remote[1], local[0], local[1])
        if self._idle_ms > 0:
            self._connection.set_read_deadline(self._idle_ms)

    def on_data(self, data: memoryview) -> int:
        """Answer every whole frame in `data`."""
        position, end = 0, len(data)
        self._reading = True
        received_ms = self._connection.turn_ms
        try:
            while end - position >= SIZE_BYTES and not self._full():
                size = frame_size(data, position)
                if not 0 <= size <= self._request_max_bytes:
                    raise DecodeError(f"frame of {size} bytes; socket.request.max.bytes is {self._request_max_bytes}")
                start = position + SIZE_BYTES
                if end - start < size:
                    self._connection.want(SIZE_BYTES + size)
                    break
                position = start + size
                self._answer(data[start:position], received_ms)
        except (DecodeError, CloseConnection) as error:
            _log.info("closing %s: %s", self._peer.client_host if self._peer else "connection", error)
            self._reading = False
            self._flush()
            self._connection.close_after_flush()
            return end
        self._reading = False
        if self._out:
            self._key = self._dispatch.last_key
            self._flush()
        return position

    def _full(self) -> bool:
        if len(self._answers) < REQUESTS_IN_FLIGHT_MAX:
            return False
        self._connection.pause_reading()
        return True

    def _answer(self, frame: memoryview, received_ms: float) -> None:
        assert self._peer is not None
        answer = self._dispatch.answer(self._peer, frame, received_ms)
        if answer is None:
            return
        if isinstance(answer, Pending):
            self._answers.append((self._dispatch.last_key, answer))
            answer.on_complete(self._on_answer)
        elif self._answers:
            self._answers.append((self._dispatch.last_key, answer))
        else:
            self._out += answer

    def _on_answer(self, _: Answer) -> None:
        """A waiting answer is there. One event may bring many, as a follower's fetch does: they leave together."""
        if self._reading:
            self._take_ready()
        elif not self._is_sending:
            self._is_sending = True
            self._dispatch.call_soon(self._send_ready)

    def _send_ready(self) -> None:
        self._is_sending = False
        if self._take_ready():
            self._flush()
            if len(self._answers) < REQUESTS_IN_FLIGHT_MAX:
                self._connection.resume_reading()

    def _take_ready(self) -> bool:
        """The oldest answer, if it is there, and those behind it that are ready; False where the connection ends."""
        answers = self._answers
        while answers:
            first: Answer | Pending[Answer]
            key, first = answers[0]
            if isinstance(first, Pending):
                if not first.done:
                    break
                first = first.value
            answers.popleft()
            self._key = key
            if first is None:
                self._flush()
                self._connection.close_after_flush()
                return False
            self._out += first
        return True

    def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self._connection.write(out)
            if self._connection.queued_bytes:
                self._note_unsent()

    def _note_unsent(self) -> None:
        unsent = self._unsent
        if unsent is None:
            unsent = self._unsent = []
            self._connection.on_sent = self._on_sent
        if len(unsent) < REQUESTS_IN_FLIGHT_MAX:
            unsent.append((self._key, self._dispatch.now_ns()))

    def _on_sent(self) -> None:
        unsent, self._unsent = self._unsent, None
        self._dispatch.on_sent(unsent or [])

    def on_eof(self) -> None:
        """A client that half-closes has nothing left to hear: its unanswered requests end with it."""
        self._connection.close()

    def on_writable(self) -> None:
        """Nothing waits for this: answers are written as they come, within the queue's bound."""

    def on_closed(self, error: OSError | None) -> None:
        """Forget what was waiting; a late answer is written to nobody."""
        self._answers.clear()
        if self._peer is not None:
            self._dispatch.on_closed(self._peer)


def _host_port(address: object) -> tuple[str, int]:
    """(host, port) of a TCP address; a unix socket has no port."""
    if isinstance(address, tuple):
        return str(address[0]), int(address[1])
    return str(address), 0
