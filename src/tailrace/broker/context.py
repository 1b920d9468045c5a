"""Who asks, and how: what a handler knows about a request besides its body."""

from __future__ import annotations

from typing import NamedTuple


class Peer(NamedTuple):
    """The two ends of a client's connection, fixed for its life."""

    connection_id: int
    client_host: str
    client_port: int
    local_host: str
    """The address the client dialled: advertised to it when no `advertised.listeners` is set."""
    local_port: int


class RequestContext(NamedTuple):
    """One request's surroundings."""

    peer: Peer
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    principal: str = "User:ANONYMOUS"

    @property
    def client_host(self) -> str:
        """The client's address, without its port."""
        return self.peer.client_host

    @property
    def connection_id(self) -> int:
        """Number of the connection, unique in this process."""
        return self.peer.connection_id

    @property
    def local_host(self) -> str:
        """The host the client dialled."""
        return self.peer.local_host

    @property
    def local_port(self) -> int:
        """The port the client dialled."""
        return self.peer.local_port
