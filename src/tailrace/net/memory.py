"""A network inside the process, on a virtual clock: links with delay, jitter, loss and cuts, the same run for the
same seed.

    network = MemoryNetwork(ManualClock(), SeededRandom(1))
    loop = new_event_loop(network, network.clock, network)       # it is the loop's poller too

The engine and its connections are the real ones; only sockets and readiness are made here. Time stands still while code
runs and jumps to the next thing that can happen when all of it waits. A host is whatever name an address or
`ConnectionOptions.local_host` gives. Streams stay streams: a lost segment comes late, as TCP's retransmission would
bring it, and a cut holds what is under way until it is healed.
Invariant: segments of one direction arrive in the order sent. Not its business: unix sockets, bandwidth.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tailrace.base.clock import ManualClock
from tailrace.base.rand import Random
from tailrace.net.address import Address
from tailrace.net.handler import ConnectionOptions, HasFileno, ListenOptions
from tailrace.net.limits import EVENT_BATCH_SIZE, MEMORY_WINDOW_BYTES
from tailrace.net.poller import POLL_ERR, POLL_HUP, POLL_IN, POLL_OUT, Poller, new_poller, wait_ms

_FIRST_FD: Final = 1 << 30
"""Descriptors from here on are ours; the kernel's are smaller (its own bound is fs.nr_open, 2**20 by default)."""
_FIRST_PORT: Final = 49152


