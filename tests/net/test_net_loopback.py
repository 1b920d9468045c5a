"""The engine on real loopback sockets: what the kernel does, not what we think it does."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace.net.loop import (
    Address,
    Connection,
    ConnectionOptions,
    EngineLoop,
    FileRange,
    Listener,
    ListenOptions,
    StreamHandler,
    new_event_loop,
    running_engine,
)
from tailrace.net.poller import EpollPoller, Poller, SelectorsPoller

V4 = Address("127.0.0.1")


class Echo(StreamHandler):
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.errors: list[OSError | None] = []
        self.writable = 0

    def on_data(self, data: memoryview) -> int:
        self.connection.write((data,))
        return len(data)

    def on_eof(self) -> None:
        self.connection.close_after_flush()

    def on_writable(self) -> None:
        self.writable += 1

    def on_closed(self, error: OSError | None) -> None:
        self.errors.append(error)


class World:
    def __init__(self, poller: Poller) -> None:
        self.loop: EngineLoop = new_event_loop(poller)
        self.engine = self.loop.engine
        self.handlers: list[Any] = []

    def listen(
        self,
        handler: Callable[[Connection], Any] = Echo,
        address: Address = V4,
        options: ListenOptions = ListenOptions(),
    ) -> Listener:
        def make(connection: Connection) -> Any:
            self.handlers.append(handler(connection))
            return self.handlers[-1]

        return self.engine.listen(address, make, options)

    def run(self, main: Callable[[], Coroutine[Any, Any, None]], timeout: float = 30) -> None:
        async def all_of_it() -> None:
            await main()
            await self.engine.close()

        self.loop.run_until_complete(asyncio.wait_for(all_of_it(), timeout))


@pytest.fixture(params=[EpollPoller, SelectorsPoller])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param())
    yield world
    world.loop.close()


@pytest.fixture
def epoll_world() -> Iterator[World]:
    world = World(EpollPoller())
    yield world
    world.loop.close()


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not reached"
        await asyncio.sleep(0.002)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_echo_over_every_kind_of_address(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    unix = Address.unix(path)

    async def main() -> None:
        for address in (V4, Address("::1"), Address("localhost"), unix):
            listener = world.listen(address=address, options=ListenOptions(unix_mode=0o600))
            if listener.address.path is None:
                assert listener.address.port > 0
                reader, writer = await asyncio.open_connection(address.host, listener.address.port)
            else:
                assert Path(path).stat().st_mode & 0o777 == 0o600
                reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            listener.close()
        assert not Path(path).exists()

    world.run(main)


def test_wildcard_v6_serves_v4_too(epoll_world: World) -> None:
    async def main() -> None:
        port = epoll_world.listen(address=Address("::")).address.port
        for host in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()

    epoll_world.run(main)


def test_address_in_use_names_the_address(epoll_world: World) -> None:
    listener = epoll_world.listen()
    with pytest.raises(OSError, match=str(listener.address)) as caught:
        epoll_world.listen(address=listener.address)
    assert caught.value.errno == errno.EADDRINUSE
    listener.close()


def test_reuse_port_shares_one_port(epoll_world: World) -> None:
    options = ListenOptions(reuse_port=True)
    first = epoll_world.listen(options=options)
    other = World(EpollPoller())
    second = other.listen(address=first.address, options=options)
    assert second.address == first.address
    second.close()
    first.close()
    other.loop.close()


def test_both_ends_ours_with_big_payload_both_ways(world: World) -> None:
    payload = os.urandom(1 << 20) * 8
    got = bytearray()

    class Client(Echo):
        def on_data(self, data: memoryview) -> int:
            got.extend(data)
            return len(data)

    async def main() -> None:
        listener = world.listen()
        client = await world.engine.connect(listener.address, Client)
        assert client.peer_address[1] == listener.address.port
        client.write([payload[:100], memoryview(payload)[100:]])
        await until(lambda: len(got) == len(payload))
        assert got == payload
        assert client.bytes_in == client.bytes_out == len(payload)

    world.run(main)


def test_no_delay_is_set_at_both_ends(epoll_world: World) -> None:
    async def main() -> None:
        listener = epoll_world.listen()
        client = await epoll_world.engine.connect(listener.address, Echo)
        await until(lambda: epoll_world.handlers)
        for connection in (client, epoll_world.handlers[0].connection):
            assert connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    epoll_world.run(main)


def test_connect_refused_and_unresolvable(epoll_world: World) -> None:
    async def main() -> None:
        listener = epoll_world.listen()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await epoll_world.engine.connect(listener.address, Echo)
        before = open_descriptors()
        with pytest.raises(OSError):
            await epoll_world.engine.connect(Address("no-such-host.invalid", 1), Echo)
        assert open_descriptors() <= before

    epoll_world.run(main)


def test_reset_by_peer_is_told_once_and_frees_the_descriptor(world: World) -> None:
    async def main() -> None:
        listener = world.listen()
        before = open_descriptors()
        for while_paused in (False, True):
            sock = socket.create_connection(listener.address[:2])
            await until(lambda: len(world.engine.connections) == 1)
            handler = world.handlers[-1]
            if while_paused:
                handler.connection.pause_reading()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.send(b"x" * 10)
            sock.close()  # with linger 0: RST
            if while_paused and isinstance(world.loop.engine.selector.poller, SelectorsPoller):
                handler.connection.resume_reading()  # poll and kqueue tell only who asks
            await until(lambda: not world.engine.connections)
            assert len(handler.errors) == 1
        assert open_descriptors() == before

    world.run(main)


def test_writing_to_a_peer_that_is_gone_is_no_signal_and_no_exception(epoll_world: World) -> None:
    async def main() -> None:
        listener = epoll_world.listen()
        sock = socket.create_connection(listener.address[:2])
        await until(lambda: epoll_world.handlers)
        handler = epoll_world.handlers[0]
        handler.connection.pause_reading()
        sock.close()
        for _ in range(50):
            handler.connection.write([b"x" * 1000])
            await asyncio.sleep(0.001)
        await until(lambda: handler.errors)
        assert isinstance(handler.errors[0], ConnectionError)

    epoll_world.run(main)


def test_slow_reader_is_bounded_and_others_are_not_slowed(world: World) -> None:
    """A peer that sends and never reads: its queue stays bounded, another peer's echo goes on."""
    options = ListenOptions(connection=ConnectionOptions(high_water_bytes=200_000, low_water_bytes=50_000))

    async def main() -> None:
        listener = world.listen(options=options)
        slow = socket.create_connection(listener.address[:2])
        slow.setblocking(False)
        sent = 0
        for _ in range(400):
            try:
                sent += slow.send(b"s" * 65536)
            except BlockingIOError:
                pass
            await asyncio.sleep(0.001)
        server = world.handlers[0].connection
        assert server.above_high_water and server.queued_bytes < 200_000 + 256 * 1024 + 65536
        reader, writer = await asyncio.open_connection(*listener.address[:2])
        for _ in range(20):
            writer.write(b"fast")
            assert await asyncio.wait_for(reader.readexactly(4), 5) == b"fast"
        writer.close()
        received = 0
        while received < sent:
            try:
                received += len(slow.recv(1 << 20))
            except BlockingIOError:
                await asyncio.sleep(0.001)
        assert world.handlers[0].writable >= 1
        slow.close()

    world.run(main)


