"""A listening socket: accepts in small batches, stops at its bound of connections, rests when descriptors run out.

Invariant: the descriptor is watched exactly while accepting is on. Not its business: the connections it made.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from tailrace.net.address import Address
from tailrace.net.handler import ListenOptions
from tailrace.net.limits import ACCEPT_BATCH_SIZE, ACCEPT_PAUSE_MS
from tailrace.net.network import ListenSocket
from tailrace.net.outbox import StreamSocket
from tailrace.net.poller import POLL_IN
from tailrace.net.selector import PollerSelector, logger

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Made by `Engine.listen`. `address` is where it really listens, the port filled in."""

    def __init__(
        self,
        sock: ListenSocket,
        address: Address,
        selector: PollerSelector,
        options: ListenOptions,
        on_accepted: Callable[[Listener, StreamSocket], None],
    ) -> None:
        self.address = address
        self.connection_count = 0
        self.options = options
        self.closed = False
        self._sock = sock
        self._fd = sock.fileno()
        self._selector = selector
        self._on_accepted = on_accepted
        self._watching = False
        self._resting = False
        self._complained = False
        self._watch()

    def close(self) -> None:
        """Stop listening; its connections live on. A unix socket's path is removed. Idempotent."""
        if self.closed:
            return
        self._unwatch()
        self.closed = True
        self._sock.close()
        if self.address.path is not None:
            try:
                os.unlink(self.address.path)  # noqa: PTH108 - a socket's path is text, often abstract or relative
            except FileNotFoundError:
                pass

    def on_events(self, mask: int) -> None:
        """Peers are waiting, or an error is."""
        for _ in range(ACCEPT_BATCH_SIZE):
            if self.closed:
                return
            if self.connection_count >= self.options.max_connections:
                self._unwatch()
                return
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                    return
                continue  # The peer gave up while it waited (ECONNABORTED and the like): its loss.
            self._complained = False
            self.connection_count += 1
            self._on_accepted(self, sock)

    def on_failure(self, error: Exception) -> None:
        """A handler factory raised; that connection is lost, the listener goes on."""
        logger.error("a connection to %s was not set up", self.address, exc_info=error)

    def on_connection_gone(self) -> None:
        """One of its connections closed."""
        self.connection_count -= 1
        if not self.closed and not self._resting:
            self._watch()

    def _rest(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            logger.error("%s: cannot accept, trying again every %d ms: %s", self.address, ACCEPT_PAUSE_MS, error)
        self._resting = True
        self._unwatch()
        self._selector.timers.schedule(ACCEPT_PAUSE_MS, self._end_rest)

    def _end_rest(self) -> None:
        self._resting = False
        if not self.closed:
            self._watch()

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._selector.watch(self._fd, POLL_IN, self)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._selector.unwatch(self._fd)
