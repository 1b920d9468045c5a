"""Starts several workers, starts again what dies, and ends them all.

A worker that dies is started again after RESTART_FIRST_MS, and each time that it dies again soon after twice that, up
to RESTART_MAX_MS; the others go on. One line says that it died and how, one that it serves again.
A signal ends all of them at once, each as it ends alone; a second one kills what is left.
Invariant: when `run` has returned or raised, no worker runs. Not its business: what workers are told (`workers`), their
metadata (`serve_workers`).
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from tailrace.base.clock import Clock
from tailrace.local.worker import NotServing, Worker, exit_words

RESTART_FIRST_MS: Final = 100
RESTART_MAX_MS: Final = 30_000
RESTART_CALM_MS: Final = 60_000
"""A worker that served for so long is started again as quickly as one that never died."""

_IN_ORDER: Final = (0, -signal.SIGTERM)
"""Exit statuses of a worker that was asked to stop; the signal's is that of one that had only just been started."""

Result = TypeVar("Result")

_log = logging.getLogger("tailrace.workers")


class Supervisor:
    """Run once, in the main thread's loop."""

    def __init__(self, workers: Sequence[Worker], clock: Clock, stop_max_ms: float) -> None:
        """`stop_max_ms`: longest wait for the end of all after a signal, then they are killed."""
        self._workers = workers
        self._clock = clock
        self._stop_max_ms = stop_max_ms
        self._signals: asyncio.Queue[int] = asyncio.Queue()

    def listen_for_signals(self) -> None:
        """From now on SIGTERM and SIGINT end the run, also one that is yet to begin."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, number)

    async def run(self, on_ready: Callable[[], object]) -> int:
        """Start them, `on_ready()` once all serve, until a signal; the exit status, 0 when all stopped as they should.

        Raises NotServing or OSError where one does not come to serve.
        """
        stop = asyncio.ensure_future(self._signals.get())
        working = asyncio.ensure_future(self._work(on_ready))
        try:
            await asyncio.wait((stop, working), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()  # it only ends by what it raises
        finally:
            for task in (stop, working):
                task.cancel()
            await asyncio.gather(stop, working, return_exceptions=True)
            status = await self._end()
        return status

    async def _work(self, on_ready: Callable[[], object]) -> None:
        await _together([worker.start() for worker in self._workers])
        on_ready()
        await _together([self._keep(worker) for worker in self._workers])

    async def _keep(self, worker: Worker) -> None:
        """Have a worker run, for ever."""
        delay_ms = RESTART_FIRST_MS
        while True:
            began_ms = self._clock.monotonic_ms()
            how = exit_words(await worker.wait())
            if self._clock.monotonic_ms() - began_ms >= RESTART_CALM_MS:
                delay_ms = RESTART_FIRST_MS
            _log.error("worker %d ended (%s); it is started again in %g s", worker.number, how, delay_ms / 1000)
            await asyncio.sleep(delay_ms / 1000)
            delay_ms = min(2 * delay_ms, RESTART_MAX_MS)
            try:
                await worker.start()
            except NotServing:
                continue  # it has ended, and is waited for again
            except OSError as error:
                _log.error("worker %d cannot be started: %s", worker.number, error.strerror)
            else:
                _log.info("worker %d serves again, process %d", worker.number, worker.pid)

    async def _end(self) -> int:
        """End what runs; the exit status."""
        running = [worker for worker in self._workers if worker.is_running]
        if not running:
            return 0
        for worker in running:
            worker.ask_to_stop()
        ended = asyncio.ensure_future(_together([worker.wait() for worker in running]))
        again = asyncio.ensure_future(self._signals.get())
        limit_s = self._stop_max_ms / 1000
        await asyncio.wait((ended, again), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        for worker in running:
            if worker.is_running:
                _log.error("worker %d is killed before it has stopped; the next start recovers", worker.number)
                worker.kill()
        return 0 if all(status in _IN_ORDER for status in await ended) else 1


async def _together(work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of all. The first that raises ends the others, and it is raised when they have ended."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
