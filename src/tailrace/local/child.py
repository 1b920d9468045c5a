"""The process of one broker of a local cluster, or of one worker: `tailrace serve`, told by its parent, that ends when
its parent does.

    stdin    one line of JSON (`Order`), then nothing: its end says that the parent is gone

On Linux the kernel also kills it when the thread that started it ends, which reaches a process that is stopped too.
It ends then as a crash does; what was acknowledged is recovered by the next start.
`python -m tailrace.local.child exec PROGRAM ARGUMENT...` becomes another program, of which the kernel takes care alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

from tailrace.net.address import Address
from tailrace.net.handler import ConnectionOptions
from tailrace.net.network import KernelNetwork
from tailrace.net.outbox import StreamSocket

_PR_SET_PDEATHSIG: Final = 1


class Order(NamedTuple):
    """What a broker is told. `routes`: (host, port, HOST:PORT instead) of each place it reaches by another way.
    `worker` and `shared_listen`: of one of several workers, its number, and where all of them listen besides."""

    listen: str
    data_dir: str
    settings: dict[str, str]
    routes: list[tuple[str, int, str]]
    worker: int = 0
    shared_listen: str | None = None

    def encode(self) -> bytes:
        """One line."""
        return json.dumps(self._asdict()).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Order:
        """What `encode` made."""
        return cls(**json.loads(line))


class RoutedNetwork(KernelNetwork):
    """The kernel's network, in which some places are reached at other addresses."""

    def __init__(self, routes: dict[tuple[str, int], Address]) -> None:
        self._routes = routes

    async def connect(self, address: Address, options: ConnectionOptions, timeout_ms: float) -> StreamSocket:
        instead = self._routes.get((address.host, address.port), address)
        return await super().connect(instead, options, timeout_ms)


def main(arguments: list[str]) -> Any:  # the exit status, or never
    """Be a broker, or another program."""
    _die_with_the_parent()
    if arguments[:1] == ["exec"]:
        os.execv(arguments[1], arguments[1:])
    order = Order.decode(sys.stdin.buffer.readline())
    Thread(target=_die_at_the_end_of_stdin, name="tailrace-parent", daemon=True).start()
    from tailrace.node.run import ServeOptions, serve  # after the line above: a parent that is gone is noticed first

    network = RoutedNetwork({(host, port): Address.parse(instead) for host, port, instead in order.routes})
    return serve(
        ServeOptions(
            order.listen, Path(order.data_dir), None, order.settings, network, order.shared_listen, order.worker
        )
    )


def _die_with_the_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _die_at_the_end_of_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
