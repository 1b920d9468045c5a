"""Compaction of the broker's logs: the settings `log.cleaner.*`, and the cleaner once there is something to clean.

The modules that clean are imported with the first log that has a sealed segment and is compacted: they cost 5 ms of
start-up and 1 MB, and most development brokers never need them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tailrace.base.limits import CLEANER_THREADS_MAX
from tailrace.cluster.settings import BrokerSettings
from tailrace.log.config import LogEnvironment
from tailrace.log.logs import Logs

if TYPE_CHECKING:
    from tailrace.log.compaction.cleaner import Cleaner as LogCleaner
    from tailrace.log.compaction.cleaner import CleanerSettings


class Cleaner:
    """Compacts the logs of one broker."""

    def __init__(self, logs: Logs, environment: LogEnvironment, settings: BrokerSettings) -> None:
        self._logs = logs
        self._environment = environment
        self._settings = settings
        self._cleaner: LogCleaner | None = None
        self._has_looked = False

    def steps(self) -> Iterator[None]:
        """Begin to clean what is dirty enough. To be run every `log.cleaner.backoff.ms`, in turns.

        The first time what was left dirty by the process before is looked for among the logs nobody asked for yet. One
        whose settings are altered later is met by retention, which opens those that compact and keeps them open.
        """
        if not self._has_looked and self._settings.boolean("log.cleaner.enable"):
            from tailrace.log.compaction.unopened import may_be_due

            self._has_looked = True
            yield from self._logs.opening_steps(may_be_due)
        self.tick()

    def tick(self) -> None:
        """Begin to clean what is dirty enough of the open logs."""
        if self._cleaner is None:
            if not any(log.config.compacts and len(log.segments) > 1 for log in self._logs):
                return
            from tailrace.log.compaction.cleaner import Cleaner as LogCleaner

            self._cleaner = LogCleaner(self._logs, self._environment, self._cleaner_settings)
        self._cleaner.tick()

    def stop(self) -> None:
        """Interrupt what is being cleaned; its thread ends within a batch."""
        if self._cleaner is not None:
            self._cleaner.stop()

    def _cleaner_settings(self) -> CleanerSettings:
        from tailrace.log.compaction.cleaner import CleanerSettings

        settings = self._settings
        return CleanerSettings(
            settings.boolean("log.cleaner.enable"),
            min(settings.integer("log.cleaner.threads"), CLEANER_THREADS_MAX),
            settings.integer("log.cleaner.dedupe.buffer.size"),
            settings.number("log.cleaner.io.buffer.load.factor"),
            settings.integer("log.cleaner.io.buffer.size"),
            settings.number("log.cleaner.io.max.bytes.per.second"),
        )
