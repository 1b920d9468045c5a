"""Connection on a scripted socket: the EAGAIN, EINTR, zero-byte, EOF and partial-write rules, bounds, order, life
cycle."""

from __future__ import annotations

import errno
import gc
import logging
import weakref
from typing import Any

import pytest
from scripted import FD, Harness, Recorder

from tailrace.net.handler import ConnectionOptions, FileRange, Part
from tailrace.net.limits import FLUSH_STALL_MS, SCRATCH_BYTES, SMALL_LEFTOVER_BYTES, WRITE_TURN_BYTES
from tailrace.net.poller import POLL_ERR, POLL_HUP, POLL_IN, POLL_OUT


class AFile:
    def fileno(self) -> int:
        return -1


def received(harness: Harness) -> list[Any]:
    return [event for event in harness.handler.events if isinstance(event, bytes)]


# Receiving.


def test_one_receive_an_event_and_none_to_find_it_drained() -> None:
    h = Harness()
    h.sock.incoming.extend([b"abc"])
    h.turn(POLL_IN)
    assert h.handler.events == ["opened", b"abc"]
    assert h.sock.reads == [SCRATCH_BYTES]
    assert (h.connection.bytes_in, h.connection.held_bytes) == (3, 0)


@pytest.mark.parametrize("error", [BlockingIOError(), InterruptedError()])
def test_would_block_and_interrupted_receive_change_nothing(error: OSError) -> None:
    h = Harness()
    h.sock.incoming.append(error)
    h.turn(POLL_IN)
    assert h.handler.events == ["opened"] and not h.connection.closed
    h.sock.incoming.append(b"x")
    h.turn(POLL_IN)
    assert received(h) == [b"x"]


def test_reset_closes_once_with_the_error() -> None:
    h = Harness()
    h.sock.incoming.append(ConnectionResetError(errno.ECONNRESET, "reset"))
    h.turn(POLL_IN | POLL_ERR | POLL_HUP)
    h.turn()
    assert h.handler.events == ["opened", ("closed", "ConnectionResetError")]
    assert h.sock.closed and h.interest is None and h.gone == [h.connection]


def test_end_of_stream_is_told_once_and_writing_goes_on() -> None:
    h = Harness()
    h.sock.incoming.append(b"")
    h.turn(POLL_IN)
    assert h.handler.events == ["opened", "eof"]
    assert h.interest == 0, "a level-triggered poller would report the end for ever"
    h.connection.write([b"still"])
    assert h.sock.sent == b"still"


def test_end_of_stream_closes_for_a_handler_that_has_no_say() -> None:
    class Deaf:
        def __init__(self, _: Any) -> None:
            self.closed: list[OSError | None] = []

        def on_opened(self) -> None: ...

        def on_data(self, data: memoryview) -> int:
            return len(data)

        def on_closed(self, error: OSError | None) -> None:
            self.closed.append(error)

    h = Harness(Deaf)
    h.sock.incoming.append(b"")
    h.turn(POLL_IN)
    h.turn()
    assert h.handler.closed == [None]


def test_leftover_is_offered_again_with_what_follows() -> None:
    h = Harness()
    h.handler.consume = 2
    h.sock.incoming.append(b"abc")
    h.turn(POLL_IN)
    h.sock.incoming.append(b"de")
    h.handler.consume = None
    h.turn(POLL_IN)
    assert received(h) == [b"abc", b"cde"]
    assert h.connection.held_bytes == 0


def test_want_holds_the_call_back_until_enough_is_there() -> None:
    h = Harness()
    h.connection.want(5)
    for piece in (b"ab", b"cd", b"e"):
        h.sock.incoming.append(piece)
        h.turn(POLL_IN)
    assert received(h) == [b"abcde"]
    h.sock.incoming.append(b"f")
    h.turn(POLL_IN)
    assert received(h)[-1] == b"f", "a want holds for one call"


def test_a_big_announced_frame_is_received_into_one_buffer_of_its_size() -> None:
    h = Harness()
    size = 10 * 1024 * 1024
    h.handler.consume = 0
    h.sock.incoming.append(b"head")
    h.turn(POLL_IN)
    h.connection.want(size)
    h.handler.consume = None
    h.sock.incoming.append(b"x" * (size - 4) + b"NEXT")
    while h.sock.incoming[0] != b"NEXT":
        h.turn(POLL_IN)
    assert [len(piece) for piece in received(h)] == [4, size]
    assert h.sock.reads[2:] and sum(h.sock.reads[3:4]) > 0
    assert h.connection.held_bytes == 0
    h.turn(POLL_IN)
    assert received(h)[-1] == b"NEXT"


