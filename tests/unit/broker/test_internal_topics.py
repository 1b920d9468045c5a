"""A topic the broker needs and cannot make: the client is told, and the log says why, once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from broker_bench import Bench

from tailrace.base.errors import ErrorCode
from tailrace.broker.handlers import find_coordinator
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest


@pytest.mark.parametrize(
    ("key_type", "setting", "value", "why"),
    [
        (0, "offsets.topic.segment.bytes", "16384", "at least 1048576"),
        (0, "offsets.topic.replication.factor", "3", "replication factor"),
        (1, "transaction.state.log.segment.bytes", "16384", "at least 1048576"),
        (1, "transaction.state.log.replication.factor", "3", "replication factor"),
    ],
)
def test_why_an_internal_topic_is_not_made_is_told_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key_type: int, setting: str, value: str, why: str
) -> None:
    bench = Bench(tmp_path, settings={setting: value})
    request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=["x"])
    with caplog.at_level(logging.ERROR, "tailrace.broker"):
        for _ in range(3):
            (answer,) = find_coordinator.handle(bench.services, bench.context(10, 4), request).coordinators
            assert answer.error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
            assert why in str(answer.error_message).lower()
    (logged,) = [record.getMessage().lower() for record in caplog.records]
    assert why in logged and ("__consumer_offsets", "__transaction_state")[key_type] in logged
