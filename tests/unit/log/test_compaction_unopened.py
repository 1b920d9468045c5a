"""Logs that nobody asked for since a clean end: the dirty ones are opened for the cleaner, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.compaction_support import COMPACTED, Compacted
from tests.support.log_support import PARTITION

from tailrace.cluster.settings import BrokerSettings
from tailrace.log.compaction.unopened import may_be_due
from tailrace.log.config import LogConfig
from tailrace.log.logs import Logs
from tailrace.node.cleaning import Cleaner

KEY = b"k"


def restarted(compacted: Compacted, config: LogConfig = COMPACTED) -> Logs:
    assert compacted.logs.shut_down()
    logs = Logs([compacted.directory], compacted.env, lambda topic: config)
    logs.load_all()
    assert logs.is_unopened(PARTITION)
    return logs


def opened(logs: Logs) -> bool:
    for _ in logs.opening_steps(may_be_due):
        pass
    return not logs.is_unopened(PARTITION)


@pytest.fixture
def compacted(tmp_path: Path) -> Compacted:
    made = Compacted(tmp_path)
    for number in range(3):
        made.append((KEY, b"%d" % number * 50))
    return made


def test_a_log_with_one_segment_has_nothing_to_clean(compacted: Compacted) -> None:
    assert not opened(restarted(compacted))


def test_a_log_that_was_left_dirty_is_cleaned_without_anybody_asking_for_it(compacted: Compacted) -> None:
    compacted.log.roll()
    logs = restarted(compacted)
    cleaner = Cleaner(logs, compacted.env, BrokerSettings())
    for _ in cleaner.steps():
        pass
    log = logs.get(PARTITION)
    assert log is not None and log.first_dirty_offset == 3
    assert [segment.base_offset for segment in log.segments] == [0, 3]
    assert len(list(log.segments.batches_from(0))) == 1


def test_only_the_first_tick_looks(compacted: Compacted, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []
    monkeypatch.setattr("tailrace.log.compaction.unopened.may_be_due", lambda *each: looks.append(each))
    settings = BrokerSettings({"log.cleaner.enable": "false"})
    logs = restarted(compacted)
    for disabled, enabled in ((True, 0), (False, 1)):
        cleaner = Cleaner(logs, compacted.env, settings if disabled else BrokerSettings())
        for _ in range(3):
            for _ in cleaner.steps():
                pass
        assert len(looks) == enabled


def test_what_was_cleaned_to_its_end_stays_unopened(compacted: Compacted) -> None:
    compacted.clean()
    assert not opened(restarted(compacted))


def test_what_is_not_dirty_enough_stays_unopened_unless_it_may_be_overdue(compacted: Compacted) -> None:
    compacted.clean()
    compacted.append((KEY, b"x"))
    compacted.log.roll()
    lazy = replace(COMPACTED, min_cleanable_dirty_ratio=0.99)
    logs = restarted(compacted, lazy)
    assert not opened(logs)
    compacted.logs = logs
    assert opened(restarted(compacted, replace(lazy, max_compaction_lag_ms=1)))


def test_a_log_that_is_not_compacted_stays_unopened(compacted: Compacted) -> None:
    compacted.log.roll()
    assert not opened(restarted(compacted, LogConfig()))
