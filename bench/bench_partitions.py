"""What 10,000 partitions cost: creating, starting, memory, descriptors, rest, and the longest stall of the loop.

    python bench/bench_partitions.py [--partitions N] [--shape one|many] [--kafka] [--rounds-every-ms MS] [--write FILE]

`one` is a topic of N partitions, `many` is N/10 topics of 10. Phases, each on the data the one before left:

create    CreateTopics until its answer, ms a partition
clean     stop (SIGTERM to the end of the process) and start (to the ready line)
fill      a record into every partition and all of them read back, by librdkafka; metadata by list_topics
idle      CPU in per cent of a core, and resident memory, 10 s after
stall     the slowest of many ApiVersions round trips while retention and checkpoints run again and again
crash     kill -9, and the start after it

Memory is RSS in MB, descriptors are the entries of /proc/PID/fd. The figures of a stop include the process's end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from harness import brokers  # noqa: E402
from harness.brokers import BrokerProcess, KafkaProcess, TailraceProcess  # noqa: E402
from node.served import RawClient  # noqa: E402
from rig import host  # noqa: E402
from tailrace.wire.api import ApiKey  # noqa: E402
from tailrace.wire.messages.api_versions import ApiVersionsRequest  # noqa: E402
from tailrace.wire.messages.metadata import MetadataRequest  # noqa: E402

brokers.START_TIMEOUT_S = brokers.STOP_TIMEOUT_S = 600.0
PARTITIONS_PER_TOPIC = 10
TOPICS_PER_REQUEST = 100
IDLE_S = 10.0
STALL_S = 12.0
PING_PAUSE_S = 0.002
PATIENCE_S = 300.0
QUIET = {"log_level": 0}


class StockKafka(KafkaProcess):
    """Apache Kafka with the heap its own start script gives it."""

    HEAP = ("-Xms1G", "-Xmx1G")


def topics_of(shape: str, partitions: int) -> dict[str, int]:
    """Topic names and how many partitions each has."""
    if shape == "one":
        return {"wide": partitions}
    return {f"many-{n:04d}": PARTITIONS_PER_TOPIC for n in range(partitions // PARTITIONS_PER_TOPIC)}


def create(address: str, topics: dict[str, int]) -> None:
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    new = [NewTopic(name, count, 1) for name, count in topics.items()]
    for at in range(0, len(new), TOPICS_PER_REQUEST):
        for answer in admin.create_topics(
            new[at : at + TOPICS_PER_REQUEST], operation_timeout=PATIENCE_S, request_timeout=PATIENCE_S
        ).values():
            answer.result(PATIENCE_S)


def fill(address: str, topics: dict[str, int]) -> dict[str, float]:
    """A record into every partition, and all of them back."""
    total = sum(topics.values())
    figures = {}
    started = time.perf_counter()
    found = AdminClient({"bootstrap.servers": address, **QUIET}).list_topics(timeout=60)
    figures["list_topics_ms"] = (time.perf_counter() - started) * 1000
    assert sum(len(found.topics[name].partitions) for name in topics) == total
    producer = Producer({"bootstrap.servers": address, "acks": "all", **QUIET})
    started = time.perf_counter()
    for name, count in topics.items():
        for partition in range(count):
            producer.produce(name, b"x" * 100, partition=partition)
            producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0, "not everything was acknowledged"
    figures["produce_to_all_s"] = time.perf_counter() - started
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench", **QUIET})
    started = time.perf_counter()
    consumer.assign([TopicPartition(name, p, 0) for name, count in topics.items() for p in range(count)])
    seen = 0
    while seen < total:
        got = consumer.consume(min(10_000, total - seen), 5.0)
        seen += len(got)
        assert time.perf_counter() - started < PATIENCE_S, f"only {seen} of {total} came"
    figures["consume_all_s"] = time.perf_counter() - started
    consumer.close()
    return figures


def metadata_ms(address: str) -> float:
    """The best of five Metadata requests for every topic, to the last byte of the answer."""
    host, port = address.rsplit(":", 1)
    best = float("inf")
    with RawClient((host, int(port))) as client:
        for _ in range(5):
            started = time.perf_counter()
            client.send(ApiKey.METADATA, 12, MetadataRequest(topics=None))
            client.receive_frame()
            best = min(best, time.perf_counter() - started)
    return best * 1000


def longest_stall_ms(address: str, seconds: float) -> float:
    """The slowest round trip of an ApiVersions request, asked for again and again."""
    host, port = address.rsplit(":", 1)
    worst = 0.0
    with RawClient((host, int(port))) as client:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            client.send(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())
            client.receive_frame()
            worst = max(worst, time.perf_counter() - started)
            time.sleep(PING_PAUSE_S)
    return worst * 1000


class Watched:
    """A broker process whose resources are looked at."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.broker = broker
        self.figures: dict[str, float] = {}

    def note(self, phase: str) -> None:
        assert self.broker.process is not None
        process = psutil.Process(self.broker.process.pid)
        self.figures[f"{phase}_rss_mb"] = process.memory_info().rss / 1e6
        self.figures[f"{phase}_descriptors"] = process.num_fds()
        print(f"{self.broker.name} {phase}: {self.figures}", file=sys.stderr)

    def timed(self, name: str, work: Any, *arguments: Any) -> None:
        started = time.perf_counter()
        work(*arguments)
        self.figures[name] = time.perf_counter() - started

    def cpu_percent(self, seconds: float) -> float:
        assert self.broker.process is not None
        process = psutil.Process(self.broker.process.pid)
        before = process.cpu_times()
        time.sleep(seconds)
        after = process.cpu_times()
        return (after.user + after.system - before.user - before.system) / seconds * 100


