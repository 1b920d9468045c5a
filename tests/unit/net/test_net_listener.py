"""Listener on a fake socket: batches, the bound of connections, running out of descriptors."""

from __future__ import annotations

import errno
import logging
from typing import Any

import pytest

from tailrace.base.clock import ManualClock
from tailrace.net.address import Address
from tailrace.net.handler import ListenOptions
from tailrace.net.limits import ACCEPT_BATCH_SIZE, ACCEPT_PAUSE_MS
from tailrace.net.listener import Listener
from tailrace.net.poller import POLL_IN, FakePoller
from tailrace.net.selector import PollerSelector

FD = 9


class WaitingPeers:
    """A listening socket: `script` holds peers or errors; empty means EAGAIN."""

    def __init__(self, script: list[Any]) -> None:
        self.script = script
        self.accepts = 0
        self.closed = False

    def fileno(self) -> int:
        return FD

    def accept(self) -> tuple[Any, Any]:
        self.accepts += 1
        if not self.script:
            raise BlockingIOError
        head = self.script.pop(0)
        if isinstance(head, OSError):
            raise head
        return head, None

    def close(self) -> None:
        self.closed = True


class World:
    def __init__(self, script: list[Any], options: ListenOptions = ListenOptions()) -> None:
        self.clock = ManualClock()
        self.poller = FakePoller()
        self.selector = PollerSelector(self.poller, self.clock)
        self.sock = WaitingPeers(script)
        self.accepted: list[Any] = []
        self.listener = Listener(
            self.sock, Address("here", 1), self.selector, options, lambda _, sock: self.accepted.append(sock)
        )

    def turn(self) -> None:
        self.poller.ready.append([(FD, POLL_IN)] if FD in self.poller.watched else [])
        self.selector.select(0)


def test_accepts_a_bounded_batch_a_turn() -> None:
    world = World(list(range(100)))
    world.turn()
    assert world.accepted == list(range(ACCEPT_BATCH_SIZE))
    world.turn()
    assert len(world.accepted) == 2 * ACCEPT_BATCH_SIZE


def test_peers_that_gave_up_are_skipped() -> None:
    world = World(
        [ConnectionAbortedError(errno.ECONNABORTED, ""), "peer", OSError(errno.EPROTO, ""), InterruptedError(), "x"]
    )
    world.turn()
    assert world.accepted == ["peer"]
    world.turn()
    assert world.accepted == ["peer", "x"]


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_out_of_descriptors_rests_logs_once_and_recovers(code: int, caplog: pytest.LogCaptureFixture) -> None:
    world = World([OSError(code, "out"), OSError(code, "out"), "peer"])
    for _ in range(10):
        world.turn()
    assert world.sock.accepts == 1, "no spin: the descriptor is not watched while resting"
    world.clock.advance(ACCEPT_PAUSE_MS + 10)
    world.turn()
    world.turn()
    assert world.sock.accepts == 2
    world.clock.advance(ACCEPT_PAUSE_MS + 10)
    world.turn()
    world.turn()
    assert world.accepted == ["peer"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_bound_of_connections_stops_accepting_until_one_is_gone() -> None:
    world = World(["a", "b", "c"], ListenOptions(max_connections=2))
    world.turn()
    assert world.accepted == ["a", "b"] and FD not in world.poller.watched
    world.listener.on_connection_gone()
    world.turn()
    assert world.accepted == ["a", "b", "c"]


def test_closed_listener_accepts_nothing_even_after_a_rest() -> None:
    world = World([OSError(errno.EMFILE, "out")])
    world.turn()
    world.listener.close()
    world.listener.close()
    world.clock.advance(ACCEPT_PAUSE_MS + 10)
    world.turn()
    assert world.sock.closed and FD not in world.poller.watched
    world.listener.on_connection_gone()
    assert FD not in world.poller.watched


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:9092", Address("localhost", 9092)),
        ("[::1]:0", Address("::1", 0)),
        (":80", Address("", 80)),
        ("unix:/run/x.sock", Address.unix("/run/x.sock")),
    ],
)
def test_address_reads_and_writes_itself(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:70000", "::1:80", "host:-1"])
def test_address_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|brackets"):
        Address.parse(text)
