"""Workers: what one costs beside plain `tailrace serve`, what two cost, and what two bring where each has its own core.

    python bench/bench_workers.py [--megabytes N] [--rounds N] [--share PERCENT] [--write FILE]

    serve        `tailrace serve`
    workers-1    `tailrace serve --workers 1`
    workers-2    `tailrace serve --workers 2`: three processes, all of which are counted

They take turns, each fresh on fresh data. One topic of PARTITIONS partitions, batches of BATCH_RECORDS random records
of 1,000 bytes, acks=all; the load is librdkafka in this process. A client opens connections to every worker and asks
each what it is: some 30 ms of processor time in a run, which a short run shows as a higher cost for each GB.
CPU is that of all server processes, user and system.
With `--share` serve and workers-2 are measured again where each process that serves may use PERCENT of a core at most
(a control group of its own; Linux, root): so the throughput that more cores would give is seen on a machine that has
few, as long as load and servers together find what they may use.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from harness.brokers import TailraceProcess  # noqa: E402
from rig import host  # noqa: E402
from rig.process import Meter  # noqa: E402

RECORD_BYTES = 1000
PARTITIONS = 8
BATCH_RECORDS = 250
"""In every batch, so that what a batch costs does not depend on how busy the load is."""
TOPIC = "bench"
QUIET = {"log_level": 0}
REST_S = 5.0
WAIT_S = 60.0
GROUPS = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 50_000


class Serve(TailraceProcess):
    """`tailrace serve` with `--workers`, unless that is 0."""

    def __init__(self, directory: Path, workers: int) -> None:
        super().__init__(directory)
        self.workers = workers

    def _command(self) -> list[str]:
        return [*super()._command(), *(["--workers", str(self.workers)] if self.workers else [])]

    def pids(self) -> tuple[int, list[int]]:
        """The process that was started, and those that serve."""
        assert self.process is not None
        found = [int(entry.name) for entry in Path("/proc").iterdir() if _parent(entry) == self.process.pid]
        return self.process.pid, sorted(found) or [self.process.pid]


def _parent(entry: Path) -> int:
    with suppress(OSError, ValueError):
        if entry.name.isdecimal():
            return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


@contextmanager
def shares(pids: list[int], percent: float) -> Iterator[None]:
    """Give each process at most so much of a core."""
    groups = [GROUPS / f"tailrace-bench-{pid}" for pid in pids]
    try:
        for group, pid in zip(groups, pids, strict=True):
            group.mkdir()
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD_US * percent / 100)))
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for group, pid in zip(groups, pids, strict=True):
            with suppress(OSError):
                (GROUPS / "cgroup.procs").write_text(str(pid))
            with suppress(OSError):
                group.rmdir()


def produce(address: str, records: int) -> None:
    """Send `records` over all partitions in turn, and wait for all acknowledgements."""
    whole = {"linger.ms": 1000, "batch.num.messages": BATCH_RECORDS, "batch.size": 1_000_000}
    producer = Producer({"bootstrap.servers": address, "acks": "all", **whole, **QUIET})
    payload = os.urandom(RECORD_BYTES)
    for index in range(records):
        while True:
            try:
                producer.produce(TOPIC, payload, partition=index // BATCH_RECORDS % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.01)
        if index % 1000 == 0:
            producer.poll(0)
    assert producer.flush(WAIT_S * 4) == 0, "not everything was acknowledged"


def fetch(address: str, records: int) -> None:
    """Read all partitions from the start."""
    wide = {"fetch.max.bytes": 50_000_000, "max.partition.fetch.bytes": 2_000_000, "queued.min.messages": 1_000_000}
    # When its queue is full librdkafka waits a second by default, which two workers make it do sooner than one.
    wide["fetch.queue.backoff.ms"] = 10
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench", **wide, **QUIET})
    consumer.assign([TopicPartition(TOPIC, index, 0) for index in range(PARTITIONS)])
    seen = 0
    while seen < records:
        found = consumer.consume(10_000, WAIT_S)
        assert found, "the broker stopped sending"
        seen += len(found)
    consumer.close()


def measure(workers: int, megabytes: int, percent: float | None) -> dict[str, float]:
    """One fresh server: start, rest, produce, fetch."""
    with tempfile.TemporaryDirectory() as directory:
        server = Serve(Path(directory), workers)
        began = time.perf_counter()
        server.start()
        figures = {"start_ms": (time.perf_counter() - began) * 1000}
        try:
            figures |= _measured(server, megabytes, percent)
        finally:
            server.kill()
        return figures


def _measured(server: Serve, megabytes: int, percent: float | None) -> dict[str, float]:
    parent, serving = server.pids()
    every = {parent: Meter(parent), **{pid: Meter(pid) for pid in serving}}
    admin = AdminClient({"bootstrap.servers": server.address, **QUIET})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result(WAIT_S)
    records = megabytes * 1_000_000 // RECORD_BYTES
    figures = {}
    if percent is None:
        before = sum(meter.cpu_s() for meter in every.values())
        time.sleep(REST_S)
        rested = sum(meter.cpu_s() for meter in every.values()) - before
        figures = {"idle_cpu_percent": rested / REST_S * 100, "idle_rss_mb": sum(it.rss_mb() for it in every.values())}
    works: tuple[tuple[str, Callable[[str, int], None]], ...] = (("produce", produce), ("fetch", fetch))
    with shares(serving if percent is not None else [], percent or 0):
        for name, work in works:
            work(server.address, BATCH_RECORDS * PARTITIONS)  # connections are open, and leaders known
            cpu = {pid: meter.cpu_s() for pid, meter in every.items()}
            began = time.perf_counter()
            work(server.address, records)
            took_s = time.perf_counter() - began
            used = {pid: meter.cpu_s() - cpu[pid] for pid, meter in every.items()}
            figures[f"{name}_mb_per_s"] = megabytes / took_s
            figures[f"{name}_cpu_s_per_gb"] = sum(used.values()) / (megabytes / 1000)
            figures[f"{name}_least_of_even_share"] = (
                min(used[pid] for pid in serving) * len(serving) / sum(used.values())
            )
            if parent not in serving:
                figures[f"{name}_supervisor_cpu_s"] = used[parent]
    return figures


def main() -> int:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, metavar="PERCENT")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    kinds: dict[str, tuple[int, float | None]] = {"serve": (0, None), "workers-1": (1, None), "workers-2": (2, None)}
    if options.share:
        kinds |= {
            f"{name}, {options.share:g} % each": (kinds[name][0], options.share) for name in ("serve", "workers-2")
        }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for number in range(options.rounds):
        order = list(kinds) if number % 2 == 0 else list(reversed(kinds))
        for name in order:
            rounds[name].append(measure(kinds[name][0], options.megabytes, kinds[name][1]))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    medians = {
        name: {key: statistics.median(it[key] for it in found) for key in found[0]} for name, found in rounds.items()
    }
    result = {"machine": host.facts(), "megabytes": options.megabytes, "rounds": options.rounds, "medians": medians}
    print(json.dumps(result, indent=2))
    if options.write:
        options.write.write_text(json.dumps({**result, "every_round": rounds}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