def measure(broker: BrokerProcess, topics: dict[str, int], rounds: dict[str, str]) -> dict[str, float]:
    """One broker through every phase."""
    watched = Watched(broker)
    figures = watched.figures
    watched.timed("empty_start_s", broker.start)
    watched.note("empty")
    watched.timed("create_s", create, broker.address, topics)
    watched.note("created")
    watched.timed("clean_stop_empty_s", broker.stop)
    watched.timed("clean_start_empty_s", broker.start)
    watched.note("restarted")
    figures["metadata_ms"] = metadata_ms(broker.address)
    figures.update(fill(broker.address, topics))
    watched.note("filled")
    time.sleep(2.0)
    figures["idle_cpu_percent"] = watched.cpu_percent(IDLE_S)
    watched.note("idle")
    watched.timed("clean_stop_s", broker.stop)
    watched.timed("clean_start_s", broker.start)
    watched.note("started")
    broker.kill()
    watched.timed("crash_start_s", broker.start)
    watched.note("recovered")
    figures["stop_after_crash_start_status"] = broker.stop()
    broker.settings.update(rounds)
    broker.start()
    writer = threading.Thread(target=fill, args=(broker.address, topics))
    figures["stall_idle_ms"] = longest_stall_ms(broker.address, STALL_S)
    writer.start()
    figures["stall_filling_ms"] = longest_stall_ms(broker.address, STALL_S)
    writer.join()
    watched.note("stalled")
    broker.kill()
    return figures


def main() -> int:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--shape", choices=("one", "many"), default="many")
    parser.add_argument("--kafka", action="store_true", help="measure Apache Kafka too")
    parser.add_argument("--rounds-every-ms", type=int, default=2000, help="of retention and checkpoints, in `stall`")
    parser.add_argument("--write", type=Path, help="add the result to this JSON file")
    options = parser.parse_args()
    every = str(options.rounds_every_ms)
    rounds = {
        "log.retention.check.interval.ms": every,
        "log.flush.offset.checkpoint.interval.ms": every,
        "log.flush.start.offset.checkpoint.interval.ms": every,
        "log.flush.scheduler.interval.ms": every,
    }
    kinds: list[type[BrokerProcess]] = [TailraceProcess, *([StockKafka] if options.kafka else [])]
    results = {}
    for kind in kinds:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TAILRACE_BENCH_DIR")) as directory:
            broker = kind(Path(directory))
            try:
                results[kind.name] = measure(broker, topics_of(options.shape, options.partitions), rounds)
            finally:
                broker.kill()
    result = {"machine": host.facts(), "partitions": options.partitions, "shape": options.shape, "results": results}
    print(json.dumps(result, indent=2))
    if options.write is not None:
        known = json.loads(options.write.read_text()) if options.write.exists() else []
        options.write.write_text(json.dumps([*known, result], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
