"""Lag of every group over the last hour, kept in memory while somebody uses the console.

A series is an array of pairs (time, lag), 16 bytes a point: bounded by LAG_SERIES_MAX * LAG_KEPT_MS / LAG_INTERVAL_MS.
Invariant: times of a series rise. Where a sample fails there is a gap, and the next one is taken in its turn.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import OffsetSpec

from tailrace.base.clock import Clock
from tailrace.base.errors import TailraceError
from tailrace.console.group_listing import list_groups
from tailrace.console.group_questions import Place, Places, committed_offsets
from tailrace.console.kafka import KafkaCluster
from tailrace.console.limits import LAG_GROUPS_MAX, LAG_IDLE_MS, LAG_INTERVAL_MS, LAG_KEPT_MS, LAG_SERIES_MAX

_POINTS_MAX: Final = LAG_KEPT_MS // LAG_INTERVAL_MS
_AT_ONCE: Final = 8
_log = logging.getLogger("tailrace.console")


class LagHistory:
    """The lags of one cluster's groups. `wanted` begins sampling; it ends LAG_IDLE_MS after the last time."""

    def __init__(self, kafka: KafkaCluster, clock: Clock) -> None:
        self._kafka = kafka
        self._clock = clock
        self._series: dict[tuple[str, Place], array[int]] = {}
        self._totals: dict[str, array[int]] = {}
        self._is_truncated = False
        self._wanted_ms = 0.0
        self._sampling: asyncio.Task[None] | None = None
        self.total: int | None = None
        """Lag of all groups together at the last sample."""

    def wanted(self) -> None:
        """Somebody looks."""
        self._wanted_ms = self._clock.monotonic_ms()
        if self._sampling is None:
            self._sampling = asyncio.create_task(self._sample_while_wanted())

    def told(self, group: str, window_ms: int) -> dict[str, Any]:
        """The series of a group, as the API tells them."""
        since_ms = self._clock.wall_ms() - window_ms
        return {
            "interval_ms": LAG_INTERVAL_MS,
            "series": [
                {"topic": place[0], "partition": place[1], "points": list(_points(series, since_ms))}
                for (name, place), series in sorted(self._series.items())
                if name == group
            ],
            "total": list(_points(self._totals.get(group, array("q")), since_ms)),
            "is_truncated": self._is_truncated,
        }

    def add(self, lags: dict[str, Places]) -> None:
        """Take a sample: the lag of each group in each of its partitions."""
        now_ms = self._clock.wall_ms()
        self.total = sum(sum(places.values()) for places in lags.values())
        for group, places in lags.items():
            _append(self._totals.setdefault(group, array("q")), now_ms, sum(places.values()))
            for place, lag in places.items():
                series = self._series.get((group, place))
                if series is None:
                    if len(self._series) >= LAG_SERIES_MAX:
                        self._is_truncated = True
                        continue
                    series = self._series[group, place] = array("q")
                _append(series, now_ms, lag)
        self._forget(now_ms - LAG_KEPT_MS)

    def close(self) -> None:
        """Sample no more."""
        if self._sampling is not None:
            self._sampling.cancel()

    async def _sample_while_wanted(self) -> None:
        try:
            while self._clock.monotonic_ms() - self._wanted_ms < LAG_IDLE_MS:
                try:
                    self.add(await self._sample())
                except (TailraceError, KafkaException, TimeoutError) as error:
                    self.total = None
                    _log.info("lags cannot be had: %s", error)
                await asyncio.sleep(LAG_INTERVAL_MS / 1000)
        finally:
            self._sampling = None

    async def _sample(self) -> dict[str, Places]:
        listed = [each.group for each in await list_groups(self._kafka) if each.kind != "share"]
        self._is_truncated = len(listed) > LAG_GROUPS_MAX
        turns = asyncio.Semaphore(_AT_ONCE)

        async def committed(group: str) -> Places:
            async with turns:
                try:
                    return await committed_offsets(self._kafka, group)
                except TailraceError:  # it may have been deleted meanwhile
                    return {}

        found = await asyncio.gather(*(committed(each) for each in listed[:LAG_GROUPS_MAX]))
        ends = await self._kafka.offsets({place for each in found for place in each}, OffsetSpec.latest())
        return {
            group: {place: max(0, ends[place] - offset) for place, offset in offsets.items() if place in ends}
            for group, offsets in zip(listed, found, strict=False)
            if offsets
        }

    def _forget(self, before_ms: int) -> None:
        for key in [key for key, series in self._series.items() if series[-2] < before_ms]:
            del self._series[key]
        for group in [group for group, series in self._totals.items() if series[-2] < before_ms]:
            del self._totals[group]


def _append(series: array[int], now_ms: int, lag: int) -> None:
    series.extend((now_ms, lag))
    if len(series) > 2 * _POINTS_MAX:
        del series[:2]


def _points(series: array[int], since_ms: int) -> Iterator[tuple[int, int]]:
    for index in range(0, len(series), 2):
        if series[index] >= since_ms:
            yield series[index], series[index + 1]