@dataclass(slots=True)
class Link:
    """One direction between two hosts. `loss` is the chance, 0 to below 1, that a segment has to be sent again."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    retransmit_ms: float = 200.0
    cut: bool = False


class MemoryNetwork:
    """Hosts, links and sockets of one simulated network. It is the Network and the Poller of one loop."""

    def __init__(self, clock: ManualClock, rand: Random, default: Link | None = None) -> None:
        self.clock = clock
        self._rand = rand
        self._default = default or Link()
        self._links: dict[tuple[str, str], Link] = {}
        self._held: dict[tuple[str, str], list[Callable[[], None]]] = {}
        self._listeners: dict[Address, MemoryListenSocket] = {}
        self._sockets: dict[int, MemorySocket | MemoryListenSocket] = {}
        self._watched: dict[int, int] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._last_fd = _FIRST_FD
        self._last_port = _FIRST_PORT
        self._kernel: Poller = new_poller()  # asyncio's own wake-up socket, signals, threads

    # Shaping the network.

    def link(self, source: str, target: str) -> Link:
        """The link from host `source` to host `target`, to be changed at will."""
        link = self._links.get((source, target))
        if link is None:
            d = self._default
            link = self._links[source, target] = Link(d.delay_ms, d.jitter_ms, d.loss, d.retransmit_ms, d.cut)
        return link

    def cut(self, one: str, other: str) -> None:
        """Let nothing through between two hosts, either way. Connections stay; what they send waits."""
        self.link(one, other).cut = self.link(other, one).cut = True

    def heal(self, one: str, other: str) -> None:
        """Undo `cut`; what waited is delivered."""
        for pair in ((one, other), (other, one)):
            self.link(*pair).cut = False
            for arrive in self._held.pop(pair, []):
                self.at(self.link(*pair).delay_ms, arrive)  # all at one moment: the order is kept

    def reset(self, one: str, other: str) -> None:
        """Break every connection between two hosts: both ends see ECONNRESET."""
        for sock in list(self._sockets.values()):
            if isinstance(sock, MemorySocket) and {sock.host, sock.peer_host} == {one, other}:
                sock.broken = True

    # Time.

    def at(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Run `action` in `delay_ms` of virtual time; actions of one moment in the order given."""
        self._serial += 1
        heapq.heappush(self._agenda, (self.clock.monotonic_ms() + delay_ms, self._serial, action))

    def carry(self, source: str, target: str, not_before_ms: float, arrive: Callable[[], None]) -> float:
        """Have `arrive` run when the link has carried a segment. Returns when, so that the next is no earlier."""
        now_ms = self.clock.monotonic_ms()
        arrival_ms = max(not_before_ms, now_ms + self._delay_ms(source, target))
        self.at(arrival_ms - now_ms, lambda: self._arrived(source, target, arrive))
        return arrival_ms

    def _arrived(self, source: str, target: str, arrive: Callable[[], None]) -> None:
        if self.link(source, target).cut:
            self._held.setdefault((source, target), []).append(arrive)
        else:
            arrive()

    def _delay_ms(self, source: str, target: str) -> float:
        link = self.link(source, target)
        delay_ms = link.delay_ms + (self._rand.uniform(0, link.jitter_ms) if link.jitter_ms else 0.0)
        while link.loss and self._rand.uniform(0, 1) < link.loss:
            delay_ms += link.retransmit_ms
        return delay_ms

    # The Network contract.

    def listen(self, address: Address, options: ListenOptions) -> tuple[MemoryListenSocket, Address]:
        if address.port == 0:
            self._last_port += 1
            address = Address(address.host, self._last_port)
        if address in self._listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        sock = MemoryListenSocket(self, self._new_fd(), address, options.backlog)
        self._listeners[address] = sock
        self._sockets[sock.fd] = sock
        return sock, address

    async def connect(self, address: Address, options: ConnectionOptions, timeout_ms: float) -> MemorySocket:
        source = options.local_host or address.host
        answer: asyncio.Future[MemorySocket] = asyncio.get_running_loop().create_future()
        self.carry(source, address.host, 0, lambda: self._on_syn(source, address, answer))
        return await asyncio.wait_for(answer, timeout_ms / 1000)

    def _on_syn(self, source: str, address: Address, answer: asyncio.Future[MemorySocket]) -> None:
        listener = self._listeners.get(address)
        if listener is None or len(listener.waiting) >= listener.backlog:
            self.carry(address.host, source, 0, lambda: _refuse(answer))
            return
        self._last_port += 1
        near = MemorySocket(self, self._new_fd(), (source, self._last_port), (address.host, address.port))
        far = MemorySocket(self, self._new_fd(), near.peer_name, near.name)
        near.peer, far.peer = far, near
        self._sockets[near.fd], self._sockets[far.fd] = near, far
        listener.waiting.append(far)
        self.carry(address.host, source, 0, lambda: _accept(answer, near))

    def forget(self, sock: MemorySocket | MemoryListenSocket) -> None:
        """`sock` was closed."""
        self._sockets.pop(sock.fd, None)
        if isinstance(sock, MemoryListenSocket):
            self._listeners.pop(sock.address, None)

    def _new_fd(self) -> int:
        self._last_fd += 1
        return self._last_fd

    # The Poller contract.

    def add(self, fd: int, mask: int) -> None:
        if fd < _FIRST_FD:
            self._kernel.add(fd, mask)
        elif fd in self._watched:
            raise FileExistsError(fd)
        else:
            self._watched[fd] = mask

    def change(self, fd: int, mask: int) -> None:
        if fd < _FIRST_FD:
            self._kernel.change(fd, mask)
        elif fd not in self._watched:
            raise FileNotFoundError(fd)
        else:
            self._watched[fd] = mask

    def remove(self, fd: int) -> None:
        if fd < _FIRST_FD:
            self._kernel.remove(fd)
        elif self._watched.pop(fd, None) is None:
            raise FileNotFoundError(fd)

    def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
        """Move time to the next readiness or to the timeout. Blocks, for real, only when nothing is left to happen."""
        timeout_ms = wait_ms(timeout_s)
        deadline_ms = None if timeout_ms < 0 else self.clock.monotonic_ms() + timeout_ms
        while True:
            happened = self._run_due()
            events = self._ready() or self._kernel.wait(0)
            if events or happened:  # what happened may have given asyncio something to do
                return events
            next_ms = self._agenda[0][0] if self._agenda else None
            if deadline_ms is not None and (next_ms is None or next_ms > deadline_ms):
                self.clock.advance(max(0.0, deadline_ms - self.clock.monotonic_ms()))
                return []
            if next_ms is None:
                return self._kernel.wait(None)
            self.clock.advance(max(0.0, next_ms - self.clock.monotonic_ms()))

    def wake(self) -> None:
        self._kernel.wake()

    def close(self) -> None:
        self._kernel.close()

    def _run_due(self) -> bool:
        now_ms = self.clock.monotonic_ms()
        happened = False
        while self._agenda and self._agenda[0][0] <= now_ms:
            happened = True
            heapq.heappop(self._agenda)[2]()
        return happened

    def _ready(self) -> list[tuple[int, int]]:
        events = []
        for fd, mask in self._watched.items():
            bits = self._sockets[fd].readiness() & (mask | POLL_ERR | POLL_HUP)
            if bits:
                events.append((fd, bits))
                if len(events) == EVENT_BATCH_SIZE:
                    break
        for fd, _ in events:
            self._watched[fd] = self._watched.pop(fd)  # to the end: nobody starves behind a full batch
        return events


