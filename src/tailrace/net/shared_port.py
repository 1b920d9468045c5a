"""A port that several processes of this host listen on (SO_REUSEPORT), held so that it is theirs from first to last.

Linux deals new connections over those that listen; other systems may give all to one of them. A process that dies
takes the connections with it that nobody had accepted.
Invariant: who holds the port does not listen, so no connection waits for him. Not its business: who listens.
"""

from __future__ import annotations

import socket

from tailrace.net.address import Address
from tailrace.net.handler import ListenOptions
from tailrace.net.network import KernelNetwork


class SharedPort:
    """Held from the making of it until `close`. Those who share it listen with `ListenOptions.reuse_port`."""

    def __init__(self, address: Address) -> None:
        """A TCP address with its port. Raises OSError, with the address in its text, where somebody listens there
        already, sharing or not."""
        try:
            check_free(address)  # which shares with nobody: holding it would succeed beside others who share
            self._socket = _bound(address)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error

    def close(self) -> None:
        """Let others have it."""
        self._socket.close()


def check_free(address: Address) -> None:
    """Raise OSError where one cannot listen at a TCP address, or somebody else does already."""
    sock, _ = KernelNetwork().listen(address, ListenOptions())
    sock.close()


def _bound(address: Address) -> socket.socket:
    family, _, _, _, target = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address.host in ("", "::") else 1)
        sock.bind(target)
    except BaseException:
        sock.close()
        raise
    return sock