def test_half_close_both_ways(world: World) -> None:
    class Answers(Echo):
        def on_data(self, data: memoryview) -> int:
            return len(data)

        def on_eof(self) -> None:
            self.connection.write([b"all read"])
            self.connection.shutdown_write()

    async def main() -> None:
        listener = world.listen(Answers)
        reader, writer = await asyncio.open_connection(*listener.address[:2])
        writer.write(b"question")
        writer.write_eof()
        assert await reader.read() == b"all read"
        writer.close()
        await until(lambda: not world.engine.connections)

    world.run(main)


def test_last_answer_survives_a_close_with_bytes_unread(world: World) -> None:
    """A refused request behind which more was sent: the client must see the refusal, not a reset."""

    class Refuses(Echo):
        def on_data(self, data: memoryview) -> int:
            self.connection.pause_reading()
            world.engine.timers.schedule(50, self.refuse)
            return len(data)

        def refuse(self) -> None:
            self.connection.write([b"refused"])
            self.connection.close_after_flush()

    async def main() -> None:
        listener = world.listen(Refuses)
        sock = socket.create_connection(listener.address[:2])
        sock.settimeout(5)
        sock.sendall(b"x" * 20_000)
        await until(lambda: world.handlers and world.handlers[0].connection.paused)
        sock.sendall(b"x" * 20_000)
        await until(lambda: not world.engine.connections)
        assert sock.recv(100) == b"refused" and sock.recv(100) == b""
        sock.close()

    world.run(main)


