"""The console as a process of its own: listens, serves the application with uvicorn, ends on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from tailrace.base.clock import SystemClock
from tailrace.base.rand import SystemRandom
from tailrace.console.app import console_app
from tailrace.console.options import ConsoleOptions
from tailrace.net.address import Address
from tailrace.net.handler import ListenOptions
from tailrace.net.network import KernelNetwork

STOP_MAX_S: Final = 1
"""How long answers may take to leave when the process ends. Streams never end by themselves."""
IDLE_S: Final = 150
CONNECTIONS_MAX: Final = 200
"""Requests at once; beyond it 503. Browsers keep up to six, and a stream each tab."""


def uvicorn_config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves an application of ours: HTTP/1.1 by h11, no WebSocket, no logs of its own.

    Silent, because it reports each stream that the end of the process cuts off; failures of ours are logged by `app`.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_MAX_S,
        limit_concurrency=CONNECTIONS_MAX,
    )


def serve(options: ConsoleOptions, on_ready: Callable[[Address], None]) -> None:
    """Serve at `options.listen` until a signal. `on_ready` is told the address with its port. Raises OSError."""
    sock, address = KernelNetwork().listen(Address.parse(options.listen), ListenOptions())
    options = dataclasses.replace(options, listen=str(address))

    async def run() -> None:
        app = console_app(options, SystemClock(), SystemRandom())
        server = _Server(uvicorn_config(app), lambda: on_ready(address))
        await server.serve(sockets=[sock])  # type: ignore[list-item] # a socket.socket: net alone may say so

    with asyncio.Runner() as runner:
        runner.run(run())


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on a signal, without raising it again as uvicorn would: it is a clean end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        yield

    def _on_signal(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        self._on_started()
