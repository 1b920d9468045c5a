"""A real broker killed again and again under real clients: the history of what they were told must be right.

TAILRACE_KILLS says how often (10), TAILRACE_KILLS_SEED where to begin (1). A failing run is repeated with its seed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.harness.brokers import chosen_broker
from tests.history.checker import check
from tests.history.faults import deaths, die
from tests.history.model import Outcome, Read, Send
from tests.history.topics import BROKER_SETTINGS
from tests.history.workload import Workload

KILLS = int(os.environ.get("TAILRACE_KILLS", "10"))
SEED = int(os.environ.get("TAILRACE_KILLS_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(180 + 6 * KILLS)
def test_killed_under_load(tmp_path: Path) -> None:
    broker = chosen_broker()(tmp_path / "broker", BROKER_SETTINGS)
    broker.start()
    try:
        workload = Workload(broker.address, SEED)
        workload.create_topics()
        workload.start()
        for number, death in enumerate(deaths(SEED, KILLS)):
            print(f"{number}: {death}", flush=True)
            die(broker, death)
        workload.finish(broker.kill_and_restart)
        assert broker.stop() == 0
    finally:
        broker.kill()
    recorder = workload.recorder
    told = f"seed {SEED}, {KILLS} deaths"
    assert not recorder.fatal, (told, recorder.fatal[:5])
    anomalies = check(recorder.history)
    assert not anomalies, (told, len(anomalies), [str(anomaly) for anomaly in anomalies[:10]])
    written = broker.log_path.read_text(errors="replace")
    assert "Traceback" not in written, written[-4000:]
    sends = sum(1 for _, step in recorder.history.steps(Outcome.OK) if isinstance(step, Send))
    reads = sum(len(step.records) for _, step in recorder.history.steps(Outcome.OK) if isinstance(step, Read))
    unknown = sum(1 for _ in recorder.history.sends(Outcome.INFO))
    print(f"{told}: {sends} acknowledged, {unknown} unknown, {reads} records read")
    assert sends > 50 * KILLS and reads > sends, "the clients hardly worked"
