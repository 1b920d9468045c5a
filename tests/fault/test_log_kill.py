"""A process that appends is killed at any moment, again and again, on the same data: all it acknowledged is there.

The child prints the last offset of each append after the append returned; the parent kills it and opens the log itself.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.log_support import open_log, read_batches

from tailrace.log.config import LogConfig

CONFIG = "LogConfig(segment_bytes=40_000, index_interval_bytes=500, flush_messages=64)"
CHILD = f"""
import sys
from pathlib import Path
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log
from tailrace.records.builder import build_batch
from tailrace.records.record import Record

log = Log.open(Path(sys.argv[1]), TopicPartition("topic", 0), {CONFIG}, LogEnvironment())
known = log.producer_states.get(5)
sequence = known.last_sequence + 1 if known else 0
while True:
    base = log.log_end_offset
    records = [Record(i, 1_700_000_000_000 + base + i, None, b"%d" % (base + i) * 20) for i in range(base % 4 + 1)]
    batch = build_batch(records, producer_id=5, producer_epoch=0, base_sequence=sequence)
    info = log.append_as_leader(memoryview(batch), 0)
    sequence += len(records)
    sys.stdout.write(f"{{info.last_offset}}\\n")
    sys.stdout.flush()
"""


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path) -> None:
    source = random.Random(7)
    directory = tmp_path / "topic-0"
    end = 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(directory)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(source.uniform(0.01, 0.25))
        child.send_signal(signal.SIGKILL)
        lines = [first, *child.stdout.read().split(b"\n")[:-1]]
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        acknowledged = int(lines[-1])
        assert acknowledged >= end
        log = open_log(directory, eval(CONFIG, {"LogConfig": LogConfig}))
        records = [record for batch in read_batches(log) for record in batch.records()]
        assert [r.offset for r in records] == list(range(log.log_end_offset)), "dense"
        assert all(r.value == b"%d" % r.offset * 20 for r in records)
        assert log.log_end_offset > acknowledged, "nothing that was acknowledged is lost"
        state = log.producer_states.get(5)
        assert state is not None
        assert (state.last_sequence, state.last_offset) == (log.log_end_offset - 1, log.log_end_offset - 1)
        end = log.log_end_offset
        log.abandon()
    assert len(list(directory.glob("*.log"))) > 1
