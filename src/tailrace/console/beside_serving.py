"""What the console's thread does beside a broker: uvicorn without a listener, given connections one by one.

Source: uvicorn's Server and H11Protocol, of which the parts used are those its own start uses.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tailrace.base.clock import SystemClock
from tailrace.base.rand import SystemRandom
from tailrace.console.app import console_app
from tailrace.console.beside import Beside
from tailrace.console.serving import uvicorn_config
from tailrace.net.outbox import StreamSocket


def serve_beside(beside: Beside) -> None:
    """Serve until the broker stops. Blocks: the thread's whole life."""
    with asyncio.Runner() as runner:
        runner.run(_serve(beside))


async def _serve(beside: Beside) -> None:
    app = console_app(beside.options, SystemClock(), SystemRandom(), beside.others())
    config = uvicorn_config(app)
    config.timeout_graceful_shutdown = 0  # the broker waits, and streams do not end by themselves
    await _Server(config, beside).serve(sockets=[])


class _Server(uvicorn.Server):
    """Takes connections instead of accepting them."""

    def __init__(self, config: uvicorn.Config, beside: Beside) -> None:
        super().__init__(config)
        self._beside = beside
        self._adopting: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()

        def adopt(sock: StreamSocket, begun: bytes) -> None:
            loop.call_soon_threadsafe(self._adopt, sock, begun)

        def end() -> None:
            self.should_exit = True

        self._beside.started(adopt, end)

    def _adopt(self, sock: Any, begun: bytes) -> None:
        def protocol() -> _Begun:
            return _Begun(self.config, self.server_state, self.lifespan.state, begun)

        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(protocol, sock))
        self._adopting.add(task)
        task.add_done_callback(self._adopted)

    def _adopted(self, task: asyncio.Task[Any]) -> None:
        self._adopting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            uvicorn.server.logger.warning("a connection was lost: %s", task.exception())


class _Begun(H11Protocol):
    """A connection of which something was read before it came here."""

    def __init__(self, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], begun: bytes) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state)
        self._begun = begun

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        begun, self._begun = self._begun, b""
        self.data_received(begun)
