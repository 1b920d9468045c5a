"""The selector beneath the asyncio loop: our descriptors are dispatched inside `select`, others are returned to
asyncio.

One turn of the loop is one `select`: wait, hand each event of ours to its sink, run what was posted, advance the
timers. asyncio then runs its own callbacks. No Handle, Context or Task is made for an event of ours.
Invariant: an exception of a sink or a posted callback never leaves `select`; the sink is told to fail, the turn goes
on. Not its business: bytes. Everything here runs in the loop's thread except `post_threadsafe` and `wake`.
"""

from __future__ import annotations

import logging
import selectors
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, Protocol

from tailrace.base.clock import Clock
from tailrace.net.limits import SLOW_TURN_MS
from tailrace.net.poller import POLL_IN, POLL_OUT, READABLE, WRITABLE, Poller
from tailrace.net.timers import TimingWheel
from tailrace.observe.durations import Durations

logger = logging.getLogger("tailrace.net")


class Sink(Protocol):
    """Who is told of a descriptor's readiness."""

    def on_events(self, mask: int) -> None:
        """The descriptor is ready; `mask` is in poll(2) bits. Must not wait."""
        ...

    def on_failure(self, error: Exception) -> None:
        """`on_events` raised `error`: give up the descriptor."""
        ...


class PollerSelector(selectors.BaseSelector):
    """A `selectors` selector for asyncio, over a Poller. `sinks` maps our descriptors to who handles them."""

    def __init__(self, poller: Poller, clock: Clock) -> None:
        self.poller = poller
        self.clock = clock
        self.sinks: dict[int, Sink] = {}
        self.timers = TimingWheel(now_ms=clock.monotonic_ms(), read_ms=clock.monotonic_ms)
        self._posted: deque[Callable[[], object]] = deque()
        self.turn_ms = clock.monotonic_ms()
        """The time of this turn: when the last wait ended."""
        self.turn_count = 0
        self.on_turn: Callable[[], object] | None = None
        """Called at the end of each wait: a watchdog's, which sleeps until then."""
        self.busy_ms = 0.0
        """How long the turns that have ended took together, asyncio's part in them included."""
        self.slow_turns = Durations()
        """Those above SLOW_TURN_MS."""
        self.hand_back = False
        """Set by the loop when asyncio has been given something to do: the present `select` returns after its turn."""
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._map = _KeyMap(self._keys)

    # Our side.

    def watch(self, fd: int, mask: int, sink: Sink) -> None:
        """Send the events of `fd` to `sink`."""
        self.poller.add(fd, mask)
        self.sinks[fd] = sink

    def unwatch(self, fd: int) -> None:
        """Forget `fd`, before it is closed. Events of it still in this batch are dropped."""
        del self.sinks[fd]
        try:
            self.poller.remove(fd)
        except FileNotFoundError:
            pass  # A sink may have taken it off the poller itself.

    def post(self, callback: Callable[[], object]) -> None:
        """Run `callback` in this turn, after the events, or in the next one."""
        self._posted.append(callback)

    def post_threadsafe(self, callback: Callable[[], object]) -> None:
        """`post` from any thread. Callbacks of one thread keep their order."""
        self._posted.append(callback)
        self.poller.wake()

    # asyncio's side.

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileno_of(fileobj)
        if fd in self._keys or fd in self.sinks:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self.poller.add(fd, _to_poll(events))
        self._keys[fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._keys.pop(self._fd_of(fileobj))
        try:
            self.poller.remove(key.fd)
        except OSError:
            pass  # Closed before it was unregistered, as asyncio's own selectors allow.
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = self._fd_of(fileobj)
        key = self._keys[fd]
        if events != key.events:
            self.poller.change(fd, _to_poll(events))
        if events != key.events or data is not key.data:
            key = self._keys[fd] = key._replace(events=events, data=data)
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        try:
            return self._keys[self._fd_of(fileobj)]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._map

    def close(self) -> None:
        self._keys.clear()
        self.sinks.clear()
        self.poller.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Take turns until there is something for asyncio: a ready descriptor, a callback, or `timeout` is over.

        asyncio's own turn costs as much as an echo, so it is entered only when it has work. `hand_back` says that it
        has.
        """
        foreign: list[tuple[selectors.SelectorKey, int]] = []
        deadline_ms = inf if timeout is None else self.clock.monotonic_ms() + timeout * 1000
        self.hand_back = False
        sinks, timers = self.sinks, self.timers
        while True:
            due_ms = timers.due_ms
            for fd, mask in self._wait(due_ms if due_ms < deadline_ms else deadline_ms):
                sink = sinks.get(fd)
                if sink is None:
                    if fd in self._keys:
                        self._collect(fd, mask, foreign)
                    continue
                try:
                    sink.on_events(mask)
                except Exception as error:
                    sink.on_failure(error)
            if self._posted:
                self._run_posted()
            if self.turn_ms >= timers.due_ms:
                self._advance_timers()
            if foreign or self.hand_back:
                return foreign
            if deadline_ms != inf and self.clock.monotonic_ms() >= deadline_ms:
                return foreign

    def _wait(self, until_ms: float) -> list[tuple[int, int]]:
        now_ms = self.clock.monotonic_ms()
        took_ms = now_ms - self.turn_ms
        self.turn_count += 1
        self.busy_ms += took_ms
        if took_ms > SLOW_TURN_MS:
            self.slow_turns.add_ms(took_ms)
        if self._posted:
            events = self.poller.wait(0)
        elif until_ms == inf:
            events = self.poller.wait(None)
        else:
            events = self.poller.wait((until_ms - now_ms) / 1000)
        self.turn_ms = self.clock.monotonic_ms()
        if self.on_turn is not None:
            self.on_turn()
        return events

    def _advance_timers(self) -> None:
        try:
            self.timers.advance(self.turn_ms)
        except Exception:
            logger.exception("a timer's callback failed")

    def _run_posted(self) -> None:
        for _ in range(len(self._posted)):
            callback = self._posted.popleft()
            try:
                callback()
            except Exception:
                logger.exception("a posted callback failed")

    def _collect(self, fd: int, mask: int, foreign: list[tuple[selectors.SelectorKey, int]]) -> None:
        key = self._keys[fd]
        bits = (selectors.EVENT_READ if mask & READABLE else 0) | (selectors.EVENT_WRITE if mask & WRITABLE else 0)
        if bits & key.events:
            foreign.append((key, bits & key.events))

    def _fd_of(self, fileobj: Any) -> int:
        try:
            return fileno_of(fileobj)
        except ValueError:  # closed already: look it up by identity
            for key in self._keys.values():
                if key.fileobj is fileobj:
                    return key.fd
            raise


class _KeyMap(Mapping[Any, selectors.SelectorKey]):
    """Live view of the foreign keys, by file object or descriptor."""

    def __init__(self, keys: dict[int, selectors.SelectorKey]) -> None:
        self._keys = keys

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileno_of(fileobj)]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys)


def fileno_of(fileobj: Any) -> int:
    """The descriptor of a file object or of an int. Raises ValueError when there is none."""
    try:
        fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {fileobj!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


def _to_poll(events: int) -> int:
    return (POLL_IN if events & selectors.EVENT_READ else 0) | (POLL_OUT if events & selectors.EVENT_WRITE else 0)
