"""Connection on a scripted socket and a scripted disk: what is not in memory is loaded before it is sent."""

from __future__ import annotations

import errno
from typing import Any

from scripted import Harness

from tailrace.net.handler import ConnectionOptions, FileRange
from tailrace.net.limits import LOAD_WINDOW_BYTES, LOOK_VALID_MS, RANGE_CHECK_BYTES
from tailrace.net.poller import POLL_HUP, POLL_IN, POLL_OUT


class AFile:
    def fileno(self) -> int:
        return -1


class ColdDisk:
    """Knows what of one file is in memory; loads when the test says so."""

    def __init__(self) -> None:
        self.resident_until = 0
        self.loads: list[tuple[int, int]] = []
        self.waiting: list[Any] = []
        self.looks = 0
        self.unreadable: list[tuple[Any, int | None]] = []

    def on_unreadable(self, file: Any, error: OSError) -> None:
        self.unreadable.append((file, error.errno))

    def is_resident(self, file: Any, position: int, size: int) -> bool:
        self.looks += 1
        return position + size <= self.resident_until

    def load_range(self, part: FileRange, size: int, done: Any) -> None:
        self.loads.append((part.position, size))
        if done is not None:
            self.waiting.append(done)

    def finish(self, error: OSError | None = None, *, resident_until: int = 0) -> None:
        self.resident_until = max(resident_until, self.resident_until)
        self.waiting.pop(0)(error)


def cold_harness(size: int) -> tuple[Harness, ColdDisk]:
    disk = ColdDisk()
    h = Harness(options=ConnectionOptions(cold_ranges=disk))
    h.sock.file_bytes = bytes(index * 31 >> 4 & 0xFF for index in range(size))
    return h, disk


def test_a_range_in_memory_is_sent_at_once() -> None:
    h, disk = cold_harness(100)
    disk.resident_until = 100
    h.connection.write([b"head", FileRange(AFile(), 0, 100), b"tail"])
    assert h.sock.sent == b"head" + h.sock.file_bytes + b"tail" and not disk.loads


def test_a_range_that_is_not_is_sent_once_it_was_loaded_and_what_follows_waits_behind_it() -> None:
    h, disk = cold_harness(100)
    file = AFile()
    h.connection.write([b"head", FileRange(file, 0, 100), b"tail"])
    h.connection.write([b"later"])
    assert h.sock.sent == b"head" and disk.loads == [(0, 100)]
    assert h.interest == POLL_IN, "room in the socket is not what it waits for"
    h.turn(POLL_OUT)
    assert h.sock.sent == b"head" and len(disk.loads) == 1
    disk.finish()
    assert h.sock.sent == b"head" + h.sock.file_bytes + b"tail" + b"later", "loaded once, it passes without a look"
    assert h.interest == POLL_IN and not h.connection.queued_bytes


def test_a_long_range_is_loaded_ahead_of_what_is_sent() -> None:
    size = LOAD_WINDOW_BYTES + 2 * RANGE_CHECK_BYTES + 5
    h, disk = cold_harness(size)
    h.connection.write([FileRange(AFile(), 0, size)])
    assert [position for position, _ in disk.loads] == list(range(0, LOAD_WINDOW_BYTES, RANGE_CHECK_BYTES))
    disk.finish(resident_until=LOAD_WINDOW_BYTES)
    h.turn(POLL_OUT)
    assert len(disk.waiting) <= 1
    for _ in range(10):
        if disk.waiting:
            disk.finish(resident_until=size)
        h.turn(POLL_OUT)
    assert h.sock.sent == h.sock.file_bytes
    asked = sorted(disk.loads)
    assert sum(count for _, count in asked) == size and asked[-1][0] + asked[-1][1] == size, "each byte once"


def test_many_small_ranges_are_loaded_together() -> None:
    h, disk = cold_harness(100)
    file = AFile()
    h.connection.write([b"a", FileRange(file, 0, 40), b"b", FileRange(file, 50, 10), FileRange(file, 70, 30)])
    assert disk.loads == [(0, 40), (50, 10), (70, 30)] and len(disk.waiting) == 1


def test_without_memory_to_keep_anything_each_load_is_followed_by_progress() -> None:
    size = 3 * RANGE_CHECK_BYTES
    h, disk = cold_harness(size)
    h.connection.write([FileRange(AFile(), 0, size)])
    for _ in range(3):
        disk.finish()
        h.turn(POLL_OUT)
    assert h.sock.sent == h.sock.file_bytes


def test_what_left_memory_while_the_peer_was_slow_is_loaded_again() -> None:
    h, disk = cold_harness(100)
    disk.resident_until = 100
    h.sock.room.extend([10, BlockingIOError()])
    h.connection.write([FileRange(AFile(), 0, 100), b"tail"])
    assert len(h.sock.sent) == 10 and not disk.loads
    disk.resident_until = 0
    h.sock.room.extend([5, BlockingIOError()])
    h.turn(POLL_OUT)
    assert len(h.sock.sent) == 15 and disk.looks == 1, "for a while it is taken to be there"
    h.turn(POLL_OUT, passed_ms=LOOK_VALID_MS + 1)
    assert disk.loads == [(15, 85)]
    disk.finish()
    assert h.sock.sent == h.sock.file_bytes + b"tail"


def test_a_range_that_cannot_be_read_closes_the_connection() -> None:
    h, disk = cold_harness(100)
    h.connection.write([FileRange(AFile(), 0, 100)])
    disk.finish(OSError(errno.EIO, "Input/output error"))
    h.turn()
    assert h.handler.events[-1] == ("closed", "OSError")


def test_a_device_that_fails_while_a_range_is_sent_is_told_of() -> None:
    for failure, told in ((errno.EIO, 1), (errno.EPIPE, 0)):
        h, disk = cold_harness(100)
        disk.resident_until = 100
        file = AFile()
        h.sock.room.append(OSError(failure, "injected"))
        h.connection.write([FileRange(file, 0, 100)])
        h.turn()
        assert h.handler.events[-1][0] == "closed"
        assert disk.unreadable == [(file, errno.EIO)] * told


def test_a_file_that_ends_too_early_is_no_failure_of_the_device() -> None:
    h, disk = cold_harness(100)
    disk.resident_until = 200
    h.connection.write([FileRange(AFile(), 0, 200)])
    h.turn()
    assert h.handler.events[-1] == ("closed", "OSError") and not disk.unreadable


def test_a_connection_closed_while_its_range_is_loaded_stays_closed() -> None:
    h, disk = cold_harness(100)
    h.connection.write([FileRange(AFile(), 0, 100)])
    h.connection.close()
    disk.finish()
    h.turn()
    assert not h.sock.sent and h.handler.events[-1] == ("closed", None)


def test_a_peer_that_hangs_up_while_a_range_is_loaded_is_not_reported_for_ever() -> None:
    h, disk = cold_harness(100)
    h.connection.pause_reading()
    h.connection.write([FileRange(AFile(), 0, 100)])
    h.turn(POLL_HUP)
    h.turn()
    assert h.handler.events[-1] == ("closed", None) and h.interest is None
    disk.finish()
    assert not h.sock.sent


def test_close_after_flush_waits_for_the_disk() -> None:
    h, disk = cold_harness(100)
    h.connection.write([FileRange(AFile(), 0, 100)])
    h.connection.close_after_flush()
    h.turn()
    assert not h.connection.closed
    disk.finish()
    h.turn()
    assert h.sock.sent == h.sock.file_bytes and h.connection.closed
