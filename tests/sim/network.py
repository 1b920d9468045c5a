"""Hosts and streams between them. A segment takes its time, a cut holds it until it is healed, a reset ends the stream.

Streams keep their order; segments of different streams overtake each other. Cuts are one way, from one host to another.
The engine, connections and sockets here stand in for `net`; the handlers and clients on top of them are the real ones.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.sim.process import Later, Process, Task, Timers
from tests.sim.timeline import Timeline

from tailrace.broker.services import CloseConnection
from tailrace.net.address import Address
from tailrace.net.handler import CLIENT_OPTIONS, ConnectionOptions, FileRange
from tailrace.net.limits import CONNECT_TIMEOUT_MS
from tailrace.wire.primitives import DecodeError

Pair = tuple[str, str]


class SimNetwork:
    """Links, listeners and streams."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.delay_ms = 1.0
        self.jitter_ms = 4.0
        self.slow: dict[Pair, float] = {}
        """Further delay of a link, in ms."""
        self._cuts: dict[Pair, int] = {}
        """Links that let nothing through, and how many cuts there are on each."""
        self._held: dict[Pair, list[Callable[[], object]]] = {}
        self._listeners: dict[Address, tuple[Process, Callable[[SimConnection], Any]]] = {}
        self.ends: dict[SimConnection, None] = {}
        self.last_id = 0

    # shaping

    def cut(self, source: str, target: str) -> None:
        """Let nothing through one way."""
        self._cuts[source, target] = self._cuts.get((source, target), 0) + 1

    def heal(self, source: str, target: str) -> None:
        """Undo one `cut`; what was held is delivered."""
        pair = source, target
        if pair not in self._cuts:
            return
        self._cuts[pair] -= 1
        if not self._cuts[pair]:
            del self._cuts[pair]
            for arrive in self._held.pop(pair, []):
                self.timeline.at(self.delay_ms, arrive)

    def heal_all(self) -> None:
        """Undo every cut and slowness."""
        self.slow.clear()
        for pair in list(self._cuts):
            self._cuts[pair] = 1
            self.heal(*pair)

    def is_cut(self, source: str, target: str) -> bool:
        """Whether nothing gets through."""
        return (source, target) in self._cuts

    def reset(self, one: str, other: str) -> None:
        """Break every stream between two hosts."""
        for end in list(self.ends):
            if {end.process.host, end.peer_host} == {one, other}:
                end.arrive_reset()

    # carrying

    def carry(self, source: str, target: str, not_before_ms: float, arrive: Callable[[], object]) -> float:
        """Have `arrive` happen when the link has carried it. Answers when, so that the next is no earlier."""
        timeline = self.timeline
        delay_ms = self.delay_ms + timeline.uniform(0, self.jitter_ms) + self.slow.get((source, target), 0.0)
        arrival_ms = max(not_before_ms, timeline.now_ms + delay_ms)
        timeline.at(arrival_ms - timeline.now_ms, partial(self._arrived, (source, target), arrive))
        return arrival_ms

    def _arrived(self, pair: Pair, arrive: Callable[[], object]) -> None:
        if pair in self._cuts or self._held.get(pair):
            self._held.setdefault(pair, []).append(arrive)
        else:
            arrive()

    # streams

    def listen(self, process: Process, address: Address, factory: Callable[[SimConnection], Any]) -> None:
        """Accept streams in `process` until it is dead or `unlisten`."""
        self._listeners[address] = process, factory

    def unlisten(self, address: Address) -> None:
        """Accept no more."""
        self._listeners.pop(address, None)

    def dial(self, process: Process, address: Address, timeout_ms: float) -> Later:
        """Completes with a stream, or an OSError."""
        answer = Later()

        def syn() -> None:
            process_there, factory = self._listeners.get(address, (None, None))
            if process_there is None or factory is None:
                return
            if not process_there.is_alive:
                self.carry(address.host, process.host, 0, refuse)
            else:
                process_there.run(lambda: accept(process_there, factory))

        def refuse() -> None:
            answer.complete(error=ConnectionRefusedError(errno.ECONNREFUSED, "refused"))

        def accept(process_there: Process, factory: Callable[[SimConnection], Any]) -> None:
            near, far = SimConnection(self, process), SimConnection(self, process_there)
            near.join(far, (process.host, near.id), (address.host, address.port))
            far.start(factory(far))
            far.last_arrival_ms = self.carry(address.host, process.host, 0, lambda: process.run(lambda: opened(near)))

        def opened(near: SimConnection) -> None:
            if answer.done or not process.is_alive:
                near.close()
            else:
                answer.complete(near)

        self.carry(process.host, address.host, 0, syn)
        process.at(timeout_ms, lambda: answer.complete(error=TimeoutError(errno.ETIMEDOUT, "timed out")))
        return answer


