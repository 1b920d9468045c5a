"""Reader threads: what they load and in which order, when they start and end, and reading ahead."""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cold_cache import ColdCache
from tailrace.base.disk import File, RealDisk
from tailrace.base.errors import StorageError
from tailrace.base.limits import LOAD_MAX_BYTES, READ_AHEAD_BYTES, READERS_PER_DISK
from tailrace.base.page_cache import NotResident
from tailrace.net.handler import FileRange
from tailrace.node.reader_threads import reader_threads
from tailrace.node.readers import Readers

WAIT_S = 10


class Loop:
    """The loop's side: what the threads hand back, run here."""

    def __init__(self) -> None:
        self.posted: queue.Queue[Callable[[], object]] = queue.Queue()

    def run(self, count: int) -> None:
        for _ in range(count):
            self.posted.get(timeout=WAIT_S)()


class Bench:
    """Readers over a cold file of 12 MiB."""

    def __init__(self, directory: Path, threads_max: int) -> None:
        self.path = directory / "log"
        self.path.touch()
        os.truncate(self.path, 12 << 20)
        self.cache = ColdCache()
        self.cache.evict(self.path)
        self.loop = Loop()
        self.file: File = RealDisk().open(self.path)
        self.unreadable: list[StorageError] = []
        self.readers = Readers(self.loop.posted.put, self.cache, threads_max, self.unreadable.append)
        self.done: list[int] = []

    def ask(self, position: int, size: int = 4096) -> None:
        self.readers.load_range(FileRange(self.file, position, size), size, lambda _: self.done.append(position))

    def reader_count(self) -> int:
        return sum(thread.name == "tailrace-reader" for thread in threading.enumerate())


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, 1)
    yield made
    made.cache.release()
    made.readers.close()
    assert made.reader_count() == 0


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, 4)
    yield made
    made.cache.release()
    made.readers.close()


def test_nothing_is_done_in_the_loops_thread_and_no_thread_waits_idle_from_the_start(one: Bench) -> None:
    assert one.reader_count() == 0
    one.cache.hold()
    one.ask(0)
    assert one.done == [] and not one.readers.is_resident(one.file, 0, 4096)
    one.cache.release()
    one.loop.run(1)
    assert one.done == [0] and one.readers.is_resident(one.file, 0, 4096)


def test_pieces_are_loaded_by_path_too_and_failures_are_told(one: Bench) -> None:
    outcomes: list[OSError | None] = []
    one.readers.load(NotResident(one.path, None, 0, 100), outcomes.append)
    one.loop.run(1)
    one.cache.error = OSError(5, "Input/output error")
    one.readers.load(NotResident(one.path, one.file, 0, 100), outcomes.append)
    one.loop.run(1)
    assert outcomes == [None, one.cache.error]


def test_what_somebody_waits_for_goes_before_what_nobody_does(one: Bench) -> None:
    one.cache.hold()
    one.ask(0)
    while not one.cache.loads:
        threading.Event().wait(0.001)
    one.readers.load_range(FileRange(one.file, 8192, 4096), 4096, None)
    one.ask(4096)
    one.cache.release()
    one.loop.run(2)
    one.ask(16384)
    one.loop.run(1)
    assert [position for position, _ in one.cache.loads] == [0, 4096, 8192, 16384]


def test_as_many_reads_as_there_are_threads_are_in_flight(many: Bench) -> None:
    many.cache.hold()
    for index in range(10):
        many.ask(index * 4096)
    while len(many.cache.loads) < 4:
        threading.Event().wait(0.001)
    assert many.reader_count() == 4 and len(many.cache.loads) == 4
    many.cache.release()
    many.loop.run(10)
    assert sorted(many.done) == [index * 4096 for index in range(10)]


