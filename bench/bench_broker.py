"""A broker as its users meet it: produce and fetch by librdkafka, time to the ready line, memory and CPU at rest.

    python bench/bench_broker.py [--megabytes N] [--rounds N] [--kafka] [--write FILE]

Brokers take turns, each a fresh process on fresh data; the load generator (this process) is the same for all. One topic
of one partition, 1,000-byte random records, acks=all, idempotence off. CPU is the server's own, user and system.
`--kafka` measures Apache Kafka beside us (tools/compat_install.py fetches it; with the flags of its own start scripts).
The floors are the bare system calls for the same bytes in 256 KiB pieces: receive, CRC-32C and write; sendfile.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import crc32c
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from harness.brokers import BrokerProcess, TailraceProcess  # noqa: E402
from rig import host  # noqa: E402
from rig.brokers import StockKafka  # noqa: E402

RECORD_BYTES = 1000
PIECE_BYTES = 256 * 1024
TOPIC = "bench"
QUIET = {"log_level": 0}
IDLE_S = 10.0


def server_cpu_s(process: psutil.Process) -> float:
    """User and system time of a process so far, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def produce(address: str, records: int) -> float:
    """Send `records` and wait for all acknowledgements; returns the seconds it took."""
    producer = Producer({"bootstrap.servers": address, "acks": "all", "linger.ms": 5, "batch.size": 1_000_000, **QUIET})
    payload = os.urandom(RECORD_BYTES)
    producer.produce(TOPIC, payload)
    assert producer.flush(30) == 0, "the broker does not answer"
    started = time.perf_counter()
    for index in range(records):
        while True:
            try:
                producer.produce(TOPIC, payload)
                break
            except BufferError:
                producer.poll(0.01)
        if index % 1000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0, "not everything was acknowledged"
    return time.perf_counter() - started


def fetch(address: str, records: int) -> float:
    """Read `records` from the start; returns the seconds it took."""
    settings = {
        "fetch.max.bytes": 50_000_000,
        "max.partition.fetch.bytes": 10_000_000,
        "queued.min.messages": 1_000_000,
    }
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench", **settings, **QUIET})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    seen = 0
    started = time.perf_counter()
    while seen < records:
        found = consumer.consume(10_000, 5.0)
        assert found, "the broker stopped sending"
        seen += len(found)
    took_s = time.perf_counter() - started
    consumer.close()
    return took_s


def measure(broker: BrokerProcess, megabytes: int) -> dict[str, float]:
    """One fresh broker: start, rest, produce, fetch, stop."""
    started = time.perf_counter()
    broker.start()
    figures = {"start_ms": (time.perf_counter() - started) * 1000}
    assert broker.process is not None
    process = psutil.Process(broker.process.pid)
    time.sleep(1.0)
    before = server_cpu_s(process)
    time.sleep(IDLE_S)
    figures["idle_cpu_percent"] = (server_cpu_s(process) - before) / IDLE_S * 100
    figures["idle_rss_mb"] = process.memory_info().rss / 1e6
    records = megabytes * 1_000_000 // RECORD_BYTES
    for name, work in (("produce", produce), ("fetch", fetch)):
        before = server_cpu_s(process)
        took_s = work(broker.address, records)
        figures[f"{name}_cpu_s_per_gb"] = (server_cpu_s(process) - before) / (megabytes / 1000)
        figures[f"{name}_mb_per_s"] = megabytes / took_s
    figures["busy_rss_mb"] = process.memory_info().rss / 1e6
    broker.kill()
    return figures


def floors(directory: Path, megabytes: int) -> dict[str, float]:
    """CPU s/GB of the bare system calls in this process, the feeding thread's share left out."""
    path = directory / "floor"
    total = megabytes * 1_000_000
    ours, theirs = socket.socketpair()

    def feed() -> None:
        piece = os.urandom(PIECE_BYTES)
        for _ in range(total // PIECE_BYTES):
            theirs.sendall(piece)
        theirs.shutdown(socket.SHUT_WR)

    def drain() -> None:
        scratch = bytearray(PIECE_BYTES)
        while theirs.recv_into(scratch):
            pass

    figures = {}
    feeder = threading.Thread(target=feed)
    feeder.start()
    buffer = memoryview(bytearray(PIECE_BYTES))
    before = time.thread_time()
    with path.open("wb", buffering=0) as file:
        while size := ours.recv_into(buffer):
            crc32c.crc32c(buffer[:size])
            file.write(buffer[:size])
    figures["produce_cpu_s_per_gb"] = (time.thread_time() - before) / (total / 1e9)
    feeder.join()
    ours.close()
    theirs.close()
    ours, theirs = socket.socketpair()
    drainer = threading.Thread(target=drain)
    drainer.start()
    before = time.thread_time()
    with path.open("rb") as file:
        position = 0
        while sent := os.sendfile(ours.fileno(), file.fileno(), position, PIECE_BYTES):
            position += sent
    figures["fetch_cpu_s_per_gb"] = (time.thread_time() - before) / (position / 1e9)
    ours.shutdown(socket.SHUT_WR)
    drainer.join()
    ours.close()
    theirs.close()
    return figures


def in_process_start_ms() -> float:
    """Time of `tailrace.Broker().start()` when its modules are imported already."""
    import tailrace

    tailrace.Broker().start().stop()
    started = time.perf_counter()
    broker = tailrace.Broker().start()
    took_ms = (time.perf_counter() - started) * 1000
    broker.stop()
    return took_ms


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Every round of every broker; medians."""
    kinds: dict[str, type[BrokerProcess]] = {"tailrace": TailraceProcess}
    if options.kafka:
        kinds["kafka"] = StockKafka
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in [*kinds, "floor"]}
    for number in range(options.rounds):
        for name, kind in kinds.items():
            with tempfile.TemporaryDirectory() as directory:
                rounds[name].append(measure(kind(Path(directory)), options.megabytes))
        with tempfile.TemporaryDirectory() as directory:
            rounds["floor"].append(floors(Path(directory), options.megabytes))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    rounds["tailrace"][0]["in_process_start_ms"] = statistics.median(in_process_start_ms() for _ in range(5))
    medians = {
        name: {key: statistics.median(r[key] for r in found if key in r) for key in found[0]}
        for name, found in rounds.items()
    }
    return {"machine": host.facts(), "megabytes": options.megabytes, "rounds": options.rounds, "medians": medians}


def main() -> int:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kafka", action="store_true")
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
