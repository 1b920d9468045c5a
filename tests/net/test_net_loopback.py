"""Connections on real loopback sockets: what the kernel does, not what we think it does."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from pathlib import Path

import pytest
from loopback import V4, Echo, World, open_descriptors, until

from tailrace.net.loop import (
    Address,
    ConnectionOptions,
    FileRange,
    ListenOptions,
)
from tailrace.net.poller import EpollPoller, SelectorsPoller


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


def test_a_connection_given_away_lives_on_elsewhere(epoll_world: World) -> None:
    async def main() -> None:
        given: list[socket.socket] = []
        closed: list[OSError | None] = []

        class Giving(Echo):
            def on_data(self, data: memoryview) -> int:
                taken = self.connection.detach()
                assert isinstance(taken, socket.socket)
                given.append(taken)
                assert self.connection.closed
                return len(data)

            def on_closed(self, error: OSError | None) -> None:
                closed.append(error)

        listener = epoll_world.listen(Giving)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.address.port)
        writer.write(b"take me")
        await until(lambda: bool(closed))
        assert closed == [None]
        assert not epoll_world.engine.connections
        writer.write(b"more")
        loop = asyncio.get_running_loop()
        with given[0] as sock:
            assert await loop.sock_recv(sock, 100) == b"more"
            await loop.sock_sendall(sock, b"from there")
            assert await reader.readexactly(10) == b"from there"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    epoll_world.run(main)