def test_threads_end_when_there_was_nothing_to_do(many: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.node.readers.READER_IDLE_MS", 1)
    many.ask(0)
    many.loop.run(1)
    for thread in threading.enumerate():
        if thread.name == "tailrace-reader":
            thread.join(WAIT_S)
    assert many.reader_count() == 0
    many.ask(4096)
    many.loop.run(1)
    assert many.done == [0, 4096]


def test_a_file_closed_meanwhile_is_loaded_all_the_same(one: Bench) -> None:
    one.cache.hold()
    one.ask(0)
    one.file.close()
    one.path.unlink()
    one.cache.release()
    one.loop.run(1)
    assert one.done == [0]
    one.file = RealDisk().open(one.path)


def test_a_file_that_is_already_closed_is_left_to_who_sends_it(one: Bench) -> None:
    one.file.close()
    one.ask(0)
    one.loop.run(1)
    assert one.done == [0] and one.cache.loads == []


def test_a_close_drops_what_waits_and_leaves_a_hanging_disk_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.node.readers.READER_STOP_MS", 10)
    bench = Bench(tmp_path, 1)
    bench.cache.hold()
    descriptors = len(os.listdir("/dev/fd"))
    for index in range(5):
        bench.ask(index * 4096)
    while not bench.cache.loads:
        threading.Event().wait(0.001)
    bench.readers.close()
    bench.cache.release()
    bench.loop.run(1)
    for thread in threading.enumerate():
        if thread.name == "tailrace-reader":
            thread.join(WAIT_S)
    assert bench.done == [0] and len(bench.cache.loads) == 1
    assert len(os.listdir("/dev/fd")) == descriptors


class TestFollow:
    def test_a_reader_that_goes_on_is_read_ahead_of(self, one: Bench) -> None:
        one.ask(0, 1 << 20)
        one.loop.run(1)
        one.readers.follow(one.file, 1 << 20, 1 << 20)
        one.ask(11 << 20)
        one.loop.run(1)
        ahead = [load for load in one.cache.loads if load[0] not in (0, 11 << 20)]
        while len(ahead) < READ_AHEAD_BYTES // LOAD_MAX_BYTES:
            threading.Event().wait(0.001)
            ahead = [load for load in one.cache.loads if load[0] not in (0, 11 << 20)]
        assert ahead == [(position, LOAD_MAX_BYTES) for position in range(2 << 20, 6 << 20, LOAD_MAX_BYTES)]
        one.readers.follow(one.file, 2 << 20, 1 << 20)
        one.readers.follow(one.file, 3 << 20, 1 << 20)
        one.ask(10 << 20)
        one.loop.run(1)
        while (7 << 20, LOAD_MAX_BYTES) not in one.cache.loads:
            threading.Event().wait(0.001)
        assert one.cache.loads.count((6 << 20, LOAD_MAX_BYTES)) == 1, "nothing is read ahead twice"

    def test_a_reader_that_jumps_about_is_not(self, one: Bench) -> None:
        one.ask(0)
        one.loop.run(1)
        one.readers.follow(one.file, 5 << 20, 4096)
        one.readers.close()
        assert one.cache.loads == [(0, 4096)]

    def test_a_reader_of_what_is_in_memory_costs_nothing(self, one: Bench) -> None:
        class Untouchable:
            def fileno(self) -> int:
                raise AssertionError("looked at")

        one.readers.follow(Untouchable(), 0, 4096)

    def test_reading_ahead_ends_with_the_file(self, one: Bench) -> None:
        one.ask(11 << 20, 1 << 19)
        one.loop.run(1)
        one.readers.follow(one.file, 23 << 19, 1 << 18)
        one.ask(0)
        one.loop.run(1)
        while len(one.cache.loads) < 3:
            threading.Event().wait(0.001)
        assert set(one.cache.loads) == {(11 << 20, 1 << 19), (0, 4096), (47 << 18, 1 << 18)}


class TestUnreadable:
    def test_a_load_that_fails_is_told_with_its_path_after_who_waited(self, one: Bench) -> None:
        one.cache.error = OSError(errno.EIO, "Input/output error")
        one.ask(0)
        assert one.unreadable == []
        one.loop.run(1)
        (error,) = one.unreadable
        assert one.done == [0] and error.path == str(one.path) and error.cause.errno == errno.EIO

    def test_what_a_connection_met_is_told_in_a_later_step(self, one: Bench) -> None:
        one.readers.on_unreadable(one.file, OSError(errno.EIO, "Input/output error"))
        assert one.unreadable == []
        one.loop.run(1)
        (error,) = one.unreadable
        assert error.path == str(one.path)


class TestThreads:
    def device(self, sysfs: Path, directory: Path, nr_requests: str) -> None:
        device = directory.stat().st_dev
        queue_directory = sysfs / f"{os.major(device)}:{os.minor(device)}" / "queue"
        queue_directory.mkdir(parents=True, exist_ok=True)
        (queue_directory / "nr_requests").write_text(nr_requests)

    def test_a_setting_wins(self, tmp_path: Path) -> None:
        assert reader_threads(7, [tmp_path]) == 7

    def test_the_queue_of_the_disk_bounds_them(self, tmp_path: Path) -> None:
        sysfs = tmp_path / "sysfs"
        self.device(sysfs, tmp_path, "2\n")
        assert reader_threads(0, [tmp_path, tmp_path], sysfs) == 2, "two directories of one disk are one disk"
        self.device(sysfs, tmp_path, "1023\n")
        assert reader_threads(0, [tmp_path], sysfs) == READERS_PER_DISK

    def test_a_disk_that_does_not_say_gets_the_usual_number(self, tmp_path: Path) -> None:
        assert reader_threads(0, [tmp_path], tmp_path / "none") == READERS_PER_DISK
