"""What a broker does by itself, again and again: retention, flushes, checkpoints, forgetting.

    log.retention.check.interval.ms                  retention, expired producers, files whose delete delay is over
    log.flush.scheduler.interval.ms                  flushes due by flush.ms (when set lower than never)
    log.cleaner.backoff.ms                           compaction, where a log is dirty enough
    log.flush.offset.checkpoint.interval.ms          recovery points, log starts and high watermarks
    log.flush.start.offset.checkpoint.interval.ms    log starts

Of these `log.cleaner.backoff.ms` may be altered live, as in Kafka: the next wait is as long as it says then.
An idle broker wakes only for these. A round over all logs is cut into turns, and requests are answered between them.
Each round is told the disk's failures and goes on: the next round tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from tailrace.base.clock import Clock
from tailrace.base.errors import StorageError
from tailrace.base.limits import ROUND_PAUSE_MS
from tailrace.cluster.settings import BrokerSettings
from tailrace.log.logs import Logs
from tailrace.net.timers import Timer, TimingWheel
from tailrace.node.cleaning import Cleaner
from tailrace.node.turns import take_turn

_log = logging.getLogger("tailrace.node")

NEVER_MS = 24 * 3600 * 1000
"""Intervals longer than this mean never (Kafka's is 2^63-1); it is looked at again once a day."""

DOOMED_CHECK_MS = 30_000
"""How often files whose delete delay is over are looked for."""


class Upkeep:
    """The periodic work of one broker, on the loop's timing wheel."""

    def __init__(
        self, logs: Logs, cleaner: Cleaner, settings: BrokerSettings, timers: TimingWheel, clock: Clock
    ) -> None:
        self._logs = logs
        self._cleaner = cleaner
        self._settings = settings
        self._timers = timers
        self._clock = clock
        self._running: list[Timer] = []

    def start(self) -> None:
        """Schedule everything, each for when its interval is over for the first time."""
        self._every("log.retention.check.interval.ms", self._in_turns(self._logs.retention_steps))
        self._every("log.cleaner.backoff.ms", self._in_turns(self._cleaner.steps))
        self._every("log.flush.scheduler.interval.ms", self._in_turns(self._logs.flush_due_steps))
        self._every("log.flush.offset.checkpoint.interval.ms", self._in_turns(self._logs.checkpoint_steps))
        self._every("log.flush.start.offset.checkpoint.interval.ms", self._logs.write_log_start_offsets)
        self._again(lambda: DOOMED_CHECK_MS, self._in_turns(self._logs.removal_steps))

    def stop(self) -> None:
        """Cancel everything."""
        for timer in self._running:
            timer.cancel()
        self._running.clear()

    def _in_turns(self, begin: Callable[[], Iterator[object]]) -> Callable[[], bool]:
        """Work that does as many steps of a round as fit into a turn, and answers whether the round goes on."""
        steps: Iterator[object] | None = None

        def turn() -> bool:
            nonlocal steps
            steps, round_ = None, steps or begin()
            goes_on = take_turn(round_, self._clock)
            if goes_on:
                steps = round_
            return goes_on

        return turn

    def _every(self, setting: str, work: Callable[[], object]) -> None:
        self._again(lambda: max(self._settings.integer(setting), 1), work)

    def _again(self, interval_ms: Callable[[], int], work: Callable[[], object]) -> None:
        def run() -> None:
            goes_on = False
            try:
                goes_on = interval_ms() <= NEVER_MS and work() is True
            except StorageError as error:
                _log.error("upkeep failed and will be tried again: %s", error)
                self._logs.on_upkeep_error(error)
            timer.reset(ROUND_PAUSE_MS if goes_on else min(interval_ms(), NEVER_MS))

        timer = self._timers.schedule(min(interval_ms(), NEVER_MS), run)
        self._running.append(timer)
