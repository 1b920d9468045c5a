"""Every broker of a cluster is restarted in turn under clients of every kind, in a process of their own (`rolling.py`).

librdkafka 2.16 may stop for good when a leader moves: while it handles an OffsetForLeaderEpoch answer its main thread
holds a partition's lock and waits for the client's, and a broker's thread the other way round
(`rd_kafka_toppar_handle_OffsetForLeaderEpoch`, `rd_kafka_toppar_delegate_to_leader`); the thread that called it may
hold Python's lock. Such a run is ended, told and repeated: it says nothing of the brokers. One in which a reader went
back to the beginning of what is being deleted is repeated too: that is open (docs/checked.md). No other is.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.compat.rolling import OPEN
from tests.history.apart import run_in_session

LIMIT_S = 180.0
"""A run takes some 40 s."""
TRIES = 3

pytestmark = [pytest.mark.compat, pytest.mark.timeout(TRIES * (LIMIT_S + 30))]


def test_every_broker_is_restarted_under_clients_of_every_kind(tmp_path: Path) -> None:
    for number in range(TRIES):
        directory = tmp_path / f"try-{number}"
        directory.mkdir()
        status, written = run_in_session(["-m", "tests.compat.rolling", str(directory)], directory, LIMIT_S)
        if status >= 0 and status != OPEN:
            break
        print(f"try {number} was ended: status {status}\n{written[-3000:]}")
    assert status == 0, written[-6000:]
    print(written[-1000:])
