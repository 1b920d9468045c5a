"""A trace wraps functions of the whole process: one at a time, and not one of them stays wrapped."""

from __future__ import annotations

import pytest

from tailrace.base.clock import SystemClock
from tailrace.base.disk import RealFile
from tailrace.broker.dispatch import Dispatch
from tailrace.net.connection import Connection
from tailrace.net.listener import Listener
from tailrace.net.selector import PollerSelector
from tailrace.net.timers import TimingWheel
from tailrace.node.background import ThreadBackground
from tailrace.node.tracing import Tracing, TracingBusyError

OWNERS = (RealFile, Dispatch, Connection, Listener, PollerSelector, TimingWheel, ThreadBackground)


def test_everything_is_itself_again_and_one_trace_is_taken_at_a_time() -> None:
    before = [dict(vars(each)) for each in OWNERS]
    tracing = Tracing(SystemClock())
    try:
        assert all(dict(vars(each)) != was for each, was in zip(OWNERS, before, strict=True)), "each is wrapped"
        with pytest.raises(TracingBusyError):
            Tracing(SystemClock())
    finally:
        tracing.stop()
    assert [dict(vars(each)) for each in OWNERS] == before
    Tracing(SystemClock()).stop()