def test_frames_of_every_size_arrive_whole(world: World) -> None:
    """Length-prefixed frames, with `want`: small ones many to a receive, one of 10 MB, cut anywhere by the kernel."""
    sizes = [0, 1, 100, 16_384, 10 * 1024 * 1024, 5, 65_536, 131_072, 131_073, 300_000, *range(200)]
    frames: list[tuple[int, int, int]] = []

    class Framed(Echo):
        calls = 0

        def on_data(self, data: memoryview) -> int:
            Framed.calls += 1
            position = 0
            while len(data) - position >= 4:
                size = int.from_bytes(data[position : position + 4], "big")
                if len(data) - position - 4 < size:
                    self.connection.want(4 + size)
                    break
                body = bytes(data[position + 4 : position + 4 + size])
                frames.append((size, len(set(body)), body[0] if body else 0))
                position += 4 + size
            return position

    async def main() -> None:
        listener = world.listen(Framed)
        _, writer = await asyncio.open_connection(*listener.address[:2])
        for index, size in enumerate(sizes):
            writer.write(size.to_bytes(4, "big") + bytes([index % 251]) * size)
        await until(lambda: len(frames) == len(sizes))
        assert frames == [(size, min(size, 1), index % 251 if size else 0) for index, size in enumerate(sizes)]
        assert world.handlers[0].connection.held_bytes == 0
        assert Framed.calls < 400
        writer.close()

    world.run(main)


def test_file_ranges_in_the_middle_of_an_answer(world: World, tmp_path: Path) -> None:
    path = tmp_path / "segment"
    content = os.urandom(6_000_000)
    path.write_bytes(content)
    file = path.open("rb")

    class Serves(Echo):
        def on_data(self, data: memoryview) -> int:
            self.connection.write([b"head", FileRange(file, 10, 5_000_000), b"middle", FileRange(file, 0, 3), b"tail"])
            self.connection.write([b"next"])
            return len(data)

    async def main() -> None:
        listener = world.listen(Serves)
        reader, writer = await asyncio.open_connection(*listener.address[:2])
        writer.write(b"?")
        writer.write_eof()
        expected = b"head" + content[10:5_000_010] + b"middle" + content[:3] + b"tail" + b"next"
        await asyncio.sleep(0.2)  # let the send buffer fill: the range is sent in pieces
        assert await reader.read() == expected
        writer.close()

    world.run(main)
    file.close()


def test_truncated_file_breaks_the_connection_instead_of_the_answer(epoll_world: World, tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"x" * 1000)

    async def main() -> None:
        with path.open("rb") as file:
            listener = epoll_world.listen()
            reader, writer = await asyncio.open_connection(*listener.address[:2])
            await until(lambda: epoll_world.handlers)
            handler = epoll_world.handlers[0]
            handler.connection.write([b"head", FileRange(file, 0, 2000)])
            assert len(await reader.read()) == 1004
            await until(lambda: handler.errors)
            assert handler.errors[0].errno == errno.EIO
            writer.close()

    epoll_world.run(main)


def test_idle_engine_never_wakes_up(epoll_world: World) -> None:
    """50 idle connections with cancelled timers: no wait returns, no CPU."""

    async def main() -> None:
        listener = epoll_world.listen()
        socks = [socket.create_connection(listener.address[:2]) for _ in range(50)]
        await until(lambda: len(epoll_world.handlers) == 50)
        for handler in epoll_world.handlers:
            handler.connection.set_read_deadline(50)
            handler.connection.set_read_deadline(None)
        waits = 0
        poller = epoll_world.engine.selector.poller
        real_wait = poller.wait

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(poller, name)

            def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
                nonlocal waits
                waits += 1
                return real_wait(timeout_s)

        epoll_world.engine.selector.poller = Counting()  # type: ignore[assignment]
        await asyncio.sleep(1.0)
        assert waits <= 3, "the sleep itself, and nothing else"
        for sock in socks:
            sock.close()

    epoll_world.run(main)


def test_other_threads_wake_it_at_once_and_in_order(world: World) -> None:
    seen: list[int] = []
    done = asyncio.Event()

    def work() -> None:
        time.sleep(0.1)
        for number in range(1000):
            world.engine.call_soon_threadsafe(lambda number=number: seen.append(number))
        world.engine.call_soon_threadsafe(done.set)

    async def main() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        world.engine.wake()
        await asyncio.wait_for(done.wait(), 5)
        thread.join()
        assert seen == list(range(1000))

    world.run(main)