class MemoryListenSocket:
    """A listening end. Connections wait in it until accepted."""

    def __init__(self, network: MemoryNetwork, fd: int, address: Address, backlog: int) -> None:
        self.fd = fd
        self.address = address
        self.backlog = backlog
        self.waiting: deque[MemorySocket] = deque()
        self._network = network

    def fileno(self) -> int:
        return self.fd

    def readiness(self) -> int:
        """Poll bits."""
        return POLL_IN if self.waiting else 0

    def accept(self) -> tuple[MemorySocket, Any]:
        if not self.waiting:
            raise BlockingIOError
        sock = self.waiting.popleft()
        return sock, sock.peer_name

    def close(self) -> None:
        for sock in self.waiting:
            sock.close()
        self._network.forget(self)


class MemorySocket:
    """One end of a stream. Takes at most MEMORY_WINDOW_BYTES that the other end has not read, so writes can be
    partial."""

    peer: MemorySocket

    def __init__(self, network: MemoryNetwork, fd: int, name: tuple[str, int], peer_name: tuple[str, int]) -> None:
        self.fd = fd
        self.name = name
        self.peer_name = peer_name
        self.host = name[0]
        self.peer_host = peer_name[0]
        self.broken = False
        self._network = network
        self._received = bytearray()
        self._ended = False  # the peer's end-of-stream has arrived
        self._unread_by_peer = 0
        self._last_arrival_ms = 0.0
        self._shut = False
        self._closed = False

    def fileno(self) -> int:
        return self.fd

    def readiness(self) -> int:
        """Poll bits."""
        if self.broken:
            return POLL_IN | POLL_OUT | POLL_ERR | POLL_HUP
        bits = POLL_IN if self._received or self._ended else 0
        if self._unread_by_peer < MEMORY_WINDOW_BYTES:
            bits |= POLL_OUT
        return bits | (POLL_HUP if self._ended and self._shut else 0)

    def recv_into(self, buffer: memoryview, /) -> int:
        self._check()
        if not self._received:
            if self._ended:
                return 0
            raise BlockingIOError
        size = min(len(buffer), len(self._received))
        buffer[:size] = self._received[:size]
        del self._received[:size]
        self._network.carry(self.host, self.peer_host, 0, lambda: self.peer.acknowledged(size))
        return size

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        self._check()
        if self._shut:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        room = MEMORY_WINDOW_BYTES - self._unread_by_peer
        if room <= 0:
            raise BlockingIOError
        segment = bytes(data[:room])
        self._unread_by_peer += len(segment)
        self._carry(lambda: self.peer.arrived(segment))
        return len(segment)

    def sendmsg(self, buffers: list[Any], ancdata: tuple[()] = (), flags: int = 0, /) -> int:
        return self.send(b"".join(buffers))

    def sendfile(self, file: HasFileno, offset: int, count: int, /) -> int:
        self._check()
        room = MEMORY_WINDOW_BYTES - self._unread_by_peer
        if room <= 0:
            raise BlockingIOError
        data = os.pread(file.fileno(), min(count, room), offset)
        return self.send(data) if data else 0

    def shutdown(self, how: int, /) -> None:
        self._check()
        if not self._shut:
            self._shut = True
            self._carry(self.peer.ended)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._network.forget(self)
        if self._received:  # as a kernel does when bytes are thrown away
            self._carry(self.peer.broke)
        elif not self.broken and not self._shut:
            self._carry(self.peer.ended)

    def getsockopt(self, level: int, name: int, /) -> int:
        return errno.ECONNRESET if self.broken else 0

    def getsockname(self) -> Any:
        return self.name

    def getpeername(self) -> Any:
        return self.peer_name

    # What the network does to it.

    def arrived(self, segment: bytes) -> None:
        """Bytes of the peer are here. Nobody to take them: the peer is told."""
        if self._closed:
            self._carry(self.peer.broke)
        else:
            self._received += segment

    def ended(self) -> None:
        """The peer will send no more."""
        self._ended = True

    def broke(self) -> None:
        """The connection is reset."""
        self.broken = True

    def acknowledged(self, size: int) -> None:
        """The peer has read `size` bytes."""
        self._unread_by_peer -= size

    def _carry(self, arrive: Callable[[], None]) -> None:
        self._last_arrival_ms = self._network.carry(self.host, self.peer_host, self._last_arrival_ms, arrive)

    def _check(self) -> None:
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _refuse(answer: asyncio.Future[MemorySocket]) -> None:
    if not answer.done():
        answer.set_exception(ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))


def _accept(answer: asyncio.Future[MemorySocket], near: MemorySocket) -> None:
    if answer.done():  # gave up waiting
        near.close()
    else:
        answer.set_result(near)
