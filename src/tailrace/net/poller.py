"""Readiness of descriptors: epoll, what `selectors` offers elsewhere, and a fake, behind six methods.

Readiness is told in poll(2) bits, which are epoll's too, so the hot path translates nothing. Level-triggered
throughout: what was not read is reported again. Errors and hang-ups are reported whether asked for or not.
Invariant: a wait returns at most EVENT_BATCH_SIZE events and never one for a removed descriptor of an earlier wait.
Not its business: who is interested in a descriptor, and timers.
"""

from __future__ import annotations

import math
import os
import select
import selectors
from collections import deque
from typing import Final, Protocol

from tailrace.base.clock import ManualClock
from tailrace.net.limits import EVENT_BATCH_SIZE, WAIT_MAX_MS

POLL_IN: Final = 0x001
POLL_OUT: Final = 0x004
POLL_ERR: Final = 0x008
POLL_HUP: Final = 0x010
POLL_RDHUP: Final = 0x2000
READABLE: Final = POLL_IN | POLL_RDHUP | POLL_HUP | POLL_ERR
"""Bits after which a read does not block: data, end of stream, or an error to collect."""
WRITABLE: Final = POLL_OUT | POLL_HUP | POLL_ERR
"""Bits after which a write does not block: room, or an error to collect."""


class Poller(Protocol):
    """Six methods. One thread calls them, except `wake`, which any thread may call."""

    def add(self, fd: int, mask: int) -> None:
        """Watch `fd` for POLL_IN and POLL_OUT in `mask` (0: for errors only)."""
        ...

    def change(self, fd: int, mask: int) -> None:
        """Watch a known `fd` for something else."""
        ...

    def remove(self, fd: int) -> None:
        """Forget `fd`, before it is closed."""
        ...

    def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
        """Wait for readiness: None for ever, <= 0 not at all. Returns (fd, bits); may return early and empty.

        A descriptor the caller never added may be among them (the poller's own); the caller ignores it.
        """
        ...

    def wake(self) -> None:
        """Make the present or the next `wait` return at once."""
        ...

    def close(self) -> None:
        """Free the poller's own descriptors."""
        ...


def wait_ms(timeout_s: float | None) -> int:
    """The kernel's timeout: -1 for ever, 0 for nothing, anything below 1 ms is 1 ms, else rounded up, at most
    WAIT_MAX_MS.

    Rounded up, where Go rounds down: a wait that ends early costs a second one, and a timer must never be early.
    """
    if timeout_s is None:
        return -1
    if timeout_s <= 0:
        return 0
    return math.ceil(timeout_s * 1000) if timeout_s < WAIT_MAX_MS / 1000 else WAIT_MAX_MS


class Epoll(Protocol):
    """The part of `select.epoll` that is used; tests pass their own."""

    def register(self, fd: int, eventmask: int) -> None: ...

    def modify(self, fd: int, eventmask: int) -> None: ...

    def unregister(self, fd: int) -> None: ...

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]: ...

    def close(self) -> None: ...


class EpollPoller:
    """epoll(7)."""

    __slots__ = ("_epoll", "_poll", "_wake_fd", "add", "change", "remove")

    def __init__(self, epoll: Epoll | None = None) -> None:
        self._epoll: Epoll = select.epoll(flags=select.EPOLL_CLOEXEC) if epoll is None else epoll
        self._poll = self._epoll.poll
        self.add = self._epoll.register
        self.change = self._epoll.modify
        self.remove = self._epoll.unregister
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Edge-triggered: each write is reported once, so the counter is never read. It overflows after 2**64 wake-ups.
        self._epoll.register(self._wake_fd, POLL_IN | select.EPOLLET)

    def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
        timeout_ms = -1 if timeout_s is None else wait_ms(timeout_s)
        while True:
            try:
                return self._poll(timeout_ms / 1000 if timeout_ms > 0 else timeout_ms, EVENT_BATCH_SIZE)
            except InterruptedError:
                if timeout_ms > 0:
                    return []

    def wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        self._epoll.close()
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1


