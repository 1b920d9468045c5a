"""A loop, its engine and what tests of real sockets need around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tailrace.net.loop import (
    Address,
    Connection,
    EngineLoop,
    Listener,
    ListenOptions,
    StreamHandler,
    new_event_loop,
)
from tailrace.net.poller import Poller

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


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not reached"
        await asyncio.sleep(0.002)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