def test_a_frame_announced_but_not_sent_takes_no_memory() -> None:
    """A peer that sends four bytes and announces 100 MB must not make us hold 100 MB."""
    h = Harness()
    h.handler.consume = 0
    h.sock.incoming.append(b"head")
    before = _resident_bytes()
    h.turn(POLL_IN)
    h.connection.want(100 * 1024 * 1024)
    h.sock.incoming.append(b"x")
    h.turn(POLL_IN)
    assert h.connection.held_bytes == 5
    assert _resident_bytes() - before < 5 * 1024 * 1024


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_trickled_bytes_are_not_copied_quadratically() -> None:
    """Past SMALL_LEFTOVER_BYTES the receive goes behind what is held, not through the scratch."""
    h = Harness()
    h.handler.consume = 0
    h.sock.incoming.append(b"y" * (SMALL_LEFTOVER_BYTES + 1))
    h.turn(POLL_IN)
    h.sock.incoming.append(b"z")
    h.turn(POLL_IN)
    assert h.sock.reads[1] == SMALL_LEFTOVER_BYTES + 1, "the free half of a buffer of its own"
    assert h.connection.held_bytes == SMALL_LEFTOVER_BYTES + 2


def test_endless_frame_is_refused_at_its_bound() -> None:
    h = Harness(options=ConnectionOptions(receive_max_bytes=100_000))
    h.handler.consume = 0
    for _ in range(3):
        h.sock.incoming.append(b"y" * 40_000)
        h.turn(POLL_IN)
    h.turn()
    assert h.handler.events[-1] == ("closed", "OSError")


def test_paused_connection_is_not_read_and_unread_bytes_come_back_on_resume() -> None:
    h = Harness()
    h.handler.consume = 1
    h.sock.incoming.extend([b"abc", b"def"])
    h.turn(POLL_IN)
    h.connection.pause_reading()
    h.turn(POLL_IN)
    assert h.interest == 0
    assert len(h.sock.reads) == 1
    h.handler.consume = None
    h.connection.resume_reading()
    assert received(h) == [b"abc"], "never re-entrant"
    h.turn()
    assert received(h) == [b"abc", b"bc"]
    assert h.interest == POLL_IN


def test_pause_and_resume_within_a_turn_costs_no_call() -> None:
    h = Harness()
    h.connection.pause_reading()
    h.connection.resume_reading()
    h.sock.incoming.append(b"x")
    h.turn(POLL_IN)
    assert received(h) == [b"x"] and h.interest == POLL_IN


def test_held_bytes_are_offered_before_the_end_of_stream() -> None:
    h = Harness()
    h.handler.consume = 0
    h.sock.incoming.extend([b"abc", b""])
    h.turn(POLL_IN)
    h.connection.pause_reading()
    h.connection.resume_reading()
    h.handler.consume = None
    h.turn(POLL_IN)
    assert h.handler.events == ["opened", b"abc", b"abc", "eof"]


def test_offer_again_repeats_what_was_left_without_receiving() -> None:
    h = Harness()
    h.handler.consume = 1
    h.sock.incoming.append(b"abc")
    h.turn(POLL_IN)
    h.connection.offer_again()
    h.turn()
    assert received(h) == [b"abc", b"bc"]
    assert len(h.sock.reads) == 1


@pytest.mark.parametrize(
    ("mask", "code", "name"), [(POLL_ERR, errno.EPIPE, "BrokenPipeError"), (POLL_ERR, 0, "ConnectionResetError")]
)
def test_a_peer_that_dies_while_paused_is_noticed(mask: int, code: int, name: str) -> None:
    h = Harness()
    h.sock.so_error = code
    h.connection.pause_reading()
    h.turn(mask)
    h.turn()
    assert h.handler.events[-1] == ("closed", name)


def test_hang_up_while_paused_does_not_spin_and_loses_nothing() -> None:
    """Both ends shut, bytes unread, reader paused: epoll reports a hang-up for ever unless told not to watch."""
    h = Harness()
    h.connection.shutdown_write()
    h.connection.pause_reading()
    h.turn(POLL_IN | POLL_HUP)
    h.turn()
    assert h.interest is None and not h.connection.closed
    h.sock.incoming.extend([b"last words", b""])
    h.connection.resume_reading()
    h.turn(POLL_IN | POLL_HUP)
    h.turn(POLL_IN | POLL_HUP)
    h.turn()
    assert h.handler.events == ["opened", b"last words", "eof", ("closed", None)]