class SelectorsPoller:
    """kqueue or poll by way of `selectors`, for systems without epoll."""

    __slots__ = ("_errors_only", "_selector", "_wake_reader", "_wake_writer")

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selectors.DefaultSelector() if selector is None else selector
        self._errors_only: set[int] = set()  # `selectors` refuses an empty mask: such a descriptor is not watched
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)

    def add(self, fd: int, mask: int) -> None:
        if mask:
            self._selector.register(fd, _to_selectors(mask))
        else:
            self._errors_only.add(fd)

    def change(self, fd: int, mask: int) -> None:
        if fd in self._errors_only:
            self._errors_only.discard(fd)
            self.add(fd, mask)
        elif mask:
            self._selector.modify(fd, _to_selectors(mask))
        else:
            self._selector.unregister(fd)
            self._errors_only.add(fd)

    def remove(self, fd: int) -> None:
        if fd in self._errors_only:
            self._errors_only.discard(fd)
        else:
            self._selector.unregister(fd)

    def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
        timeout_ms = wait_ms(timeout_s)
        while True:
            try:
                ready = self._selector.select(None if timeout_ms < 0 else timeout_ms / 1000)
                break
            except InterruptedError:
                if timeout_ms > 0:
                    return []
        events: list[tuple[int, int]] = []
        for key, bits in ready[: EVENT_BATCH_SIZE + 1]:
            if key.fd == self._wake_reader:
                self._drain()
            else:
                events.append((key.fd, _from_selectors(bits)))
        return events[:EVENT_BATCH_SIZE]

    def wake(self) -> None:
        try:
            os.write(self._wake_writer, b"\0")
        except BlockingIOError:
            pass  # The pipe is full of wake-ups: it is readable, which is all that is wanted.

    def close(self) -> None:
        self._selector.close()
        if self._wake_reader >= 0:
            os.close(self._wake_reader)
            os.close(self._wake_writer)
            self._wake_reader = self._wake_writer = -1

    def _drain(self) -> None:
        try:
            while os.read(self._wake_reader, 4096):
                pass
        except BlockingIOError:
            pass


class FakePoller:
    """Says what a test told it to say. `ready` holds the answers of the coming waits; `watched` is fd -> mask.

    With a clock, a wait that has no answer takes its whole timeout.
    """

    __slots__ = ("_clock", "closed", "ready", "timeouts", "wakes", "watched")

    def __init__(self, clock: ManualClock | None = None) -> None:
        self._clock = clock
        self.watched: dict[int, int] = {}
        self.ready: deque[list[tuple[int, int]]] = deque()
        self.timeouts: list[float | None] = []
        self.wakes = 0
        self.closed = False

    def add(self, fd: int, mask: int) -> None:
        if fd in self.watched:
            raise FileExistsError(fd)
        self.watched[fd] = mask

    def change(self, fd: int, mask: int) -> None:
        if fd not in self.watched:
            raise FileNotFoundError(fd)
        self.watched[fd] = mask

    def remove(self, fd: int) -> None:
        if self.watched.pop(fd, None) is None:
            raise FileNotFoundError(fd)

    def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
        self.timeouts.append(timeout_s)
        if self.ready:
            return self.ready.popleft()
        if self._clock is not None and timeout_s is not None and timeout_s > 0:
            self._clock.advance(wait_ms(timeout_s))
        return []

    def wake(self) -> None:
        self.wakes += 1

    def close(self) -> None:
        self.closed = True


def new_poller() -> Poller:
    """The best poller of this system."""
    return EpollPoller() if hasattr(select, "epoll") and hasattr(os, "eventfd") else SelectorsPoller()


def _to_selectors(mask: int) -> int:
    return (selectors.EVENT_READ if mask & POLL_IN else 0) | (selectors.EVENT_WRITE if mask & POLL_OUT else 0)


def _from_selectors(bits: int) -> int:
    return (POLL_IN if bits & selectors.EVENT_READ else 0) | (POLL_OUT if bits & selectors.EVENT_WRITE else 0)
