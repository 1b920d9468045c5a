"""The watchdog and the self-dump of a broker's process: begun some time after the start, where they are asked for.
An embedded broker has neither: the process is not ours.

`loop.stall.report.ms`    a turn of the loop longer than this is told with the callback that holds it; 0: off
`profile.dump.dir`        where sudden rises leave a profile; empty: off
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tailrace.base.clock import Clock
from tailrace.base.disk import Disk
from tailrace.cluster.settings import BrokerSettings
from tailrace.net.loop import Engine
from tailrace.net.timers import Timer

if TYPE_CHECKING:
    from tailrace.node.self_dump import SelfDump
    from tailrace.observe.watchdog import Stall, Watchdog

_BEGIN_MS: Final = 1_000
"""A start pays for none of it, and a broker that lives shorter than this is not watched."""

_FRAMES: Final = 8
"""Frames of a held turn that are told."""

_log = logging.getLogger("tailrace.loop")


class Watching:
    """Both, for one broker. In the loop's thread."""

    def __init__(self, engine: Engine, settings: BrokerSettings, clock: Clock, disk: Disk) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._disk = disk
        self._timer: Timer | None = None
        self._watchdog: Watchdog | None = None
        self._self_dump: SelfDump | None = None

    def start(self) -> None:
        """Begin soon, where a setting asks for either."""
        if self._settings.integer("loop.stall.report.ms") or self._settings.text("profile.dump.dir"):
            self._timer = self._engine.timers.schedule(_BEGIN_MS, self._begin)

    def stop(self) -> None:
        """End both."""
        for part in (self._watchdog, self._self_dump):
            if part is not None:
                part.stop()
        if self._timer is not None:
            self._timer.cancel()
        self._watchdog = self._self_dump = None

    def _begin(self) -> None:
        # start-up time: nobody waits for these
        stall_ms = self._settings.integer("loop.stall.report.ms")
        if stall_ms:
            from tailrace.observe.watchdog import Watchdog

            selector = self._engine.selector
            wait: Any = type(selector.poller).wait  # Any: a function, as the protocol does not say
            self._watchdog = Watchdog(selector, wait.__code__, self._clock, _tell)
            self._watchdog.start(stall_ms)
        directory = self._settings.text("profile.dump.dir")
        if directory:
            from tailrace.node.self_dump import SelfDump

            self._self_dump = SelfDump(self._engine, self._clock, self._disk, Path(directory))
            self._self_dump.start()


def _tell(stall: Stall) -> None:
    computed = "" if stall.cpu_ms is None else f", of which it computed {stall.cpu_ms:.0f} ms"
    callback = stall.callback
    path = " < ".join(f"{frame.name}:{frame.line}" for frame in stall.stack[:_FRAMES])
    _log.warning(
        "the loop is held for %.0f ms%s by %s (%s:%d): %s",
        stall.blocked_ms, computed, callback.name, callback.file, callback.line, path,
    )  # fmt: skip
