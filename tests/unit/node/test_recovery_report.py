"""What an operator is told while logs are read after an unclean stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.base.clock import ManualClock
from tailrace.log.config import RecoveryStatus
from tailrace.node.recovery_report import INTERVAL_MS, RecoveryReport

MIB = 1 << 20


def test_a_short_recovery_says_nothing_and_a_long_one_says_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(0)
    report = RecoveryReport(clock)
    report(RecoveryStatus(Path("a-0"), 10 * MIB, 10 * MIB, 0, 7, True))
    report(RecoveryStatus(Path("b-0"), 1 * MIB, 900 * MIB, 0, -1, False))
    assert not caplog.records
    clock.advance(INTERVAL_MS)
    report(RecoveryStatus(Path("b-0"), 300 * MIB, 900 * MIB, 0, -1, False))
    report(RecoveryStatus(Path("b-0"), 301 * MIB, 900 * MIB, 0, -1, False))
    [line] = [record.getMessage() for record in caplog.records]
    assert "b-0 at 300 of 900 MiB" in line and "1 logs, 10 MiB" in line


def test_what_was_cut_is_said(caplog: pytest.LogCaptureFixture) -> None:
    RecoveryReport(ManualClock(0))(RecoveryStatus(Path("a-0"), 10, 14, 4, 7, True))
    [line] = [record.getMessage() for record in caplog.records]
    assert "a-0" in line and "4 bytes" in line and "offset 7" in line