def test_over_when_both_ends_are_shut_and_everything_is_consumed() -> None:
    h = Harness()
    h.handler.consume = 0
    h.sock.incoming.extend([b"abc", b""])
    h.turn(POLL_IN)
    h.turn(POLL_IN)
    h.connection.shutdown_write()
    h.turn()
    assert not h.connection.closed, "bytes are still held for the handler"
    h.handler.consume = None
    h.connection.offer_again()
    h.turn()
    h.turn()
    assert h.handler.events[-2:] == [b"abc", ("closed", None)]


# Sending.


def test_one_buffer_goes_out_by_send_at_once() -> None:
    h = Harness()
    h.connection.write([b"abc"])
    assert h.sock.calls == ["send"] and h.sock.sent == b"abc"
    assert h.interest == POLL_IN, "no trip through the poller"
    assert h.connection.bytes_out == 3


def test_several_buffers_go_out_in_one_call() -> None:
    h = Harness()
    h.connection.write([b"ab", bytearray(b"cd"), memoryview(b"ef")])
    assert h.sock.calls == ["sendmsg3"] and h.sock.sent == b"abcdef"


def test_nothing_to_write_is_nothing() -> None:
    h = Harness()
    h.connection.write([])
    h.connection.write([b"", b""])
    h.connection.write([b""])
    assert h.sock.sent == b"" and h.interest == POLL_IN and not h.connection.closed


@pytest.mark.parametrize("error", [BlockingIOError(), InterruptedError()])
def test_full_kernel_buffer_queues_everything(error: OSError) -> None:
    h = Harness()
    h.sock.room.append(error)
    h.connection.write([b"abc"])
    assert h.connection.queued_bytes == 3 and h.interest == POLL_IN | POLL_OUT
    h.turn(POLL_OUT)
    assert h.sock.sent == b"abc" and h.interest == POLL_IN and h.connection.queued_bytes == 0
    assert h.connection.bytes_out == 3


@pytest.mark.parametrize("first", range(10))
def test_partial_writes_keep_order_and_bytes(first: int) -> None:
    """Cut at every byte, in the middle of buffers, ranges and later writes."""
    h = Harness()
    h.sock.file_bytes = b"0123456789"
    h.sock.room.extend([first] if first else [BlockingIOError()])
    h.sock.room.extend([BlockingIOError(), 1, BlockingIOError(), 2, 1, BlockingIOError()])
    parts: list[Part] = [b"ab", memoryview(b"cde"), FileRange(AFile(), 3, 4), bytearray(b"fg")]
    h.connection.write(parts)
    h.connection.write([b"later"])
    for _ in range(12):
        h.turn(POLL_OUT)
    assert h.sock.sent == b"abcde" + b"3456" + b"fg" + b"later"
    assert h.connection.queued_bytes == 0 and h.interest == POLL_IN


def test_head_and_file_leave_together() -> None:
    h = Harness()
    h.sock.file_bytes = b"0123456789"
    h.connection.write([b"head", FileRange(AFile(), 0, 10), b"tail"])
    assert h.sock.calls == ["sendmsg1", "sendfile", "sendmsg1"]
    assert h.sock.flags[0] != 0 and h.sock.flags[1] == 0, "MSG_MORE before the file only"
    assert h.sock.sent == b"head0123456789tail"


def test_a_file_shorter_than_its_range_closes_the_connection() -> None:
    h = Harness()
    h.sock.file_bytes = b"0123"
    h.connection.write([b"head", FileRange(AFile(), 0, 10)])
    h.turn()
    assert h.handler.events[-1] == ("closed", "OSError") and h.sock.closed


def test_a_stream_that_takes_no_bytes_is_broken() -> None:
    h = Harness()
    h.sock.room.append(0)
    h.connection.write([b"a", b"b"])
    h.turn()
    assert h.handler.events[-1] == ("closed", "BrokenPipeError")


def test_a_dead_peer_never_raises_into_the_writer() -> None:
    h = Harness()
    h.sock.room.append(BrokenPipeError(errno.EPIPE, "gone"))
    h.connection.write([b"a"])
    h.connection.write([b"b"])
    h.turn()
    h.connection.write([b"c"])
    assert h.handler.events == ["opened", ("closed", "BrokenPipeError")] and h.sock.sent == b""


