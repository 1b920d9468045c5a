"""The pool of disk threads: work elsewhere, what follows it where the loop says, and an end that loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from tailrace.node.background import ThreadBackground

WAIT_S = 10.0


class Loop:
    """Collects what is to be called in the loop's thread."""

    def __init__(self) -> None:
        self.posted: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def run_one(self) -> None:
        self.posted.get(timeout=WAIT_S)()


def test_work_is_done_elsewhere_and_told_here() -> None:
    loop = Loop()
    pool = ThreadBackground(loop.posted.put, 2)
    told: list[object] = []
    pool.submit(threading.get_ident, told.append)
    loop.run_one()
    pool.submit(lambda: 1 // 0, told.append)
    loop.run_one()
    pool.close()
    assert told[0] != threading.get_ident()
    assert isinstance(told[1], ZeroDivisionError)


def test_as_many_threads_as_there_is_work_up_to_the_bound() -> None:
    loop = Loop()
    pool = ThreadBackground(loop.posted.put, 3, "bounded")
    before = threading.active_count()
    gate = threading.Event()
    for _ in range(8):
        pool.submit(lambda: gate.wait(WAIT_S), lambda _: None)
    assert threading.active_count() == before + 3
    gate.set()
    for _ in range(8):
        loop.run_one()
    pool.submit(int, lambda _: None)
    pool.close()
    assert threading.active_count() == before


def test_an_idle_pool_has_no_thread_and_one_thread_serves_one_at_a_time() -> None:
    loop = Loop()
    before = threading.active_count()
    pool = ThreadBackground(loop.posted.put, 4)
    assert threading.active_count() == before
    for _ in range(5):
        pool.submit(int, lambda _: None)
        loop.run_one()
    assert threading.active_count() == before + 1
    pool.close()


@pytest.mark.parametrize("closings", [1, 2])
def test_the_end_waits_for_the_work_at_hand_and_what_comes_later_is_done_by_who_asks(closings: int) -> None:
    loop = Loop()
    pool = ThreadBackground(loop.posted.put, 1)
    done: list[int] = []
    for number in range(3):
        pool.submit(lambda number=number: done.append(number), lambda _: None)  # type: ignore[misc]
    for _ in range(closings):
        pool.close()
    assert done == [0, 1, 2]
    told: list[object] = []
    pool.submit(threading.get_ident, told.append)
    assert told == [threading.get_ident()]
