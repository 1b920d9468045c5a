"""One worker's process, over its lives: started, heard on its stdout until it serves, stopped, killed.

Invariants: it ends with the process that started it (`child`); it is started from the main thread, for on Linux it ends
with the thread that started it. What it logs goes to our stderr as it is, each line with its number.
It has a session of its own, so that Ctrl-C in the terminal reaches its parent alone, which ends it in order.
Not its business: when it is started again (`supervisor`).
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from contextlib import suppress
from typing import Final

from tailrace.base.errors import TailraceError
from tailrace.local.child import Order
from tailrace.local.processes import child_environment

READY: Final = b"tailrace ready kafka="


class NotServing(TailraceError):
    """A worker ended before it served; what was the matter it has said itself."""


class Worker:
    """One of several. One owner, one asyncio loop, that of the main thread."""

    def __init__(self, order: Order) -> None:
        self.number = order.worker
        self.ready_line = ""
        """What it said when it came to serve last."""
        self._order = order
        self._process: asyncio.subprocess.Process | None = None
        self._heard: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of its present or last life."""
        assert self._process is not None, "started"
        return self._process.pid

    @property
    def http(self) -> str:
        """Where it answers HTTP, as it said when it came to serve last; empty: nowhere."""
        found = re.search(r" http=(\S+)", self.ready_line)
        return found[1] if found else ""

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; return when it serves. Raises NotServing, and OSError where no process is to be had."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "tailrace.local.child", f"worker-{self.number}",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=child_environment(),
            start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended: there is nothing to hear
            process.stdin.write(self._order.encode())
            await process.stdin.drain()
        async for line in process.stdout:
            if line.startswith(READY):
                self.ready_line = line.decode().strip()
                self._heard = asyncio.ensure_future(_read_away(process.stdout))
                return
            sys.stderr.buffer.write(line)
        raise NotServing(f"worker {self.number} did not start: {exit_words(await process.wait())}")

    async def wait(self) -> int:
        """Its exit status, once it has ended; negative: of that signal."""
        assert self._process is not None, "started"
        return await self._process.wait()

    def ask_to_stop(self) -> None:
        """SIGTERM, without a wait. Nothing where it does not run."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, without a wait. Nothing where it does not run."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):  # it ended just now
                self._process.send_signal(number)


def exit_words(status: int) -> str:
    """How a process ended."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


async def _read_away(stdout: asyncio.StreamReader) -> None:
    """A worker says nothing more there; if it does, it must not wait for us."""
    while await stdout.read(4096):
        pass
