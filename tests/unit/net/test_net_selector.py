"""The selector on a fake poller: who is dispatched, what asyncio is given, when a turn sleeps."""

from __future__ import annotations

import logging
import selectors
from collections.abc import Callable
from typing import Any

import pytest

from tailrace.base.clock import ManualClock
from tailrace.net.poller import POLL_ERR, POLL_HUP, POLL_IN, POLL_OUT, FakePoller
from tailrace.net.selector import PollerSelector


class SinkOf:
    def __init__(self, action: Callable[[int], object]) -> None:
        self.action = action
        self.failures: list[Exception] = []

    def on_events(self, mask: int) -> None:
        self.action(mask)

    def on_failure(self, error: Exception) -> None:
        self.failures.append(error)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def poller(clock: ManualClock) -> FakePoller:
    return FakePoller(clock)


@pytest.fixture
def selector(poller: FakePoller, clock: ManualClock) -> PollerSelector:
    return PollerSelector(poller, clock)


def test_ours_are_dispatched_and_not_returned(selector: PollerSelector, poller: FakePoller) -> None:
    seen: list[int] = []
    selector.watch(3, POLL_IN, SinkOf(seen.append))
    poller.ready.append([(3, POLL_IN)])
    assert selector.select(0) == []
    assert seen == [POLL_IN]


@pytest.mark.parametrize(
    ("events", "mask", "expected"),
    [
        (selectors.EVENT_READ, POLL_IN, selectors.EVENT_READ),
        (selectors.EVENT_READ, POLL_HUP, selectors.EVENT_READ),
        (selectors.EVENT_WRITE, POLL_OUT, selectors.EVENT_WRITE),
        (selectors.EVENT_WRITE, POLL_ERR, selectors.EVENT_WRITE),
        (3, POLL_IN | POLL_OUT, 3),
    ],
)
def test_others_are_returned_in_asyncios_terms(
    selector: PollerSelector, poller: FakePoller, events: int, mask: int, expected: int
) -> None:
    key = selector.register(9, events, "data")
    poller.ready.append([(9, mask)])
    assert selector.select(1) == [(key, expected)]


def test_unknown_descriptors_are_ignored(selector: PollerSelector, poller: FakePoller) -> None:
    poller.ready.append([(44, POLL_IN)])
    assert selector.select(0) == []


def test_it_keeps_turning_until_asyncio_has_work(selector: PollerSelector, poller: FakePoller) -> None:
    """asyncio's own turn is entered only when something is there for it."""
    turns: list[int] = []

    def step(mask: int) -> None:
        turns.append(mask)
        if len(turns) == 3:
            selector.hand_back = True

    selector.watch(3, POLL_IN, SinkOf(step))
    poller.ready.extend([[(3, POLL_IN)]] * 5)
    assert selector.select(None) == []
    assert len(turns) == 3


def test_asyncios_timeout_is_kept_while_ours_are_busy(
    selector: PollerSelector, poller: FakePoller, clock: ManualClock
) -> None:
    selector.watch(3, POLL_IN, SinkOf(lambda _: clock.advance(10)))
    poller.ready.extend([[(3, POLL_IN)]] * 100)
    selector.select(0.035)
    assert poller.timeouts == pytest.approx([0.035, 0.025, 0.015, 0.005])


def test_descriptor_forgotten_within_the_batch_is_not_dispatched(selector: PollerSelector, poller: FakePoller) -> None:
    seen: list[int] = []
    selector.watch(3, POLL_IN, SinkOf(lambda _: selector.unwatch(4)))
    selector.watch(4, POLL_IN, SinkOf(seen.append))
    poller.ready.append([(3, POLL_IN), (4, POLL_IN)])
    selector.select(0)
    assert seen == []


def test_a_failing_sink_is_told_and_the_others_go_on(selector: PollerSelector, poller: FakePoller) -> None:
    def fail(_: int) -> None:
        raise ValueError("bug")

    failing, seen = SinkOf(fail), []  # type: ignore[var-annotated]
    selector.watch(3, POLL_IN, failing)
    selector.watch(4, POLL_IN, SinkOf(seen.append))
    poller.ready.append([(3, POLL_IN), (4, POLL_IN)])
    selector.select(0)
    assert [str(error) for error in failing.failures] == ["bug"] and seen == [POLL_IN]