def test_it_is_an_ordinary_asyncio_loop(world: World) -> None:
    """Servers, clients, subprocesses, signals, executors, readers, timers of asyncio, all on our selector."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def main() -> None:
        assert running_engine() is world.engine
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        server.close()
        await server.wait_closed()

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input()[::-1])", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate(b"olleh\n"))[0] == b"hello\n"
        assert process.returncode == 0

        got_signal = asyncio.Event()
        world.loop.add_signal_handler(signal.SIGUSR1, got_signal.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(got_signal.wait(), 5)
        world.loop.remove_signal_handler(signal.SIGUSR1)

        assert await asyncio.to_thread(lambda: 6 * 7) == 42
        assert await world.loop.run_in_executor(None, os.getpid) == os.getpid()

        one, other = socket.socketpair()
        readable = asyncio.Event()
        world.loop.add_reader(one.fileno(), readable.set)
        other.send(b"x")
        await asyncio.wait_for(readable.wait(), 5)
        assert world.loop.remove_reader(one.fileno())
        one.close()
        other.close()

        start = time.monotonic()
        called: list[float] = []
        world.loop.call_later(0.05, lambda: called.append(time.monotonic() - start))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.Event().wait()
        assert 0.05 <= called[0] < 0.09 or called[0] < 0.5

    world.run(main)


def test_asyncio_is_served_while_ours_are_busy(epoll_world: World) -> None:
    """The selector turns by itself, and still asyncio's timers and callbacks run in time."""

    async def main() -> None:
        listener = epoll_world.listen()
        stop = threading.Event()

        def hammer() -> None:
            with socket.create_connection(listener.address[:2]) as sock:
                while not stop.is_set():
                    sock.send(b"x")
                    sock.recv(10)

        thread = threading.Thread(target=hammer)
        thread.start()
        try:
            await until(lambda: epoll_world.handlers and epoll_world.handlers[0].connection.bytes_in > 10)
            lateness = []
            for _ in range(20):
                before = time.monotonic()
                await asyncio.sleep(0.01)
                lateness.append(time.monotonic() - before - 0.01)
            assert sorted(lateness)[10] < 0.05
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 5) == "done"
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)

    epoll_world.run(main)


def test_deadline_fires_in_time_on_a_real_clock(epoll_world: World) -> None:
    fired: list[float] = []

    class Patient(Echo):
        def on_opened(self) -> None:
            self.start = time.monotonic()
            self.connection.set_read_deadline(100)

        def on_deadline(self, direction: str) -> None:
            fired.append(time.monotonic() - self.start)

    async def main() -> None:
        listener = epoll_world.listen(Patient)
        reader, writer = await asyncio.open_connection(*listener.address[:2])
        await until(lambda: fired)
        assert 0.1 <= fired[0] < 0.2
        writer.write(b"still usable")
        assert await reader.readexactly(12) == b"still usable"
        writer.close()

    epoll_world.run(main)


def test_bound_of_connections_makes_the_next_one_wait(epoll_world: World) -> None:
    async def main() -> None:
        listener = epoll_world.listen(options=ListenOptions(max_connections=2))
        socks = [socket.create_connection(listener.address[:2]) for _ in range(3)]
        socks[2].setblocking(False)
        socks[2].send(b"third")
        await until(lambda: len(epoll_world.handlers) == 2)
        await asyncio.sleep(0.05)
        assert len(epoll_world.handlers) == 2
        socks[0].close()
        await until(lambda: len(epoll_world.handlers) == 3)
        assert await epoll_world.loop.sock_recv(socks[2], 10) == b"third"
        socks[1].close()
        socks[2].close()

    epoll_world.run(main)


@pytest.mark.slow
def test_ten_thousand_connects_and_disconnects_leave_nothing(epoll_world: World) -> None:
    """Orderly ends, resets, ends with unread bytes: no descriptor, no memory, no timer stays."""

    async def one(address: tuple[str, int], number: int) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await epoll_world.loop.sock_connect(sock, address)
            await epoll_world.loop.sock_sendall(sock, b"x" * (number % 7 * 1000 + 1))
            if number % 3 == 0:
                assert await epoll_world.loop.sock_recv(sock, 1)
            elif number % 3 == 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            sock.close()

    class Timed(Echo):
        def on_opened(self) -> None:
            self.connection.set_read_deadline(60_000)
            self.connection.set_write_deadline(60_000)

    def forgetful(connection: Connection) -> Timed:
        return Timed(connection)

    async def main() -> None:
        engine = epoll_world.engine
        listener = engine.listen(V4, forgetful)
        for start in range(0, 500, 50):
            await asyncio.gather(*(one(listener.address[:2], start + i) for i in range(50)))
        await until(lambda: not engine.connections)
        gc.collect()
        descriptors, resident = open_descriptors(), _resident_bytes()
        objects = len(gc.get_objects())
        for start in range(0, 10_000, 50):
            await asyncio.gather(*(one(listener.address[:2], start + i) for i in range(50)))
        await until(lambda: not engine.connections)
        assert open_descriptors() == descriptors
        assert len(engine.timers) == 0
        assert listener.connection_count == 0
        gc.collect()
        assert len(gc.get_objects()) - objects < 500
        assert _resident_bytes() - resident < 4 * 1024 * 1024

    epoll_world.run(main, timeout=100)


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
