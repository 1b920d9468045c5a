"""Where to listen or connect: a TCP host and port, or the path of a unix socket."""

from __future__ import annotations

from typing import NamedTuple


class Address(NamedTuple):
    """`host` is a name, an IPv4 or an IPv6 address without brackets; port 0 picks a free one. `path` not None: a unix
    socket."""

    host: str
    port: int = 0
    path: str | None = None

    @classmethod
    def unix(cls, path: str) -> Address:
        """The unix socket at `path`."""
        return cls("", 0, path)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT`, `[V6]:PORT` or `unix:PATH`. Raises ValueError that names the text."""
        if text.startswith("unix:"):
            return cls.unix(text[5:])
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"{text!r}: an IPv6 address needs brackets, as in [::1]:9092")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{text!r}: expected HOST:PORT, [V6]:PORT or unix:PATH")
        return cls(host, int(port))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
