"""An asyncio loop in a thread of its own, in which the links and the metadata of a local cluster live.

The thread also starts the processes, for on Linux they end with the thread that started them. It is a daemon.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

CALL_S: Final = 30.0
"""Longest wait for what is done in the thread; all of it is quick, unless the machine is not."""

Result = TypeVar("Result")


class LoopThread:
    """Runs until `close`. Its methods are for other threads."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, Result], timeout_s: float = CALL_S) -> Result:
        """The result of a coroutine that runs in the thread. Raises what it raised, or TimeoutError."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout_s), self._loop).result(timeout_s + 1)

    def call(self, function: Callable[[], Result]) -> Result:
        """The result of a plain function that runs in the thread."""

        async def run() -> Result:
            return function()

        return self.wait(run())

    def close(self) -> None:
        """End the loop and the thread, and what still runs in it."""
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result(CALL_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
