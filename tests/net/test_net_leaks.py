"""Ten thousand connections come and go: nothing stays."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct

from loopback import V4, Echo, World, open_descriptors, resident_bytes, until

from tailrace.net.loop import (
    Connection,
)


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
        descriptors, resident = open_descriptors(), resident_bytes()
        objects = len(gc.get_objects())
        for start in range(0, 10_000, 50):
            await asyncio.gather(*(one(listener.address[:2], start + i) for i in range(50)))
        await until(lambda: not engine.connections)
        assert open_descriptors() == descriptors
        assert len(engine.timers) == 0
        assert listener.connection_count == 0
        gc.collect()
        assert len(gc.get_objects()) - objects < 500
        assert resident_bytes() - resident < 4 * 1024 * 1024

    epoll_world.run(main, timeout=100)
