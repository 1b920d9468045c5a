"""Where stream sockets come from: the kernel's, or another network's with the same contract (see `memory.py`).

Not its business: what happens on a socket once it exists.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any, Protocol

from tailrace.net.address import Address
from tailrace.net.handler import ConnectionOptions, ListenOptions
from tailrace.net.outbox import StreamSocket


class ListenSocket(Protocol):
    """The part of a listening `socket.socket` that is used; non-blocking."""

    def fileno(self) -> int: ...

    def accept(self) -> tuple[StreamSocket, Any]: ...

    def close(self) -> None: ...


class Network(Protocol):
    """Makes sockets. All of them are watched by the poller of one loop."""

    def listen(self, address: Address, options: ListenOptions) -> tuple[ListenSocket, Address]:
        """A listening socket and where it is, the port filled in. Raises OSError."""
        ...

    async def connect(self, address: Address, options: ConnectionOptions, timeout_ms: float) -> StreamSocket:
        """A connected socket. Raises OSError, TimeoutError among them."""
        ...


class KernelNetwork:
    """TCP over IPv4 and IPv6, and unix sockets."""

    def listen(self, address: Address, options: ListenOptions) -> tuple[ListenSocket, Address]:
        if address.path is not None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target: Any = address.path
        else:
            family, _, _, _, target = socket.getaddrinfo(
                address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if address.path is None:
                _set_listening(sock, address, options)
            _set_buffers(sock, options.connection)  # before listen: accepted sockets inherit them, and the window scale
            sock.bind(target)
            if address.path is not None and options.unix_mode is not None:
                os.chmod(address.path, options.unix_mode)  # noqa: PTH101 - see Listener.close
            sock.listen(options.backlog)
        except BaseException:
            sock.close()
            raise
        return sock, address if address.path is not None else Address(*sock.getsockname()[:2])

    async def connect(self, address: Address, options: ConnectionOptions, timeout_ms: float) -> StreamSocket:
        """Tries each address of a name in turn, each for `timeout_ms`."""
        failure: OSError = OSError(errno.EADDRNOTAVAIL, f"{address} has no address")
        for family, target in await _resolve(address):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                _set_buffers(sock, options)
                if options.local_host is not None and address.path is None:
                    sock.bind((options.local_host, 0))
                await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, target), timeout_ms / 1000)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure


async def _resolve(address: Address) -> list[tuple[socket.AddressFamily, Any]]:
    if address.path is not None:
        return [(socket.AF_UNIX, address.path)]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return [(family, target) for family, _, _, _, target in found]


def _set_listening(sock: socket.socket, address: Address, options: ListenOptions) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        # The wildcard serves IPv4 too, as a JVM's does.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address.host in ("", "::") else 1)


def _set_buffers(sock: socket.socket, options: ConnectionOptions) -> None:
    if options.send_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer_bytes)
    if options.receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer_bytes)
