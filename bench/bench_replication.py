"""What replicas cost: CPU of the leader and of each follower, and how long acks=all waits, with 1, 2 and 3 replicas.

    python bench/bench_replication.py [--megabytes N] [--batch BYTES] [--partitions N] [--rounds N] [--rate N]
                                      [--seconds N] [--idle N] [--write FILE]

Three brokers, each a process, and an etcd on one machine; broker 1 leads. Replication factors take turns, a new topic
each. Load: librdkafka in this process, 1,000-byte records, acks=all, idempotence off. `load` sends as fast as it
goes, in batches of up to `--batch` bytes; `rate` sends a record at a time, `--rate` a second, to one partition, and
reports the milliseconds to its acknowledgement.
CPU is user and system time of each broker process, in seconds for each GB of records.
The floor of a replication factor is the bare system calls for the same copies, as many processes at one time: each
replica receives, checks and writes, the leader sends its file to each follower (`rig/replica_floor.py`).
`--idle N` adds N partitions on two of the brokers that nobody writes to, and reports what that costs at rest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from bench_broker import server_cpu_s
from rig import host
from rig.replica_floor import replica_floor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.harness.etcd import EtcdCluster  # noqa: E402

RECORD_BYTES = 1000
QUIET = {"log_level": 0}
NODES = (1, 2, 3)
FACTORS = (1, 2, 3)
WAIT_S = 60.0
IDLE_S = 10.0
IDLE_WINDOWS = 9
PARTITIONS_PER_REQUEST = 2_000
SETTINGS = {
    "broker.session.timeout.ms": "20000",
    "log.retention.check.interval.ms": "3600000",
}


class Bench:
    """A cluster under measurement."""

    def __init__(self, cluster: EtcdCluster, batch_bytes: int, partition_count: int) -> None:
        self._cluster = cluster
        self._batch_bytes = batch_bytes
        self._partition_count = partition_count
        self._admin = AdminClient({"bootstrap.servers": cluster.servers(), **QUIET})
        self._count = 0

    def cpu_s(self) -> dict[int, float]:
        found = {}
        for node_id, broker in self._cluster.brokers.items():
            assert broker.process is not None
            found[node_id] = server_cpu_s(psutil.Process(broker.process.pid))
        return found

    def create(self, factor: int, partition_count: int = 1) -> str:
        """A topic that broker 1 leads."""
        self._count += 1
        topic = f"rf{factor}-{self._count}"
        wanted = NewTopic(
            topic, num_partitions=partition_count, replica_assignment=[list(NODES[:factor])] * partition_count
        )
        self._admin.create_topics([wanted])[topic].result(WAIT_S)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            partitions = self._admin.list_topics(topic, timeout=WAIT_S).topics[topic].partitions
            if partitions and all(it.leader == NODES[0] and len(it.isrs) == factor for it in partitions.values()):
                return topic
            time.sleep(0.05)
        raise AssertionError(f"{topic} is not led by broker {NODES[0]} with {factor} in sync")

    def delete(self, topic: str) -> None:
        self._admin.delete_topics([topic])[topic].result(WAIT_S)

    def producer(self, linger_ms: float) -> Producer:
        settings = {
            "acks": "all",
            "linger.ms": linger_ms,
            "batch.size": self._batch_bytes,
            "socket.nagle.disable": True,
        }
        return Producer({"bootstrap.servers": self._cluster.servers(NODES[0]), **settings, **QUIET})

    def load(self, factor: int, megabytes: int) -> dict[str, float]:
        """As fast as it goes."""
        topic = self.create(factor, self._partition_count)
        producer = self.producer(5)
        payload = os.urandom(RECORD_BYTES)
        producer.produce(topic, payload)
        assert producer.flush(WAIT_S) == 0, "the cluster does not answer"
        before, began = self.cpu_s(), time.perf_counter()
        for index in range(megabytes * 1_000_000 // RECORD_BYTES):
            while True:
                try:
                    producer.produce(topic, payload, partition=index % self._partition_count)
                    break
                except BufferError:
                    producer.poll(0.01)
            if index % 1000 == 0:
                producer.poll(0)
        assert producer.flush(WAIT_S) == 0, "not everything was acknowledged"
        took_s, after = time.perf_counter() - began, self.cpu_s()
        self.delete(topic)
        spent = {node_id: (after[node_id] - before[node_id]) / (megabytes / 1000) for node_id in NODES}
        followers = [spent[node_id] for node_id in NODES[1:factor]]
        return {
            "leader_cpu_s_per_gb": spent[NODES[0]],
            "follower_cpu_s_per_gb": statistics.mean(followers) if followers else 0.0,
            "all_cpu_s_per_gb": sum(spent.values()),
            "mb_per_s": megabytes / took_s,
        }

    def rate(self, factor: int, per_s: int, seconds: float) -> dict[str, float]:
        """A record at a time."""
        topic = self.create(factor)
        producer = self.producer(0)
        payload = os.urandom(RECORD_BYTES)
        taken_ms: list[float] = []

        def told(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            latency_s = message.latency()
            assert latency_s is not None
            taken_ms.append(latency_s * 1000)

        producer.produce(topic, payload)
        assert producer.flush(WAIT_S) == 0, "the cluster does not answer"
        before, began = self.cpu_s(), time.perf_counter()
        for index in range(int(per_s * seconds)):
            while (left_s := began + index / per_s - time.perf_counter()) > 0:
                producer.poll(left_s)
            producer.produce(topic, payload, on_delivery=told)
        assert producer.flush(WAIT_S) == 0, "not everything was acknowledged"
        after = self.cpu_s()
        self.delete(topic)
        taken_ms.sort()
        figures = {"p50_ms": taken_ms[len(taken_ms) // 2], "p99_ms": taken_ms[len(taken_ms) * 99 // 100]}
        figures["leader_us_per_record"] = (after[NODES[0]] - before[NODES[0]]) * 1e6 / len(taken_ms)
        others = sum(after[node_id] - before[node_id] for node_id in NODES[1:])
        figures["followers_us_per_record"] = others * 1e6 / len(taken_ms)
        return figures

    def idle(self, partitions: int) -> dict[str, float]:
        """Partitions on brokers 1 and 2, each leads half of them, and nobody writes."""
        placed = [[NODES[index % 2], NODES[1 - index % 2]] for index in range(partitions)]
        first = placed[:PARTITIONS_PER_REQUEST]
        self._admin.create_topics([NewTopic("idle", num_partitions=len(first), replica_assignment=first)])[
            "idle"
        ].result(WAIT_S)
        for begin in range(PARTITIONS_PER_REQUEST, partitions, PARTITIONS_PER_REQUEST):
            more = placed[begin : begin + PARTITIONS_PER_REQUEST]
            wanted = NewPartitions("idle", begin + len(more), more)
            self._admin.create_partitions([wanted])["idle"].result(WAIT_S)
        least: dict[str, float] = {}
        for _ in range(IDLE_WINDOWS):  # replicas are opened in turns after the answer: the quietest window counts
            before = self.cpu_s()
            time.sleep(IDLE_S)
            after = self.cpu_s()
            found = {f"broker_{each}_cpu_percent": (after[each] - before[each]) / IDLE_S * 100 for each in NODES}
            if not least or sum(found.values()) < sum(least.values()):
                least = found
        return least


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Every round of every replication factor; medians."""
    found: dict[str, list[dict[str, float]]] = {}
    idle = None
    with tempfile.TemporaryDirectory() as directory, EtcdCluster(Path(directory), SETTINGS) as cluster:
        cluster.start(*NODES)
        bench = Bench(cluster, options.batch, options.partitions)
        for number in range(options.rounds):
            for factor in FACTORS:
                figures = bench.load(factor, options.megabytes)
                floor = replica_floor(Path(directory), options.megabytes, factor)
                figures |= {f"floor_{name}": value for name, value in floor.items()}
                if options.rate:
                    figures |= bench.rate(factor, options.rate, options.seconds)
                found.setdefault(f"replicas_{factor}", []).append(figures)
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
        if options.idle:
            idle = bench.idle(options.idle)
    medians = {
        name: {key: statistics.median(r[key] for r in rounds) for key in rounds[0]} for name, rounds in found.items()
    }
    asked = {key: value for key, value in vars(options).items() if key != "write"}
    return {"machine": host.facts(), **asked, "medians": medians, **({} if idle is None else {"at_rest": idle})}


def main() -> int:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=200, help="records a second; 0: leave it out")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    result = run(options)
    text = json.dumps(result, indent=2)
    print(text)
    if options.write:
        options.write.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
