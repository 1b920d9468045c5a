"""One run: a broker, clients, faults by the seed, and what the checker says of the history.

run_schedule    own broker behind a proxy, everything that `faults` can do
run_workload    a broker that somebody else runs: the clients alone
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.harness.brokers import BrokerProcess, KafkaProcess, TailraceProcess, chosen_broker
from tests.history import hurt_broker, journal
from tests.history.checker import check
from tests.history.faults import Fault, Victim, schedule
from tests.history.model import Outcome, Read
from tests.history.planted import BUGS
from tests.history.process import Recorder
from tests.history.proxy import Proxy
from tests.history.slow_disk import Slowness
from tests.history.topics import BROKER_SETTINGS
from tests.history.workload import Workload

CLEAN_STOPS = {"tailrace": (0,), "kafka": (143,)}
"""A JVM ends by the signal that it was sent."""
ACKNOWLEDGED_LEAST = 200
"""A run in which clients did less has shown nothing."""


class HurtBroker(TailraceProcess):
    """Tailrace with a disk that can be slowed, perhaps with a bug planted."""

    environment: dict[str, str]

    def _command(self) -> list[str]:
        command = super()._command()
        assert command[1:3] == ["-m", "tailrace"]
        return [sys.executable, "-m", "tests.history.hurt_broker", *command[3:]]

    def _environment(self) -> dict[str, str]:
        inherited = super()._environment()
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([inherited["PYTHONPATH"], root])
        return {**inherited, "PYTHONPATH": path, **self.environment}


class Plan(NamedTuple):
    """A run, to be repeated as it was."""

    seed: int
    seconds: float
    bug: str = ""

    @property
    def command(self) -> str:
        """How to run it again."""
        what = f"--bug {self.bug}" if self.bug else f"--seconds {self.seconds:g}"
        return f"python -m tests.history --seed {self.seed} {what}"

    def schedule(self) -> list[Fault]:
        """What follows from the seed, or what brings the bug out."""
        return list(BUGS[self.bug].brought_out_by) if self.bug else schedule(self.seed, self.seconds)


class AnyPlan(Protocol):
    """A run, on one broker or on several."""

    @property
    def seed(self) -> int: ...
    @property
    def bug(self) -> str: ...
    @property
    def command(self) -> str: ...


class Figures(NamedTuple):
    """What clients did in a run."""

    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    committed: int = 0
    aborted: int = 0
    unsettled: int = 0
    read: int = 0
    faults: int = 0

    def __add__(self, other: tuple[int, ...]) -> Figures:  # type: ignore[override]
        return Figures(*(a + b for a, b in zip(self, other, strict=True)))

    def __str__(self) -> str:
        return (
            f"{self.faults} faults; sends {self.acknowledged} acknowledged, {self.unknown} unknown; transactions "
            f"{self.committed} committed, {self.aborted} aborted, {self.unsettled} unknown; {self.read} records read"
        )


class Result(NamedTuple):
    """How a run went. `found` is empty where nothing is wrong; the rules that spoke are in `kinds`."""

    plan: AnyPlan
    figures: Figures
    found: list[str]
    kinds: frozenset[str]
    journal: Path
    took_s: float


def run_schedule(plan: Plan, directory: Path) -> Result:
    """Start a broker in `directory`, run, stop it. The history is kept there, and what the broker wrote."""
    began = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    proxy, slowness = Proxy(plan.seed), Slowness(directory / "slowness")
    broker = _broker(plan, directory, proxy.port)
    faults = plan.schedule()
    try:
        broker.start()
        proxy.target = broker.port
        workload = Workload(f"127.0.0.1:{proxy.port}", plan.seed)
        workload.create_topics()
        workload.start()
        victim = Victim(broker, proxy, slowness)
        for fault in faults:
            victim.strike(fault)
        workload.finish(broker.kill_and_restart)
        found = [] if broker.stop() in CLEAN_STOPS[broker.name] else ["the broker does not stop cleanly"]
    finally:
        broker.kill()
        proxy.close()
        slowness.close()
    written = broker.log_path.read_text(errors="replace")
    if "Traceback" in written:
        found.append(f"the broker's log has a traceback:\n{written[written.index('Traceback') :][:3000]}")
    return judge(plan, workload.recorder, found, directory, (len(faults), began))


def run_workload(plan: Plan, address: str, directory: Path) -> Result:
    """The clients alone, on a broker that has none of their topics."""
    began = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    workload = Workload(address, plan.seed)
    workload.create_topics()
    workload.start()
    time.sleep(plan.seconds)
    workload.finish(lambda: None)
    return judge(plan, workload.recorder, [], directory, (0, began))


def _broker(plan: Plan, directory: Path, port: int) -> BrokerProcess:
    settings = {**BROKER_SETTINGS, "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"}
    if chosen_broker() is KafkaProcess:
        return KafkaProcess(directory / "broker", settings)
    broker = HurtBroker(directory / "broker", settings)
    broker.environment = {hurt_broker.SLOWNESS: str(directory / "slowness"), hurt_broker.BUG: plan.bug}
    return broker


def judge(plan: AnyPlan, recorder: Recorder, found: list[str], directory: Path, ran: tuple[int, float]) -> Result:
    """What the checker says, besides what was `found` already. `ran`: how many faults, and when it began."""
    anomalies = check(recorder.history)
    found = found + recorder.fatal + [str(anomaly) for anomaly in anomalies]
    count, began = ran
    figures = figures_of(recorder, count)
    if figures.acknowledged < ACKNOWLEDGED_LEAST:
        found.append(f"the clients hardly worked: {figures}")
    kept = directory / "history.jsonl"
    journal.write(recorder.history, kept, plan.command)
    names = frozenset(anomaly.kind for anomaly in anomalies)
    return Result(plan, figures, found, names, kept, time.monotonic() - began)


def figures_of(recorder: Recorder, faults: int = 0) -> Figures:
    """What the clients did."""
    history = recorder.history
    sends = Counter(op.outcome for op, _ in history.sends())
    ends = Counter(op.outcome for op in history.ops if op.is_transaction)
    read = sum(len(step.records) for _, step in history.steps() if isinstance(step, Read))
    outcomes = (Outcome.OK, Outcome.FAIL, Outcome.INFO)
    return Figures(*(sends[each] for each in outcomes), *(ends[each] for each in outcomes), read, faults)
