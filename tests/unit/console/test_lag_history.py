"""Lag over time, within its bounds."""

from __future__ import annotations

import pytest

from tailrace.base.clock import ManualClock
from tailrace.console import lag_history
from tailrace.console.lag_history import LagHistory
from tailrace.console.limits import LAG_INTERVAL_MS, LAG_KEPT_MS


def history(clock: ManualClock) -> LagHistory:
    return LagHistory(None, clock)  # type: ignore[arg-type] # nothing is asked: samples are given


def test_an_hour_is_kept() -> None:
    clock = ManualClock(0)
    kept = history(clock)
    for number in range(500):
        kept.add({"g": {("a", 0): number, ("a", 1): 1}})
        clock.advance(LAG_INTERVAL_MS)
    told = kept.told("g", LAG_KEPT_MS)
    assert [each["partition"] for each in told["series"]] == [0, 1]
    points = told["series"][0]["points"]
    assert len(points) == LAG_KEPT_MS // LAG_INTERVAL_MS
    assert points[-1] == (499 * LAG_INTERVAL_MS, 499)
    assert told["total"][-1][1] == 500
    assert len(kept.told("g", 3 * LAG_INTERVAL_MS)["total"]) == 3
    assert kept.told("other", LAG_KEPT_MS)["series"] == []
    assert kept.total == 500


def test_groups_that_are_gone_are_forgotten() -> None:
    clock = ManualClock(0)
    kept = history(clock)
    kept.add({"gone": {("a", 0): 1}})
    clock.advance(LAG_KEPT_MS + 1)
    kept.add({"here": {("a", 0): 1}})
    assert kept.told("gone", LAG_KEPT_MS)["total"] == []
    assert not [key for key in kept._series if key[0] == "gone"]


def test_of_too_many_partitions_the_sum_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag_history, "LAG_SERIES_MAX", 3)
    kept = history(ManualClock(0))
    kept.add({"g": {("a", number): 1 for number in range(10)}})
    told = kept.told("g", LAG_KEPT_MS)
    assert (len(told["series"]), told["total"][0][1], told["is_truncated"]) == (3, 10, True)
