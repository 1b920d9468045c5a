"""What one group of 1,000 members over 10,000 partitions costs, and what other clients notice of it.

    python bench/bench_groups.py [--members N] [--partitions N] [--protocols classic,consumer]
                                 [--brokers tailrace,kafka] [--priority N] [--write FILE]

The members are raw requests from one process (`tests/harness/group_load.py`), a connection each, a heartbeat and a
commit of all their partitions every 2 s. Phases, each until every partition has one owner and all members have one
generation:

join      all members come at once
rest      10 s of heartbeats and commits
vanish    a tenth of them dies without a word (session timeout 10 s, which is a part of the figure)
static    as many static members come
roll      the static members restart one after the other
kill      ten more come, and the broker is killed 0.2 s later; from its being ready again
leave     a tenth leaves
all       everybody leaves

Of each: seconds, CPU seconds of the broker, and of a client beside it, which produces a record and fetches it every
5 ms in a process of its own: the worst and the 99th percentile of its round trips in milliseconds (the cores are shared
by all of them: `rest` says what the machine adds, `--priority -10` keeps other work out). RSS is the peak of the
process. Faults are what the witness noted: none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.harness.brokers import BrokerProcess, KafkaProcess, TailraceProcess  # noqa: E402
from tests.harness.group_load import Crowd, Plan  # noqa: E402

from rig import host  # noqa: E402

SETTINGS = {
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "2000",
    "broker.session.timeout.ms": "9000",  # Kafka fences itself when the machine is busy for longer
}
KINDS: dict[str, type[BrokerProcess]] = {"tailrace": TailraceProcess, "kafka": KafkaProcess}
DESCRIPTORS = 20_000
PHASE_MAX_S = 120.0
REST_S = 10.0
PARTITIONS_PER_REQUEST = 5_000
"""Kafka refuses 10,000 in one."""
PATIENCE = {"operation_timeout": 120, "request_timeout": 120}
NEWCOMERS = 10
KILL_AFTER_S = 0.2

PROBE = """
import json, sys, threading, time
from pathlib import Path
sys.path[:0] = [{root!r}, {source!r}]
from tests.node.served import RawClient
from tailrace.records.builder import build_batch
from tailrace.records.record import Record
from tailrace.wire.api import ApiKey
from tailrace.wire.messages import fetch, produce
host, port = {address!r}.rsplit(":", 1)
taken = []
def read():
    for _ in sys.stdin:
        global taken
        found, taken = taken, []
        found.sort()
        p99 = found[len(found) * 99 // 100] if found else 0.0
        print(json.dumps([len(found), p99 * 1000, (found or [0.0])[-1] * 1000]), flush=True)
    import os; os._exit(0)
threading.Thread(target=read, daemon=True).start()
batch = bytes(build_batch([Record(0, 1, None, b"x" * 100)]))
data = produce.TopicProduceData(name="probe", partition_data=[produce.PartitionProduceData(0, batch)])
offset = 0
while True:
    try:
        with RawClient((host, int(port))) as client:
            while True:
                begun = time.perf_counter()
                answer = client.ask(ApiKey.PRODUCE, 9, produce.ProduceRequest(None, 1, 5000, [data]))
                offset = answer.responses[0].partition_responses[0].base_offset
                part = fetch.FetchPartition(0, fetch_offset=offset, partition_max_bytes=1000)
                client.send(ApiKey.FETCH, 11, fetch.FetchRequest(
                    replica_id=-1, max_wait_ms=0, min_bytes=0, max_bytes=1000, session_epoch=-1,
                    topics=[fetch.FetchTopic(topic="probe", partitions=[part])]))
                client.receive_frame()
                taken.append(time.perf_counter() - begun)
                time.sleep(0.005)
    except (OSError, EOFError):
        time.sleep(0.05)
"""


class Probe:
    """The client beside the group."""

    def __init__(self, address: str, priority: int) -> None:
        script = PROBE.format(root=str(ROOT), source=str(ROOT / "src"), address=address)
        self._process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, priority)

    def take(self) -> dict[str, float]:
        """What it saw since it was last asked."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        count, p99_ms, worst_ms = json.loads(self._process.stdout.readline())
        return {"beside_count": count, "beside_p99_ms": p99_ms, "beside_worst_ms": worst_ms}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Watched:
    """A broker under a crowd, phase by phase."""

    def __init__(self, broker: BrokerProcess, probe: Probe, crowd: Crowd) -> None:
        self.broker = broker
        self.probe = probe
        self.crowd = crowd
        self.phases: dict[str, dict[str, float]] = {}
        self._cpu_s = 0.0
        self._begun_s = 0.0

    def begin(self) -> None:
        self.probe.take()
        self._cpu_s = self.cpu_s()
        self._begun_s = time.perf_counter()

    async def settled(self, name: str) -> None:
        """The phase ends when the group is stable."""
        await self.crowd.until_stable(PHASE_MAX_S)
        self.end(name)

    def end(self, name: str) -> None:
        seconds = time.perf_counter() - self._begun_s
        self.phases[name] = {"seconds": seconds, "broker_cpu_s": self.cpu_s() - self._cpu_s, **self.probe.take()}
        print(f"{self.broker.name} {self.crowd.plan.protocol} {name}: {self.phases[name]}", file=sys.stderr)

    def cpu_s(self) -> float:
        times = self._process().cpu_times()
        return times.user + times.system

    def rss_peak_mb(self) -> float:
        status = Path(f"/proc/{self._process().pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1000

    def _process(self) -> psutil.Process:
        assert self.broker.process is not None
        return psutil.Process(self.broker.process.pid)


def prefer(broker: BrokerProcess, priority: int) -> None:
    """Give all threads of the broker a priority of the scheduler's."""
    assert broker.process is not None
    for thread in Path(f"/proc/{broker.process.pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), priority)


async def measure(broker: BrokerProcess, probe: Probe, plan: Plan, members: int, priority: int) -> dict[str, Any]:
    """One group through every phase."""
    crowd = Crowd(plan)
    await crowd.prepare()
    watched = Watched(broker, probe, crowd)
    tenth = max(members // 10, 1)
    watched.begin()
    crowd.grow(members)
    await watched.settled("join")
    watched.begin()
    await asyncio.sleep(REST_S)
    watched.end("rest")
    watched.begin()
    await crowd.vanish(crowd.members[:tenth])
    await watched.settled("vanish")
    watched.begin()
    static = crowd.grow(tenth, "static", is_static=True)
    await watched.settled("static")
    watched.begin()
    for member in static:
        await crowd.restart(member)
    await watched.settled("roll")
    rss_mb = watched.rss_peak_mb()
    crowd.grow(NEWCOMERS)
    await asyncio.sleep(KILL_AFTER_S)
    broker.kill_and_restart()
    prefer(broker, priority)
    watched.begin()
    await watched.settled("kill")
    watched.begin()
    await crowd.leave(crowd.members[:tenth])
    await watched.settled("leave")
    watched.begin()
    await crowd.leave(list(crowd.members))
    watched.end("all")
    faults = crowd.witness.found()
    return {"phases": watched.phases, "rss_peak_mb": max(rss_mb, watched.rss_peak_mb()), "faults": faults[:10]}


def one(kind: type[BrokerProcess], directory: Path, protocol: str, options: argparse.Namespace) -> dict[str, Any]:
    """A fresh broker, and one group."""
    broker = kind(directory, SETTINGS)
    probe = None
    try:
        broker.start()
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        first = min(options.partitions, PARTITIONS_PER_REQUEST)
        for topic, partitions in (("wide", first), ("probe", 1)):
            admin.create_topics([NewTopic(topic, partitions)], **PATIENCE)[topic].result(120)
        if first < options.partitions:
            admin.create_partitions([NewPartitions("wide", options.partitions)], **PATIENCE)["wide"].result(120)
        del admin
        time.sleep(5.0)  # partitions are made in turns after the answer
        prefer(broker, options.priority)
        probe = Probe(broker.address, options.priority)
        plan = Plan(broker.address, "crowd", "wide", options.partitions, protocol)
        return asyncio.run(measure(broker, probe, plan, options.members, options.priority))
    finally:
        if probe is not None:
            probe.close()
        broker.kill()


def main() -> int:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--protocols", default="classic,consumer")
    parser.add_argument("--brokers", default="tailrace", help="tailrace, kafka or both, with a comma")
    parser.add_argument("--priority", type=int, default=0, help="of broker and probe; below 0 needs root")
    parser.add_argument("--write", type=Path, help="add the result to this JSON file")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    kinds: list[type[BrokerProcess]] = [KINDS[name] for name in options.brokers.split(",")]
    results: dict[str, dict[str, Any]] = {}
    for protocol in options.protocols.split(","):
        for kind in kinds:
            with tempfile.TemporaryDirectory(dir=os.environ.get("TAILRACE_BENCH_DIR")) as directory:
                results.setdefault(kind.name, {})[protocol] = one(kind, Path(directory), protocol, options)
    result = {"machine": host.facts(), "members": options.members, "partitions": options.partitions, "results": results}
    print(json.dumps(result, indent=2))
    if options.write is not None:
        known = json.loads(options.write.read_text()) if options.write.exists() else []
        options.write.write_text(json.dumps([*known, result], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
