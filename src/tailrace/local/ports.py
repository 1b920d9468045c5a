"""Ports of this host that are free, and that nobody is given by chance while a broker is down.

A port from the range that the kernel gives to outgoing connections could be taken while its broker is being restarted,
even by a client that connects to it: then it would talk to itself. So ports are drawn from below that range.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from tailrace.base.errors import TailraceError
from tailrace.base.rand import Random

FIRST_PORT: Final = 20_000
LAST_PORT: Final = 32_000
"""Below what Linux (32768) and macOS (49152) give away by default."""
_RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
ATTEMPTS: Final = 1000


async def free_ports(host: str, count: int, random: Random) -> list[int]:
    """`count` different ports at which nobody listens. Raises TailraceError when they are not to be found."""
    found: list[int] = []
    last = _last_port()
    for _ in range(ATTEMPTS):
        if len(found) == count:
            return found
        port = random.integer(FIRST_PORT, last)
        if port not in found and await _is_free(host, port):
            found.append(port)
    raise TailraceError(f"found no {count} free ports from {FIRST_PORT} to {last} at {host}")


def _last_port() -> int:
    try:
        first_given = int(_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return LAST_PORT
    return min(LAST_PORT, first_given - 1) if first_given > FIRST_PORT + 1000 else LAST_PORT


async def _is_free(host: str, port: int) -> bool:
    try:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), host, port)
    except OSError:
        return False
    server.close()
    return True
