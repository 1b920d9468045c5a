"""Answers leave in the order of the requests, in as few writes as can be, and within bounds."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any

from tailrace.base.limits import REQUESTS_IN_FLIGHT_MAX
from tailrace.base.pending import Pending
from tailrace.broker.connection import ClientConnection
from tailrace.broker.context import Peer
from tailrace.broker.services import CloseConnection
from tailrace.wire.primitives import DecodeError


class FakeConnection:
    """A net.Connection as far as ClientConnection sees it."""

    id = 7
    local_address = ("127.0.0.1", 9092)
    peer_address = ("127.0.0.1", 40000)
    turn_ms = 0.0
    queued_bytes = 0
    on_sent: Callable[[], object] | None = None

    def __init__(self) -> None:
        self.written: list[list[bytes]] = []
        self.wanted = 0
        self.paused = False
        self.ended: str | None = None

    def write(self, parts: list[Any]) -> None:
        self.written.append([bytes(part) for part in parts])

    def want(self, size: int) -> None:
        self.wanted = size

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def set_read_deadline(self, ms: float | None) -> None:
        self.idle_ms = ms

    def close_after_flush(self) -> None:
        self.ended = "after flush"

    def close(self, error: OSError | None = None) -> None:
        self.ended = "at once"


class EchoDispatch:
    """Answers a frame with itself; `wait...` waits to be told, `quiet` has no answer, `bad` and `close` end it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, Pending[list[bytes]]]] = []
        self.closed: list[int] = []
        self.sent: list[tuple[int, int]] = []
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def on_closed(self, peer: Peer) -> None:
        self.closed.append(peer.connection_id)

    last_key = 0

    def now_ns(self) -> int:
        return 0

    def on_sent(self, sent: list[tuple[int, int]]) -> None:
        self.sent += sent

    def answer(self, peer: Peer, frame: memoryview, received_ms: float) -> list[bytes] | Pending[list[bytes]] | None:
        text = bytes(frame)
        if text == b"bad":
            raise DecodeError("bad")
        if text == b"close":
            raise CloseConnection("close")
        if text == b"quiet":
            return None
        if text.startswith(b"wait"):
            pending: Pending[list[bytes]] = Pending()
            self.waiting.append((text, pending))
            return pending
        return [text]

    def finish(self, *texts: bytes) -> None:
        """Answer these, in a turn of the loop's."""
        for text in texts:
            for waiting, pending in self.waiting:
                if waiting == text:
                    pending.complete([text])
        soon, self._soon = self._soon, []
        for callback in soon:
            callback()


def opened() -> tuple[ClientConnection, FakeConnection, EchoDispatch]:
    net, dispatch = FakeConnection(), EchoDispatch()
    client = ClientConnection(net, dispatch, 1000, 60_000)  # type: ignore[arg-type]
    client.on_opened()
    return client, net, dispatch


class GoneConnection(FakeConnection):
    """Reset by its client between accept and on_opened."""

    @property
    def peer_address(self) -> tuple[str, int]:  # type: ignore[override]
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


def test_a_client_that_is_gone_before_its_turn_is_no_failure() -> None:
    net = GoneConnection()
    ClientConnection(net, EchoDispatch(), 1000, 60_000).on_opened()  # type: ignore[arg-type]
    assert net.ended == "at once"


def frames(*texts: bytes) -> memoryview:
    return memoryview(bytearray(b"".join(struct.pack(">i", len(text)) + text for text in texts)))


def test_all_answers_of_one_receive_leave_in_one_write() -> None:
    client, net, _ = opened()
    data = frames(b"a", b"b", b"quiet", b"c")
    assert client.on_data(data) == len(data)
    assert net.written == [[b"a", b"b", b"c"]]


def test_a_part_of_a_frame_is_left_and_its_size_asked_for() -> None:
    client, net, _ = opened()
    data = frames(b"a", b"long frame")
    assert client.on_data(data[:-3]) == 5
    assert net.wanted == 4 + len(b"long frame")
    assert client.on_data(data[5:7]) == 0


def test_a_waiting_answer_holds_back_those_behind_it() -> None:
    client, net, dispatch = opened()
    client.on_data(frames(b"wait1", b"a", b"wait2", b"b"))
    assert net.written == []
    dispatch.finish(b"wait2")
    assert net.written == []
    dispatch.finish(b"wait1")
    assert net.written == [[b"wait1", b"a", b"wait2", b"b"]]
    client.on_data(frames(b"c"))
    assert net.written[-1] == [b"c"]


def test_answers_that_come_in_one_turn_leave_in_one_write() -> None:
    client, net, dispatch = opened()
    client.on_data(frames(b"wait1", b"wait2", b"wait3", b"wait4"))
    dispatch.finish(b"wait2", b"wait1", b"wait4")
    assert net.written == [[b"wait1", b"wait2"]]
    dispatch.finish(b"wait3")
    assert net.written[1:] == [[b"wait3", b"wait4"]]


def test_answers_before_the_one_that_waits_leave_at_once() -> None:
    client, net, dispatch = opened()
    client.on_data(frames(b"a", b"wait1", b"b"))
    assert net.written == [[b"a"]]
    dispatch.finish(b"wait1")
    assert net.written[-1] == [b"wait1", b"b"]


def test_too_many_waiting_requests_stop_the_reading() -> None:
    client, net, dispatch = opened()
    names = [b"wait%d" % index for index in range(REQUESTS_IN_FLIGHT_MAX)]
    data = frames(*names, b"more")
    assert client.on_data(data) == len(data) - 8
    assert net.paused
    dispatch.finish(names[0])
    assert not net.paused
    assert client.on_data(data[-8:]) == 8


def test_malformed_and_oversized_frames_end_the_connection_after_what_was_answered() -> None:
    for last in (frames(b"bad"), frames(b"close"), memoryview(bytearray(struct.pack(">i", 1001)))):
        client, net, _ = opened()
        data = memoryview(bytearray(frames(b"a")) + bytearray(last))
        assert client.on_data(data) == len(data)
        assert net.written == [[b"a"]]
        assert net.ended == "after flush"


def test_a_negative_size_ends_the_connection() -> None:
    client, net, _ = opened()
    client.on_data(memoryview(bytearray(struct.pack(">i", -1))))
    assert net.ended == "after flush"


def test_an_answer_after_the_end_is_written_to_nobody() -> None:
    client, net, dispatch = opened()
    client.on_data(frames(b"wait1"))
    client.on_closed(None)
    assert len(dispatch.closed) == 1
    dispatch.finish(b"wait1")
    assert net.written == []
