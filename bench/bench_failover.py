"""How long a partition cannot be written after `kill -9` of its leader: three brokers and an etcd on this machine.

    python bench/bench_failover.py --rounds 20              the default settings
    python bench/bench_failover.py --rounds 20 --fast       those of docs/operations/cluster.md for a fast failover

Each round kills the leader of a partition of three replicas, `min.insync.replicas` 2, and takes the time until

    the cluster      acknowledges a record (acks=all): both survivors are asked every 10 ms, in raw requests
    a producer       of librdkafka, idempotent, as it comes, has its record acknowledged
    a reader         of librdkafka, as it comes, has that record

The producer has nothing else to send, or with `--busy` sends a record every 2 ms before the kill and after. Then the
broker is started again, and all have to be in sync before the next round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.compat.raw import Peer
from tests.harness.etcd import EtcdCluster

from tailrace.records.builder import build_batch
from tailrace.records.record import Record

PROBE_S = 0.01
FAST = {"broker.session.timeout.ms": "1000", "broker.heartbeat.interval.ms": "100"}
TOPIC = "failover"
WAIT_S = 60.0
LOAD_EVERY_S = 0.002
LOAD_BEFORE_S = 0.5
WHO = ("cluster", "producer", "reader")


class Reader(threading.Thread):
    """Reads the partition and notes when it has which record."""

    def __init__(self, servers: str, settings: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader", "log_level": 0, **settings})
        self._consumer.assign([TopicPartition(TOPIC, 0, 0)])
        self.seen: dict[bytes, float] = {}
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                self.seen.setdefault(message.value(), time.monotonic())
        self._consumer.close()


class Probe(threading.Thread):
    """Writes a record as soon as one of the survivors takes it."""

    def __init__(self, addresses: list[str]) -> None:
        super().__init__(daemon=True)
        self._peers = [Peer(address) for address in addresses]
        self.acknowledged = float("inf")

    def run(self) -> None:
        batch = bytes(build_batch([Record(0, 0, None, b"probe")]))
        partition = {"index": 0, "records": batch}
        asked = {"acks": -1, "timeout": 1000, "topic_data": [{"name": TOPIC, "partition_data": [partition]}]}
        while True:
            for peer in self._peers:
                answer = peer.ask("produce", 9, **asked)
                if answer != "closed" and answer["responses"][0]["partition_responses"][0]["error_code"] == "none":
                    self.acknowledged = time.monotonic()
                    return
            time.sleep(PROBE_S)


class Bench:
    """A cluster, a producer and a reader."""

    def __init__(self, cluster: EtcdCluster, settings: dict[str, str], *, is_busy: bool) -> None:
        """`settings` of librdkafka go over those it comes with. A busy one has records under way always."""
        self._cluster = cluster
        self._is_busy = is_busy
        cluster.start(1, 2, 3)
        servers = cluster.servers()
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        for created in self._admin.create_topics([NewTopic(TOPIC, 1, 3, config={"min.insync.replicas": "2"})]).values():
            created.result(WAIT_S)
        idempotent = {"bootstrap.servers": servers, "enable.idempotence": True, "log_level": 0}
        self._producer = Producer({**idempotent, **settings})
        self._sent = 0
        self.acknowledged: dict[bytes, float] = {}
        self.reader = Reader(servers, settings)
        self.reader.start()

    def round(self) -> tuple[float, float, float]:
        """Seconds after the kill of the leader: until the cluster, the producer, and the reader had a record."""
        self._wait_in_sync()
        self._until(self._send(), self.acknowledged)
        leader = self._leader()
        if self._is_busy:
            self._work(LOAD_BEFORE_S)
        survivors = [broker.address for each, broker in self._cluster.brokers.items() if each != leader]
        killed = time.monotonic()
        self._cluster.brokers[leader].kill()
        value = self._send()
        probe = Probe(survivors)
        probe.start()
        written, read = self._until(value, self.acknowledged), self._until(value, self.reader.seen)
        probe.join(WAIT_S)
        self._cluster.start(leader)
        return probe.acknowledged - killed, written - killed, read - killed

    def _send(self) -> bytes:
        value = b"%d" % self._sent
        self._sent += 1

        def told(error: object, message: object) -> None:
            assert error is None, error
            self.acknowledged[value] = time.monotonic()

        self._producer.produce(TOPIC, value, partition=0, on_delivery=told)
        return value

    def _work(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._send()
            self._producer.poll(LOAD_EVERY_S)

    def _until(self, value: bytes, times: dict[bytes, float]) -> float:
        deadline = time.monotonic() + WAIT_S
        while value not in times:
            if self._is_busy:
                self._send()
            self._producer.poll(LOAD_EVERY_S)
            assert time.monotonic() < deadline, "it never came"
        return times[value]

    def _leader(self) -> int:
        return int(self._admin.list_topics(TOPIC, timeout=WAIT_S).topics[TOPIC].partitions[0].leader)

    def _wait_in_sync(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                partition = self._admin.list_topics(TOPIC, timeout=5).topics[TOPIC].partitions.get(0)
            except KafkaException:
                continue
            if partition is not None and len(partition.isrs) == 3:
                return
            time.sleep(0.1)
        raise AssertionError("not in sync again")


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--fast", action="store_true", help="the settings for a fast failover")
    parser.add_argument("--busy", action="store_true", help="the producer sends all the time")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of both clients")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="failover-") as directory,
        EtcdCluster(Path(directory), FAST if options.fast else {}) as cluster,
    ):
        bench = Bench(cluster, dict(each.split("=", 1) for each in options.set), is_busy=options.busy)
        rounds = []
        for number in range(options.rounds):
            rounds.append(bench.round())
            print(
                f"{number}: " + ", ".join(f"{who} {s:.2f} s" for who, s in zip(WHO, rounds[-1], strict=True)),
                flush=True,
            )
        bench.reader.stopped.set()
        bench.reader.join(5)
    told = {
        "settings": "fast" if options.fast else "default",
        "producer": "busy" if options.busy else "idle",
        "rounds": len(rounds),
    }
    for name, values in zip(WHO, zip(*rounds, strict=True), strict=True):
        figures = {"p50": statistics.median(values), "p99": percentile(list(values), 0.99), "max": max(values)}
        told |= {f"{name}_{which}_s": round(value, 2) for which, value in figures.items()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