def test_posted_callbacks_run_in_order_and_their_posts_in_the_next_turn(
    selector: PollerSelector, poller: FakePoller, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[str] = []

    def first() -> None:
        order.append("first")
        selector.post(lambda: order.append("third"))

    def broken() -> None:
        raise ValueError("bug")

    selector.post(first)
    selector.post(broken)
    selector.post(lambda: order.append("second"))
    selector.select(0)
    assert order == ["first", "second"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    selector.select(5)
    assert order == ["first", "second", "third"]
    assert poller.timeouts[1] == 0, "no sleep while something is posted"


def test_posting_from_another_thread_wakes_the_poller(selector: PollerSelector, poller: FakePoller) -> None:
    seen: list[int] = []
    selector.post_threadsafe(lambda: seen.append(1))
    assert poller.wakes == 1
    selector.select(0)
    assert seen == [1]


def test_idle_waits_for_ever(selector: PollerSelector, poller: FakePoller) -> None:
    selector.register(9, selectors.EVENT_READ)
    selector.timers.schedule(10, lambda: None).cancel()
    poller.ready.append([(9, POLL_IN)])
    selector.select(None)
    assert poller.timeouts == [None]


def test_the_nearer_of_timer_and_asyncio_bounds_the_wait(
    selector: PollerSelector, poller: FakePoller, clock: ManualClock
) -> None:
    started_ms = clock.monotonic_ms()
    fired: list[float] = []
    selector.timers.schedule(20, lambda: fired.append(clock.monotonic_ms() - started_ms))
    selector.timers.schedule(10_000, lambda: None)
    selector.select(0.5)
    assert fired == [20] and clock.monotonic_ms() - started_ms == pytest.approx(500, abs=2)
    assert len(poller.timeouts) == 2, "one sleep to the timer, one to asyncio's deadline"


def test_a_failing_timer_is_logged_and_the_next_one_fires(
    selector: PollerSelector, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    fired: list[str] = []

    def broken() -> None:
        raise ValueError("bug")

    selector.timers.schedule(10, broken)
    selector.timers.schedule(10, lambda: fired.append("x"))
    clock.advance(20)
    selector.select(0)
    selector.select(0)
    assert fired == ["x"] and len(caplog.records) == 1


def test_many_due_timers_do_not_let_the_poller_sleep(
    selector: PollerSelector, poller: FakePoller, clock: ManualClock
) -> None:
    fired: list[int] = []
    for _ in range(2000):
        selector.timers.schedule(10, lambda: fired.append(1))
    clock.advance(20)
    selector.select(0)
    assert 0 < len(fired) < 2000
    seen: list[int] = []
    selector.watch(3, POLL_IN, SinkOf(seen.append))
    while len(fired) < 2000:
        poller.ready.append([(3, POLL_IN)])
        before = len(fired)
        selector.select(0)
        assert len(fired) > before
    assert len(seen) >= 3, "descriptors are served between slices"
    assert all(timeout is not None and timeout <= 0 for timeout in poller.timeouts)


def test_selector_contract_asyncio_relies_on(selector: PollerSelector, poller: FakePoller) -> None:
    class File:
        closed = False

        def fileno(self) -> int:
            if self.closed:
                return -1
            return 5

    file: Any = File()
    key = selector.register(file, selectors.EVENT_READ, "a")
    assert selector.get_key(file) is key and selector.get_map()[5] is key and selector.get_map().get(6) is None
    with pytest.raises(KeyError):
        selector.register(file, selectors.EVENT_READ)
    assert selector.modify(file, selectors.EVENT_WRITE, "b").data == "b"
    assert poller.watched[5] == POLL_OUT
    assert list(selector.get_map()) == [5] and len(selector.get_map()) == 1
    file.closed = True
    assert selector.unregister(file).fd == 5
    with pytest.raises(KeyError):
        selector.get_key(5)
    with pytest.raises(KeyError):
        selector.unregister(5)
    with pytest.raises(ValueError):
        selector.register(object(), selectors.EVENT_READ)
    selector.close()
    assert poller.closed
