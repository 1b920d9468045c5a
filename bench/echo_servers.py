"""The echo servers that `bench_echo.py` compares. `python echo_servers.py KIND` prints its port and serves until
killed."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))


def announce(port: int) -> None:
    print(port, flush=True)


def ours() -> None:
    """A StreamHandler on the engine."""
    from tailrace.net.loop import Address, Connection, StreamHandler, new_event_loop

    class Echo(StreamHandler):
        __slots__ = ("connection",)

        def __init__(self, connection: Connection) -> None:
            self.connection = connection

        def on_data(self, data: memoryview) -> int:
            self.connection.write((data,))
            return len(data)

        def on_eof(self) -> None:
            self.connection.close_after_flush()

    loop = new_event_loop()
    announce(loop.engine.listen(Address("127.0.0.1"), Echo).address.port)
    loop.run_forever()


def ours_stream() -> None:
    """A coroutine for each connection, on the engine."""
    from tailrace.net.loop import Address, new_event_loop
    from tailrace.net.stream import Stream, serve

    async def echo(stream: Stream) -> None:
        while data := await stream.read(65536):
            await stream.write(data)

    loop = new_event_loop()
    announce(serve(loop.engine, Address("127.0.0.1"), echo).address.port)
    loop.run_forever()


def floor() -> None:
    """The least a Python program can do: epoll, read, write."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    announce(listener.getsockname()[1])
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    socks: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll(-1, 128):
            sock = socks.get(fd)
            if sock is None:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                socks[sock.fileno()] = sock
                epoll.register(sock.fileno(), select.EPOLLIN)
                continue
            try:
                data = sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if data:
                sock.send(data)
            else:
                epoll.unregister(fd)
                socks.pop(fd).close()


class EchoProtocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = transport.write  # type: ignore[attr-defined]  # uvloop's is no asyncio.Transport

    def data_received(self, data: bytes) -> None:
        self.write(data)


async def serve_protocol() -> None:
    server = await asyncio.get_running_loop().create_server(EchoProtocol, "127.0.0.1", 0)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def serve_streams() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def gevent_server() -> None:
    from gevent.server import StreamServer

    def echo(sock: socket.socket, _: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except ConnectionError:
            pass

    server = StreamServer(("127.0.0.1", 0), echo)
    server.start()
    announce(server.server_port)
    server.serve_forever()


def main() -> None:
    kind = sys.argv[1]
    if kind.startswith("uvloop"):
        import uvloop

        uvloop.run(serve_protocol() if kind.endswith("protocol") else serve_streams())
    elif kind.startswith("asyncio"):
        asyncio.run(serve_protocol() if kind.endswith("protocol") else serve_streams())
    else:
        {"ours": ours, "ours_stream": ours_stream, "floor": floor, "gevent": gevent_server}[kind]()


if __name__ == "__main__":
    main()
