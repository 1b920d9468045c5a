"""Whether an address can be reached from here, and if not, why: its name, the way, or who answers.

Every client does the same: it asks a bootstrap address for the brokers, and then connects to what they advertise. That
the first works and the second does not is the classic trouble of Kafka in containers.
"""

from __future__ import annotations

import asyncio
import os
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """How far an attempt came."""

    REACHED = "reached"
    NAME_UNKNOWN = "name unknown"
    REFUSED = "refused"
    SILENT = "silent"
    FAILED = "failed"


class Reach(NamedTuple):
    """One attempt to connect. `words`: the system's own, for FAILED and NAME_UNKNOWN."""

    host: str
    port: int
    outcome: Outcome
    words: str = ""

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def try_to_reach(host: str, port: int, timeout_s: float) -> Reach:
    """Resolve, connect, and hang up. Raises nothing."""
    try:
        async with asyncio.timeout(timeout_s):
            try:
                await asyncio.get_running_loop().getaddrinfo(host, port)
            except (OSError, UnicodeError) as error:  # the latter: a name that is none
                words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                return Reach(host, port, Outcome.NAME_UNKNOWN, words.lower())
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Reach(host, port, Outcome.SILENT)
    except ConnectionRefusedError:
        return Reach(host, port, Outcome.REFUSED)
    except OSError as error:
        words = str(error) if error.errno is None else os.strerror(error.errno).lower()
        # Of several addresses of one name asyncio tells all refusals in one error without a number.
        refused = error.errno is None and "refused" in words.lower()
        return Reach(host, port, Outcome.REFUSED if refused else Outcome.FAILED, words)
    writer.close()
    return Reach(host, port, Outcome.REACHED)


def is_wildcard(host: str) -> bool:
    """Whether a listener there takes connections to every address of its machine."""
    return host.strip("[]") in ("", "0.0.0.0", "::", "0:0:0:0:0:0:0:0")