def test_a_dead_peer_is_noticed_while_flushing() -> None:
    h = Harness()
    h.sock.room.extend([BlockingIOError(), BrokenPipeError(errno.EPIPE, "gone")])
    h.connection.write([b"a"])
    h.turn(POLL_OUT | POLL_HUP)
    h.turn()
    assert h.handler.events[-1] == ("closed", "BrokenPipeError")


def test_a_view_of_the_receive_buffer_survives_in_the_queue() -> None:
    class Echo(Recorder):
        def on_data(self, data: memoryview) -> int:
            self.connection.write([data])
            return len(data)

    h = Harness(Echo)
    h.sock.room.extend([1, BlockingIOError()])
    h.sock.incoming.extend([b"abc", b"XYZ"])
    h.turn(POLL_IN)
    h.turn(POLL_IN)
    h.turn(POLL_OUT)
    h.turn(POLL_OUT)
    assert h.sock.sent == b"abcXYZ"


def test_high_water_stops_reading_and_low_water_resumes_it() -> None:
    h = Harness(options=ConnectionOptions(high_water_bytes=10, low_water_bytes=4))
    h.sock.room.append(BlockingIOError())
    h.connection.write([b"x" * 10])
    assert not h.connection.above_high_water and h.interest == POLL_IN | POLL_OUT
    h.connection.write([b"y"])
    assert h.connection.above_high_water
    h.sock.incoming.append(b"in")
    h.sock.room.append(5)
    h.turn(POLL_IN | POLL_OUT)
    assert received(h) == [] and h.interest == POLL_OUT
    h.sock.room.append(2)
    h.turn(POLL_OUT)
    assert not h.connection.above_high_water and h.handler.events[-1] == "writable"
    h.turn(POLL_IN | POLL_OUT)
    assert received(h) == [b"in"]


def test_handlers_pause_outlives_the_high_water_pause() -> None:
    h = Harness(options=ConnectionOptions(high_water_bytes=1, low_water_bytes=1))
    h.connection.pause_reading()
    h.sock.room.append(BlockingIOError())
    h.connection.write([b"xx"])
    h.turn(POLL_OUT)
    assert not h.connection.above_high_water and h.connection.paused
    h.sock.incoming.append(b"in")
    h.turn(POLL_IN)
    assert received(h) == []


def test_memory_of_the_queue_is_bounded_but_file_ranges_are_not() -> None:
    h = Harness(options=ConnectionOptions(high_water_bytes=10, low_water_bytes=5, write_queue_max_bytes=100))
    h.sock.room.append(BlockingIOError())
    h.connection.write([b"x", FileRange(AFile(), 0, 10_000)])
    assert not h.connection.closed and h.connection.queued_bytes == 10_001
    h.connection.write([b"x" * 100])
    h.turn()
    assert h.handler.events[-1] == ("closed", "OSError")


def test_one_turn_sends_no_more_than_its_budget() -> None:
    h = Harness()
    h.connection.write([b"x" * WRITE_TURN_BYTES, FileRange(AFile(), 0, 5)])
    assert h.sock.calls == ["sendmsg1"] and h.connection.queued_bytes == 5
    assert h.interest is not None and h.interest & POLL_OUT


# Life cycle.


def test_close_is_idempotent_and_tells_once_in_a_later_step() -> None:
    h = Harness()
    h.connection.close()
    h.connection.close(OSError("late"))
    assert h.handler.events == ["opened"]
    h.turn(POLL_IN)
    h.turn(POLL_IN)
    assert h.handler.events == ["opened", ("closed", None)]


def test_close_from_on_data_drops_what_was_left() -> None:
    class Closes(Recorder):
        def on_data(self, data: memoryview) -> int:
            super().on_data(data)
            self.connection.close()
            return 0

    h = Harness(Closes)
    h.sock.incoming.extend([b"abc", b"def"])
    h.turn(POLL_IN | POLL_OUT)
    h.turn(POLL_IN)
    assert h.handler.events == ["opened", b"abc", ("closed", None)]


def test_close_after_flush_waits_for_the_queue_and_reads_nothing() -> None:
    h = Harness()
    h.sock.room.append(1)
    h.connection.write([b"abc"])
    h.connection.close_after_flush()
    h.connection.write([b"ignored"])
    h.sock.incoming.append(b"ignored too")
    h.sock.room.extend([BlockingIOError()])
    h.turn(POLL_IN | POLL_OUT)
    assert not h.connection.closed and h.interest == POLL_OUT
    h.turn(POLL_OUT)
    h.turn()
    assert h.sock.sent == b"abc" and h.handler.events == ["opened", ("closed", None)]


