"""Looks at the free space of the log directories, and makes room where it is short.

The more space there is, the later the next look: as late as a fast producer could have used it up. While a directory
is short, every look deletes what retention allows, without waiting for `file.delete.delay.ms`, and it is looked at
once a second: service resumes by itself. What was met between two looks is told by ENOSPC (`Logs.on_storage_error`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from tailrace.base.disk import VolumeSpace
from tailrace.base.errors import StorageError
from tailrace.base.limits import FIRST_SPACE_CHECK_MS, SPACE_CHECK_MAX_MS, SPACE_CHECK_MIN_MS
from tailrace.cluster.settings import BrokerSettings
from tailrace.log.log_directory import LogDirectory, SpaceLevel
from tailrace.log.logs import Logs
from tailrace.net.timers import Timer, TimingWheel

_log = logging.getLogger("tailrace.node")

_BYTES_PER_MS: Final = 1_000_000
"""What a fast producer writes: 1 GB/s."""


class SpaceWatch:
    """The looks of one broker, on the loop's timing wheel."""

    def __init__(
        self, logs: Logs, settings: BrokerSettings, timers: TimingWheel, on_resumed: Callable[[], None]
    ) -> None:
        """`on_resumed` is called after a directory has space again."""
        self._logs = logs
        self._settings = settings
        self._timers = timers
        self._on_resumed = on_resumed
        self._timer: Timer | None = None
        logs.space.on_change = self._on_change

    def start(self) -> None:
        """Look by itself from now on, at once after the start for the first time."""
        self._timer = self._timers.schedule(FIRST_SPACE_CHECK_MS, self._run)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self, *, makes_reserve: bool = True) -> int:
        """Look now; answers in how many ms to look again.

        Without `makes_reserve` nothing is written: the look at start, which nobody should wait for. A broker that lives
        shorter than FIRST_SPACE_CHECK_MS leaves no reserve behind.
        """
        space = self._logs.space
        space.reserved_bytes = self._settings.integer("log.dir.reserved.bytes")
        headroom = space.check(makes_reserve=makes_reserve)
        if space.is_short:
            self._make_room()
            return SPACE_CHECK_MIN_MS
        return min(max(headroom // _BYTES_PER_MS, SPACE_CHECK_MIN_MS), SPACE_CHECK_MAX_MS)

    def _run(self) -> None:
        assert self._timer is not None
        self._timer.reset(self.look())

    def _make_room(self) -> None:
        try:
            self._logs.apply_retention()
            for directory in self._logs.directories.online:
                if directory.space is not SpaceLevel.ENOUGH:
                    self._logs.hasten_removal(directory)
            self._logs.remove_doomed_files()
        except StorageError as error:
            self._logs.on_upkeep_error(error)

    def _on_change(self, directory: LogDirectory, space: VolumeSpace) -> None:
        if directory.space is SpaceLevel.ENOUGH:
            _log.warning("log directory %s has space again: %d bytes free", directory.path, space.free)
            self._on_resumed()
            return
        what = "is full" if directory.space is SpaceLevel.NONE else f"has {space.free} bytes free"
        _log.error(
            "log directory %s %s: producing is refused, reading and deleting go on. Delete topics or records, lower "
            "retention, or enlarge the volume; it resumes by itself.",
            directory.path,
            what,
        )
        if self._timer is not None:
            self._timer.reset(SPACE_CHECK_MIN_MS)