class SimConnection:
    """One end of a stream, with the part of `net.connection.Connection` that handlers use."""

    peer: SimConnection

    queued_bytes = 0
    """What is written is on its way at once."""

    def __init__(self, network: SimNetwork, process: Process) -> None:
        network.last_id += 1
        self.id = network.last_id
        self.process = process
        self.closed = False
        self.last_arrival_ms = 0.0
        self.local_address: tuple[str, int] = ("", 0)
        self.peer_address: tuple[str, int] = ("", 0)
        self.peer_host = ""
        self._network = network
        self._handler: Any = None
        self._buffer = bytearray()
        self._is_reading = True
        network.ends[self] = None

    def join(self, far: SimConnection, here: tuple[str, int], there: tuple[str, int]) -> None:
        """The two ends of one stream."""
        self.peer, far.peer = far, self
        self.local_address, self.peer_address = here, there
        far.local_address, far.peer_address = there, here
        self.peer_host, far.peer_host = there[0], here[0]

    def start(self, handler: Any) -> None:
        self._handler = handler
        handler.on_opened()
        if self._buffer:
            self.process.post(self._offer)

    # what handlers call

    def write(self, parts: list[Any]) -> None:
        if not self.closed:
            data = b"".join(_bytes_of(part) for part in parts)
            self._carry(partial(self.peer.arrive, data))

    def want(self, size: int) -> None:
        """A hint, of no use here."""

    def set_read_deadline(self, deadline_ms: float) -> None:
        """Nobody is idle for so long."""

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self.process.post(self._offer)

    def close(self, error: OSError | None = None) -> None:
        if not self.closed:
            self._carry(self.peer.arrive_end)
            self._gone(error)

    def close_after_flush(self) -> None:
        self.close()

    # what the network does to it

    def die(self) -> None:
        """Its process was killed: the kernel resets the stream."""
        if not self.closed:
            self._gone(None)
            self._carry(self.peer.arrive_reset)

    def vanish(self) -> None:
        """Its machine lost power: nobody is told."""
        self.closed = True
        self._network.ends.pop(self, None)

    @property
    def turn_ms(self) -> float:
        """When the present turn began: no time passes within one."""
        return self.process.clock.monotonic_ms()

    def arrive(self, data: bytes) -> None:
        self._network.timeline.note(b"%d %d" % (self.id, len(data)))
        if self.closed:
            if self._network.timeline.chance(0.9):  # a machine that is up says so; one that is not does not
                self._carry(self.peer.arrive_reset)
            return
        self.process.run(partial(self._take, data))

    def arrive_end(self) -> None:
        if not self.closed:
            self.process.run(self._take_end)

    def arrive_reset(self) -> None:
        if not self.closed:
            error = ConnectionResetError(errno.ECONNRESET, "reset")
            self.process.run(lambda: self._gone(error))

    def _carry(self, arrive: Callable[[], object]) -> None:
        self.last_arrival_ms = self._network.carry(self.process.host, self.peer_host, self.last_arrival_ms, arrive)

    def _take(self, data: bytes) -> None:
        if not self.closed:
            self._buffer += data
            self._offer()

    def _take_end(self) -> None:
        if not self.closed and self._handler is not None:
            self._handler.on_eof()

    def _offer(self) -> None:
        if self.closed or not self._buffer or self._handler is None or not self._is_reading:
            return
        data, self._buffer = self._buffer, bytearray()
        try:
            consumed = self._handler.on_data(memoryview(data))
        except (DecodeError, CloseConnection):
            self.close()
            return
        self._buffer = data[consumed:] + self._buffer

    def _gone(self, error: OSError | None) -> None:
        if self.closed:
            return
        self.closed = True
        self._network.ends.pop(self, None)
        if self._handler is not None:
            self.process.post(partial(self._handler.on_closed, error))


def _bytes_of(part: Any) -> Any:
    if isinstance(part, FileRange):
        return part.file.pread(part.size, part.position)  # type: ignore[attr-defined]
    return part


class SimEngine:
    """The part of `net.loop.Engine` that clients and replication use."""

    def __init__(self, process: Process, network: SimNetwork) -> None:
        self._process = process
        self._network = network
        self.timers = Timers(process)
        self.selector = self
        self.loop = self

    def post(self, action: Callable[[], object]) -> None:
        self._process.post(action)

    def time(self) -> float:
        return self._process.clock.monotonic_ms() / 1000

    def create_task(self, coroutine: Any) -> Task:
        return Task(self._process, coroutine)

    async def connect(
        self,
        address: Address,
        factory: Callable[[SimConnection], Any],
        options: ConnectionOptions = CLIENT_OPTIONS,
        timeout_ms: float = CONNECT_TIMEOUT_MS,
    ) -> SimConnection:
        connection: SimConnection = await self._network.dial(self._process, address, timeout_ms)
        if connection.closed:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        connection.start(factory(connection))
        return connection
