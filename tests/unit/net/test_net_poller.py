"""The Go netpoller's rules on a fake epoll: timeout mapping, the batch of 128, EINTR, the wake-up descriptor."""

from __future__ import annotations

import select
import selectors
from typing import Any

import pytest

from tailrace.net.limits import EVENT_BATCH_SIZE, WAIT_MAX_MS
from tailrace.net.poller import POLL_IN, POLL_OUT, EpollPoller, FakePoller, SelectorsPoller, wait_ms


class FakeEpoll:
    """Answers `poll` from a script; an exception in it is raised."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.polls: list[tuple[float, int]] = []
        self.registered: dict[int, int] = {}
        self.closed = False

    def register(self, fd: int, eventmask: int) -> None:
        self.registered[fd] = eventmask

    def modify(self, fd: int, eventmask: int) -> None:
        self.registered[fd] = eventmask

    def unregister(self, fd: int) -> None:
        del self.registered[fd]

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        self.polls.append((timeout, maxevents))
        answer = self.script.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("timeout_s", "expected_ms"),
    [
        (None, -1),  # for ever
        (0, 0),
        (-1.0, 0),  # a deadline already passed
        (1e-9, 1),  # under a millisecond is one, never a busy loop
        (0.0005, 1),
        (0.001, 1),
        (0.0011, 2),  # rounded up: a timer is never early
        (1.5, 1500),
        (1e6, WAIT_MAX_MS),
        (1e300, WAIT_MAX_MS),
    ],
)
def test_timeout_mapping(timeout_s: float | None, expected_ms: int) -> None:
    assert wait_ms(timeout_s) == expected_ms


@pytest.fixture
def epoll() -> FakeEpoll:
    return FakeEpoll()


def test_a_wait_asks_for_128_events(epoll: FakeEpoll) -> None:
    epoll.script = [[(5, POLL_IN)]]
    poller = EpollPoller(epoll)
    assert poller.wait(None) == [(5, POLL_IN)]
    assert epoll.polls == [(-1, 128)] and EVENT_BATCH_SIZE == 128
    poller.close()
    assert epoll.closed


def test_interrupted_wait_with_a_timeout_returns_empty(epoll: FakeEpoll) -> None:
    epoll.script = [InterruptedError()]
    poller = EpollPoller(epoll)
    assert poller.wait(0.5) == []
    assert epoll.polls == [(0.5, 128)]
    poller.close()


@pytest.mark.parametrize("timeout_s", [None, 0])
def test_interrupted_wait_without_one_is_taken_up_again(epoll: FakeEpoll, timeout_s: float | None) -> None:
    epoll.script = [InterruptedError(), InterruptedError(), [(1, POLL_IN)]]
    poller = EpollPoller(epoll)
    assert poller.wait(timeout_s) == [(1, POLL_IN)]
    assert len(epoll.polls) == 3
    poller.close()


def test_wake_up_descriptor_is_edge_triggered(epoll: FakeEpoll) -> None:
    """So that it is never read: a level-triggered one would be reported for ever."""
    poller = EpollPoller(epoll)
    assert [mask & select.EPOLLET for mask in epoll.registered.values()] == [select.EPOLLET]
    poller.close()


def test_real_epoll_wakes_once_for_a_wake() -> None:
    poller = EpollPoller()
    poller.wake()
    poller.wake()
    assert len(poller.wait(10)) == 1
    assert poller.wait(0) == []
    poller.close()


class ScriptedSelector(selectors.SelectSelector):
    """Answers `select` from a script first."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Any] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            return answer  # type: ignore[no-any-return]
        return super().select(timeout)


def test_fallback_obeys_the_same_rules() -> None:
    selector = ScriptedSelector()
    poller = SelectorsPoller(selector)
    selector.script = [InterruptedError()]
    assert poller.wait(0.5) == []
    many = [(selectors.SelectorKey(fd, fd, 1, None), selectors.EVENT_READ) for fd in range(1000, 1200)]
    selector.script = [InterruptedError(), many]
    assert len(poller.wait(None)) == 128
    poller.wake()
    poller.wake()
    assert poller.wait(10) == [] and poller.wait(0) == []
    poller.close()


def test_fallback_does_not_watch_for_nothing() -> None:
    selector = ScriptedSelector()
    poller = SelectorsPoller(selector)
    watched = len(selector.get_map())
    poller.add(0, 0)
    assert len(selector.get_map()) == watched
    poller.change(0, POLL_IN)
    poller.change(0, POLL_OUT)
    assert selector.get_key(0).events == selectors.EVENT_WRITE
    poller.change(0, 0)
    assert len(selector.get_map()) == watched
    poller.remove(0)
    poller.close()


def test_fake_is_as_strict_as_epoll() -> None:
    poller = FakePoller()
    poller.add(3, POLL_IN)
    with pytest.raises(FileExistsError):
        poller.add(3, POLL_IN)
    poller.remove(3)
    with pytest.raises(FileNotFoundError):
        poller.change(3, POLL_IN)
    with pytest.raises(FileNotFoundError):
        poller.remove(3)
