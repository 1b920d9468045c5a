"""One client of the HTTP listener: heads in, answers out, one at a time, in order.

    reading a head --(whole)--> answering --(written)--> idle --(first byte)--> reading a head

Invariant: while an answer is being made nothing is read; every other state has a deadline that no trickle of bytes
pushes back. Not its business: what is answered (`Routes`).
"""

from __future__ import annotations

from typing import Final

from tailrace.base.pending import Pending
from tailrace.http.limits import HTTP_HEAD_MAX_BYTES, HTTP_HEAD_MAX_MS, HTTP_IDLE_MAX_MS, HTTP_SEND_STALL_MS
from tailrace.http.message import BadRequest, HttpAnswer, HttpRequest, encode_answer, parse_head, path_of, text_answer
from tailrace.http.routes import Routes
from tailrace.net.connection import Connection
from tailrace.net.timers import Timer, TimingWheel

_END: Final = b"\r\n\r\n"


class HttpConnection:
    """Stream handler of one client."""

    def __init__(self, connection: Connection, routes: Routes, timers: TimingWheel) -> None:
        self._connection = connection
        self._routes = routes
        self._looked_bytes = 0
        """How much of the head is known not to hold its end."""
        self._is_in_head = True
        self._is_answering = False
        self._is_ended = False
        """Whether the client sends no more."""
        self._deadline: Timer = timers.schedule(HTTP_HEAD_MAX_MS, self._on_deadline)

    def on_opened(self) -> None:
        """The deadline runs from here: a client that says nothing is cut off."""
        self._connection.set_write_deadline(HTTP_SEND_STALL_MS)

    def on_data(self, data: memoryview) -> int:
        """Answer the first head in `data`, if it is whole."""
        if self._is_answering:
            return 0
        if not self._is_in_head:
            self._is_in_head = True
            self._deadline.reset(HTTP_HEAD_MAX_MS)
        head = bytes(data[: HTTP_HEAD_MAX_BYTES + len(_END)])
        if self._routes.take_over is not None and self._is_others(head):
            return self._hand_over(data)
        begin = 2 if head.startswith(b"\r\n") else 0  # an empty line before a request is skipped: RFC 9112, 2.2
        end = head.find(_END, max(begin, self._looked_bytes - len(_END)))
        if end < 0:
            self._looked_bytes = len(head)
            if len(head) > HTTP_HEAD_MAX_BYTES:
                self._refuse(text_answer(431, f"a request's head has at most {HTTP_HEAD_MAX_BYTES} bytes"))
                return len(data)
            return 0
        self._looked_bytes = 0
        try:
            request = parse_head(head[begin:end])
        except BadRequest as error:
            self._refuse(error.answer)
            return len(data)
        self._answer(request)
        return end + len(_END)

    def on_eof(self) -> None:
        """A client that half-closes still wants the answer to what it has asked."""
        self._is_ended = True
        if not self._is_answering:
            self._connection.close_after_flush()

    def on_writable(self) -> None:
        """Nothing waits for this: an answer is written whole."""

    def on_closed(self, error: OSError | None) -> None:
        """An answer that comes later is written to nobody."""
        self._deadline.cancel()

    def _is_others(self, head: bytes) -> bool:
        """Whether the first line is there and asks for something that has no page here."""
        line, end, _ = head.partition(b"\r\n")
        path = path_of(line) if end else None
        return path is not None and not self._routes.has(path)

    def _hand_over(self, data: memoryview) -> int:
        """Give the connection away, with all that was read. An answer that is on its way goes first."""
        if self._connection.queued_bytes:
            self._connection.on_sent = self._connection.offer_again
            return 0
        assert self._routes.take_over is not None
        self._deadline.cancel()
        begun = bytes(data)
        try:
            given = self._connection.detach()
        except OSError as error:  # no descriptor to be had
            self._connection.close(error)
        else:
            self._routes.take_over(given, begun)
        return len(data)

    def _answer(self, request: HttpRequest) -> None:
        self._deadline.cancel()
        self._is_answering = True
        answer = self._routes.answer(request)
        if isinstance(answer, Pending):
            self._connection.pause_reading()
            answer.on_complete(lambda value: self._write(request, value))
        else:
            self._write(request, answer)

    def _write(self, request: HttpRequest, answer: HttpAnswer) -> None:
        if self._connection.closed:
            return
        keeps_alive = request.keeps_alive and not self._is_ended
        self._deadline.reset(HTTP_IDLE_MAX_MS)
        self._connection.write(encode_answer(answer, keeps_alive=keeps_alive, is_head=request.method == "HEAD"))
        if not keeps_alive:
            self._connection.close_after_flush()
            return
        self._is_answering = self._is_in_head = False
        self._connection.resume_reading()
        self._connection.offer_again()

    def _refuse(self, answer: HttpAnswer) -> None:
        self._deadline.reset(HTTP_IDLE_MAX_MS)
        self._is_answering = True
        self._connection.write(encode_answer(answer, keeps_alive=False))
        self._connection.close_after_flush()

    def _on_deadline(self) -> None:
        if self._is_in_head and self._looked_bytes and not self._is_answering:
            self._refuse(text_answer(408, f"a request's head has to arrive within {HTTP_HEAD_MAX_MS} ms"))
        else:
            self._connection.close()
