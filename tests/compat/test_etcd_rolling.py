"""Every broker of a cluster is restarted in turn under clients of every kind, in a process of their own (`rolling.py`).

librdkafka 2.16 may stop for good when a leader moves: while it handles an OffsetForLeaderEpoch answer its main thread
holds a partition's lock and waits for the client's, and a broker's thread the other way round
(`rd_kafka_toppar_handle_OffsetForLeaderEpoch`, `rd_kafka_toppar_delegate_to_leader`); the thread that called it may
hold Python's lock. Such a run is ended, told and repeated: it says nothing of the brokers. One in which a reader went
back to the beginning of what is being deleted is repeated too: that is open (docs/checked.md). No other is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.compat.rolling import OPEN

LIMIT_S = 180.0
"""A run takes some 40 s."""
TRIES = 3

pytestmark = [pytest.mark.compat, pytest.mark.timeout(TRIES * (LIMIT_S + 30))]


def ride(directory: Path) -> tuple[int | None, str]:
    """The exit status of a run, None for one that stood still, and what it wrote."""
    directory.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONFAULTHANDLER": "1"}
    with (directory / "run.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.compat.rolling", str(directory)],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            status = None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # and the brokers of a run that did not end
    process.wait(30)
    return status, (directory / "run.log").read_text(errors="replace")


def test_every_broker_is_restarted_under_clients_of_every_kind(tmp_path: Path) -> None:
    for number in range(TRIES):
        status, written = ride(tmp_path / f"try-{number}")
        if status is not None and status >= 0 and status != OPEN:
            break
        print(
            f"try {number} was ended: {'it stood still' if status is None else f'status {status}'}\n{written[-3000:]}"
        )
    assert status == 0, written[-6000:]
    print(written[-1000:])