def test_a_closing_connection_does_not_wait_for_a_dead_peer_for_ever() -> None:
    class Patient(Recorder):
        def on_deadline(self, direction: str) -> None:
            raise AssertionError("not asked while closing")

    h = Harness(Patient)
    h.sock.room.append(1)
    h.connection.write([b"abc"])
    h.connection.close_after_flush()
    h.turn(passed_ms=FLUSH_STALL_MS - 100)
    h.sock.room.append(1)
    h.turn(POLL_OUT)
    h.turn(passed_ms=FLUSH_STALL_MS - 100)
    assert not h.connection.closed, "a byte left meanwhile"
    h.turn(passed_ms=200)
    h.turn()
    assert h.handler.events[-1] == ("closed", "TimeoutError")


def test_shutdown_write_follows_the_queue_and_reading_goes_on() -> None:
    h = Harness()
    h.sock.room.append(1)
    h.connection.write([b"abc"])
    h.connection.shutdown_write()
    assert not h.sock.shut
    h.turn(POLL_OUT)
    assert h.sock.shut and h.sock.sent == b"abc"
    h.sock.incoming.append(b"x")
    h.turn(POLL_IN)
    assert received(h) == [b"x"]


@pytest.mark.parametrize("method", ["on_opened", "on_data", "on_eof", "on_writable"])
def test_a_handler_that_raises_loses_its_connection_and_is_logged_once(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Recorder):
        pass

    def raise_it(self: Any, *args: Any) -> int:
        raise ValueError("handler bug")

    setattr(Broken, method, raise_it)
    h = Harness(Broken, ConnectionOptions(high_water_bytes=1, low_water_bytes=1))
    h.sock.room.append(BlockingIOError())
    h.connection.write([b"xx"])
    h.turn(POLL_OUT)
    h.sock.incoming.extend([b"x", b""])
    h.turn(POLL_IN)
    h.turn(POLL_IN)
    h.turn()
    assert h.handler.events[-1] == ("closed", "ConnectionAbortedError")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_closed_connection_and_handler_are_freed_without_the_collector() -> None:
    h = Harness()
    h.sock.incoming.append(b"abc")
    h.turn(POLL_IN)
    h.connection.set_read_deadline(1000)
    h.connection.close()
    h.turn()
    handler = weakref.ref(h.handler)
    gc.disable()
    try:
        h.handler = None
        assert handler() is None, "connection and handler must not keep each other"
    finally:
        gc.enable()


# Deadlines.


def test_read_deadline_closes_a_silent_peer_and_bytes_push_it_back() -> None:
    h = Harness()
    h.connection.set_read_deadline(100)
    for _ in range(5):
        h.sock.incoming.append(b"x")
        h.turn(POLL_IN, passed_ms=90)
    assert not h.connection.closed
    h.turn(passed_ms=99)
    assert not h.connection.closed
    h.turn(passed_ms=6)
    h.turn()
    assert h.handler.events[-1] == ("closed", "TimeoutError")


def test_a_handler_may_survive_its_deadline() -> None:
    class Patient(Recorder):
        def on_deadline(self, direction: str) -> None:
            self.events.append(direction)

    h = Harness(Patient)
    h.connection.set_read_deadline(100)
    h.turn(passed_ms=110)
    h.turn(passed_ms=500)
    assert h.handler.events == ["opened", "read"], "once, until set again"
    h.sock.incoming.append(b"x")
    h.turn(POLL_IN)
    assert received(h) == [b"x"]
    h.connection.set_read_deadline(50)
    h.turn(passed_ms=60)
    assert h.handler.events[-1] == "read"


def test_write_deadline_counts_only_while_bytes_wait() -> None:
    h = Harness()
    h.connection.set_write_deadline(100)
    h.turn(passed_ms=1000)
    assert not h.connection.closed
    h.sock.room.append(1)
    h.connection.write([b"abc"])
    h.sock.room.append(1)
    h.turn(POLL_OUT, passed_ms=90)
    h.turn(passed_ms=90)
    assert not h.connection.closed, "a byte left 90 ms ago"
    h.turn(passed_ms=20)
    h.turn()
    assert h.handler.events[-1] == ("closed", "TimeoutError")


def test_no_timer_is_left_behind() -> None:
    h = Harness()
    h.connection.set_read_deadline(100)
    h.connection.set_write_deadline(100)
    h.connection.set_read_deadline(None)
    h.connection.set_read_deadline(100)
    h.connection.close()
    assert len(h.selector.timers) == 0
    assert FD not in h.selector.sinks
