"""What durability costs: 1 KB records with acks=all, by 1, 16 and 64 producers, each with one request on its way.

    python bench/bench_durability.py [--seconds S] [--rounds N] [--kafka] [--json] [--write FILE] [--only MODE,...]

    page cache     Kafka's default: answered when the operating system has the record
    flush.messages one flush for every record; those that arrive meanwhile share the next (in Kafka: one each)
    before.ack     log.flush.before.ack: answered when a flush has it; acks=1 is not kept waiting
    floor          write(2) of as many records as there are producers, then fdatasync(2), in a loop, no broker

Modes take turns, each a fresh process on fresh data, one topic of one partition; medians of the rounds. The load is
raw Produce requests from this process: one thread, which takes a core of its own. CPU is the server's, per GB.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from harness.brokers import BrokerProcess, TailraceProcess  # noqa: E402
from rig import host  # noqa: E402
from rig.brokers import StockKafka  # noqa: E402
from tailrace.records.builder import BatchBuilder  # noqa: E402
from tailrace.wire.api import ApiKey, api  # noqa: E402
from tailrace.wire.frame import encode_request  # noqa: E402
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData  # noqa: E402

RECORD_BYTES = 1000
PRODUCERS = (1, 16, 64)
TOPIC = "bench"
PRODUCE_VERSION = 7
ERROR_POSITION = 4 + 4 + 4 + 2 + len(TOPIC) + 4 + 4
"""Of the one partition's error code: after size, correlation id, topic count, topic, partition count, index."""
WARM_UP_S = 0.5

Mode = tuple[str, type[BrokerProcess], dict[str, str]]


TAILRACE: list[Mode] = [
    ("page cache", TailraceProcess, {}),
    ("flush.messages", TailraceProcess, {"log.flush.interval.messages": "1"}),
    ("before.ack", TailraceProcess, {"log.flush.before.ack": "true"}),
]
KAFKA: list[Mode] = [
    ("kafka page cache", StockKafka, {}),
    ("kafka flush.messages", StockKafka, {"log.flush.interval.messages": "1"}),
]


def request() -> bytes:
    """One Produce of one record, ready to send."""
    builder = BatchBuilder()
    builder.append(int(time.time() * 1000), None, os.urandom(RECORD_BYTES))
    data = [TopicProduceData(TOPIC, partition_data=[PartitionProduceData(0, builder.build())])]
    produce = ProduceRequest(None, -1, 30_000, data)
    return bytes(encode_request(api(ApiKey.PRODUCE), PRODUCE_VERSION, 1, "bench", produce))


def load(port: int, producers: int, seconds: float) -> list[float]:
    """Latency in ms of each request that was answered within `seconds`, after a warm-up."""
    selector = selectors.DefaultSelector()
    frame = request()
    sent: dict[socket.socket, float] = {}
    for _ in range(producers):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        connection.sendall(frame)
        sent[connection] = time.perf_counter()
    latencies: list[float] = []
    counts_from = time.perf_counter() + WARM_UP_S
    end = counts_from + seconds
    now = time.perf_counter()
    while now < end:
        for key, _ in selector.select(1.0):
            connection = key.fileobj  # type: ignore[assignment]
            answer = connection.recv(4096)
            [size] = struct.unpack_from(">i", answer)
            assert len(answer) == size + 4, "an answer in pieces"
            [code] = struct.unpack_from(">h", answer, ERROR_POSITION)
            assert code == 0, f"refused with {code}"
            now = time.perf_counter()
            if now >= counts_from:
                latencies.append((now - sent[connection]) * 1000)
            sent[connection] = now
            connection.sendall(frame)
    for connection in sent:
        connection.close()
    selector.close()
    return latencies


def figures(latencies: list[float], seconds: float, cpu_s: float) -> dict[str, float]:
    """What is told of one run."""
    latencies.sort()
    return {
        "records_per_s": len(latencies) / seconds,
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[int(len(latencies) * 0.99)],
        "cpu_s_per_gb": cpu_s / (len(latencies) * RECORD_BYTES / 1e9),
    }


def cpu_s(process: psutil.Process) -> float:
    """User and system time so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(mode: Mode, directory: Path, seconds: float) -> dict[int, dict[str, float]]:
    """One fresh broker under 1, 16 and 64 producers."""
    name, kind, settings = mode
    broker = kind(directory, settings)
    broker.start()
    try:
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
        assert broker.process is not None
        process = psutil.Process(broker.process.pid)
        time.sleep(2.0 if "kafka" in name else 0.2)
        found = {}
        for producers in PRODUCERS:
            before = cpu_s(process)
            latencies = load(broker.port, producers, seconds)
            spent = (cpu_s(process) - before) * seconds / (seconds + WARM_UP_S)
            found[producers] = figures(latencies, seconds, spent)
    finally:
        broker.kill()
    return found


def floor(directory: Path, seconds: float) -> dict[int, dict[str, float]]:
    """The bare system calls."""
    found = {}
    fd = os.open(directory / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    record = os.urandom(RECORD_BYTES + 80)
    for producers in PRODUCERS:
        latencies: list[float] = []
        data = record * producers
        before = time.thread_time()
        end = time.perf_counter() + seconds
        started = time.perf_counter()
        while started < end:
            os.write(fd, data)
            os.fdatasync(fd)
            now = time.perf_counter()
            latencies += [(now - started) * 1000] * producers
            started = now
        found[producers] = figures(latencies, seconds, time.thread_time() - before)
    os.close(fd)
    return found


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Every round of every mode; medians."""
    modes = TAILRACE + (KAFKA if options.kafka else [])
    if options.only:
        modes = [mode for mode in modes if mode[0] in options.only.split(",")]
    rounds: dict[str, list[dict[int, dict[str, float]]]] = {name: [] for name in ["floor", *(m[0] for m in modes)]}
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            rounds["floor"].append(floor(Path(directory), options.seconds))
        for mode in modes:
            with tempfile.TemporaryDirectory(dir=options.directory) as directory:
                rounds[mode[0]].append(measure(mode, Path(directory), options.seconds))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    medians = {
        name: {
            str(producers): {key: statistics.median(r[producers][key] for r in found) for key in found[0][producers]}
            for producers in PRODUCERS
        }
        for name, found in rounds.items()
    }
    return {"machine": host.facts(), "seconds": options.seconds, "rounds": options.rounds, "medians": medians}


def table(result: dict[str, Any]) -> str:
    """The medians as lines of a table."""
    lines = ["| mode | producers | records/s | p50 ms | p99 ms | CPU s/GB |", "|---|---|---|---|---|---|"]
    for name, found in result["medians"].items():
        for producers, f in found.items():
            numbers = f"{f['records_per_s']:,.0f} | {f['p50_ms']:.2f} | {f['p99_ms']:.1f} | {f['cpu_s_per_gb']:.0f}"
            lines.append(f"| {name} | {producers} | {numbers} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="", help="page cache, flush.messages, before.ack")
    parser.add_argument("--directory", type=Path, help="where the data goes: on the device that is meant")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    result = run(options)
    print(json.dumps(result, indent=2) if options.json else table(result))
    if options.write:
        options.write.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
