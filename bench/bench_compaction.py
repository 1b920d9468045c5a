"""What compaction costs, and what it costs others.

    python bench/bench_compaction.py [--megabytes N] [--value BYTES] [--keys N] [--codec NAME] [--seconds S] [--json]

clean    one log of N MB in segments of 16 MB, batches of about 16 KB, keys drawn at random: MB/s of its bytes (each
         is read twice), CPU seconds a GB, records a second, bytes of the map a key, growth of the peak memory
beside   a child sends a 1 KB batch each millisecond over a socket; this process appends it to another log and answers,
         as the broker's loop does. Round trip in us, p50, p99 and largest, with the cleaner idle and at work

Run it on an idle machine; with fewer than three cores the child, too, competes with the cleaner.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import select
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tailrace.base.types import TopicPartition
from tailrace.log.compaction.candidates import candidate, plan_of
from tailrace.log.compaction.cleaning import Cleaning
from tailrace.log.compaction.plan import CleaningLimits
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log
from tailrace.records.builder import build_batch
from tailrace.records.compression import CODEC_NAMES, Codec
from tailrace.records.record import Record

COMPACTED = LogConfig(cleanup_policy=frozenset({"compact"}), segment_bytes=16 << 20, segment_ms=1 << 60)
LIMITS = CleaningLimits(128 << 20, 0.9, 256 << 10, 1e308)
BATCH_BYTES = 16_000
ROUND_TRIP_INTERVAL_S = 0.001


def filled(directory: Path, megabytes: int, value_bytes: int, keys: int, codec: Codec) -> Log:
    """A compacted log of about `megabytes`, with all but its active segment dirty."""
    log = Log.open(directory, TopicPartition("bench", 0), COMPACTED, LogEnvironment())
    chance = random.Random(1)
    value = os.urandom(value_bytes)
    count = max(1, BATCH_BYTES // (value_bytes + 30))
    now_ms = int(time.time() * 1000)
    while log.size_bytes < megabytes << 20:
        records = [Record(i, now_ms, b"key-%08d" % chance.randrange(keys), value) for i in range(count)]
        log.append_as_leader(memoryview(build_batch(records, codec=codec)), 0)
    log.roll()
    log.high_watermark = log.log_end_offset
    return log


def clean(log: Log) -> Cleaning:
    """Both passes over the whole log; nothing is swapped in."""
    env = LogEnvironment()
    found = candidate(log, env.clock.wall_ms())
    assert found is not None
    cleaning = Cleaning(plan_of(found, LIMITS, env.clock.wall_ms()), env.disk, env.clock)
    while (group := cleaning.step()) is not None:
        group.segment.discard()
    cleaning.close()
    return cleaning


def measure_clean(log: Log) -> dict[str, float]:
    size = log.size_bytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    stats = clean(log).stats
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "megabytes": round(size / 1e6, 1),
        "mb_per_s": round(size / wall / 1e6, 1),
        "cpu_s_per_gb": round(cpu / size * 1e9, 2),
        "records_per_s": round(stats.records_read / wall),
        "us_per_record": round(cpu / stats.records_read * 1e6, 2),
        "kept_share": round(stats.records_written / stats.records_read, 3),
        "map_fill": round(stats.map_fill, 3),
        "peak_rss_growth_mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
    }


def ask(connection: socket.socket, request: bytes, count: int) -> list[float]:
    """Round trips in us, one begun each millisecond or when the last one ended."""
    times = []
    due = time.perf_counter()
    for _ in range(count):
        due += ROUND_TRIP_INTERVAL_S
        time.sleep(max(0.0, due - time.perf_counter()))
        begin = time.perf_counter()
        connection.sendall(request)
        connection.recv(1)
        times.append((time.perf_counter() - begin) * 1e6)
    return times


def serve(log: Log, connection: socket.socket, size: int, is_over: Callable[[], bool]) -> None:
    """The loop: wait, receive, append, answer."""
    poller = select.epoll()
    poller.register(connection.fileno(), select.EPOLLIN)
    buffer = bytearray(size)
    view = memoryview(buffer)
    got = 0
    while not is_over():
        for _ in poller.poll(0.5):
            received = connection.recv_into(view[got:])
            if received == 0:
                return
            got += received
            if got == size:
                log.append_as_leader(view, 0)
                connection.send(b"k")
                got = 0


def measure_beside(log: Log, compacted: Log, seconds: float, *, is_cleaning: bool) -> dict[str, float]:
    records = [Record(0, int(time.time() * 1000), b"key", os.urandom(940))]
    request = bytes(build_batch(records))
    here, there = socket.socketpair()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        here.close()
        times = sorted(ask(there, request, int(seconds / ROUND_TRIP_INTERVAL_S)))
        found = {"p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100], "max_us": times[-1]}
        os.write(write_end, json.dumps({name: round(value) for name, value in found.items()}).encode())
        os._exit(0)
    there.close()
    rounds = 0
    over = threading.Event()

    def work() -> None:
        nonlocal rounds
        while not over.is_set():
            clean(compacted)
            rounds += 1

    thread = threading.Thread(target=work)
    if is_cleaning:
        thread.start()
    serve(log, here, len(request), over.is_set)
    over.set()
    if is_cleaning:
        thread.join()
    os.waitpid(pid, 0)
    answer: dict[str, float] = json.loads(os.read(read_end, 4096))
    return {**answer, "cleanings": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--value", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=50_000)
    parser.add_argument("--codec", choices=sorted(CODEC_NAMES), default="none")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-compaction-", dir=options.directory))
    try:
        result = run(directory, options)
    finally:
        shutil.rmtree(directory)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        for name, values in result.items():
            print(name, values)


def run(directory: Path, options: argparse.Namespace) -> dict[str, object]:
    codec = Codec(CODEC_NAMES[options.codec])
    compacted = filled(directory / "bench-0", options.megabytes, options.value, options.keys, codec)
    hot = Log.open(directory / "hot-0", TopicPartition("hot", 0), LogConfig(), LogEnvironment())
    result: dict[str, object] = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "what": f"value {options.value} bytes, {options.keys} keys, codec {options.codec}",
        "clean": measure_clean(compacted),
    }
    if options.seconds > 0:
        result["beside nothing"] = measure_beside(hot, compacted, options.seconds, is_cleaning=False)
        result["beside a cleaning"] = measure_beside(hot, compacted, options.seconds, is_cleaning=True)
    compacted.abandon()
    hot.abandon()
    return result


if __name__ == "__main__":
    main()
