"""What the log costs over its floor: CPU seconds a GB of append and of fetch, and latency of a lookup.

    python bench/bench_log.py [--megabytes N] [--batch BYTES] [--directory DIR] [--json]

append  per batch: copy from a template (stands for recv_into), `Log.append_as_leader`; the floor is the same copy, one
        CRC-32C and one os.write of the same bytes
fetch   `Log.read` of 1 MiB and os.sendfile of the slice to a socket pair that a child drains; the floor is sendfile
lookup  `Log.read` at random offsets, microseconds, p50 and p99

CPU is of this process, user and system. Run it on an idle machine; the directory should be on a real disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tailrace.base.disk import RealFile
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log
from tailrace.records.builder import build_batch
from tailrace.records.crc import crc32c
from tailrace.records.record import Record

FETCH_BYTES = 1 << 20


def template(batch_bytes: int, producer_id: int) -> bytearray:
    """An uncompressed batch of 1 KiB records (fewer where `batch_bytes` is small)."""
    count = max(1, batch_bytes // 1100)
    value = os.urandom(max(1, batch_bytes // count - 90))
    now_ms = int(time.time() * 1000)
    records = [Record(i, now_ms, b"key-%06d" % i, value) for i in range(count)]
    epoch, sequence = (0, 0) if producer_id >= 0 else (-1, -1)
    return build_batch(records, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)


def cpu_per_gb(work: Callable[[], int]) -> tuple[float, float]:
    """(CPU seconds a GB, wall MB/s) of `work`, which answers how many bytes it moved."""
    cpu, wall = time.process_time(), time.perf_counter()
    moved = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return cpu / moved * 1e9, moved / wall / 1e6


def append_floor(path: Path, batch: bytes, count: int) -> int:
    file = RealFile(path)
    buffer = bytearray(len(batch))
    view = memoryview(buffer)
    for _ in range(count):
        view[:] = batch
        crc32c(view[21:])
        file.write(view)
    file.close()
    return count * len(batch)


def append_log(log: Log, batch: bytes, count: int) -> int:
    buffer = bytearray(len(batch))
    view = memoryview(buffer)
    for _ in range(count):
        view[:] = batch
        log.append_as_leader(view, 0)
    log.high_watermark = log.log_end_offset
    return count * len(batch)


def append_idempotent(log: Log, batch: bytes, count: int) -> int:
    """Like `append_log` with a sequence that goes on; stamping and CRC of the client are not counted apart."""
    buffer = bytearray(len(batch))
    view = memoryview(buffer)
    records = int.from_bytes(batch[57:61], "big")
    for i in range(count):
        view[:] = batch
        view[53:57] = (i * records).to_bytes(4, "big")
        view[17:21] = crc32c(view[21:]).to_bytes(4, "big")
        log.append_as_leader(view, 0)
    return count * len(batch)


class Drain:
    """A child process that reads a socket and throws it away."""

    def __init__(self) -> None:
        self.out, inner = socket.socketpair()
        self.out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.pid = os.fork()
        if self.pid == 0:
            self.out.close()
            buffer = bytearray(1 << 20)
            while inner.recv_into(buffer):
                pass
            os._exit(0)
        inner.close()

    def send(self, fileno: int, position: int, size: int) -> None:
        while size:
            sent = os.sendfile(self.out.fileno(), fileno, position, size)
            position += sent
            size -= sent

    def close(self) -> None:
        self.out.close()
        os.waitpid(self.pid, 0)


def fetch_floor(path: Path, drain: Drain) -> int:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        for position in range(0, size, FETCH_BYTES):
            drain.send(file.fileno(), position, min(FETCH_BYTES, size - position))
    return size


def fetch_log(log: Log, drain: Drain) -> int:
    offset = moved = 0
    end = log.log_end_offset
    while offset < end:
        fetched = log.read(offset, FETCH_BYTES, end, min_one_batch=True)
        assert fetched.file is not None
        drain.send(fetched.file.fileno(), fetched.position, fetched.size)
        moved += fetched.size
        segment = log.segments[log.segments.floor_index(offset)]
        # What a consumer learns from the bytes it got; not part of the broker's work, but cheap.
        past = fetched.position + fetched.size
        offset = (
            segment.header_at(past).base_offset if past < segment.size else _next_base(log, segment.base_offset, end)
        )
    return moved


def _next_base(log: Log, base_offset: int, end: int) -> int:
    return next((s.base_offset for s in log.segments if s.base_offset > base_offset), end)


def lookups(log: Log, count: int) -> dict[str, float]:
    times = []
    end = log.log_end_offset
    for _ in range(count):
        offset = random.randrange(end)
        start = time.perf_counter_ns()
        log.read(offset, FETCH_BYTES, end, min_one_batch=True)
        times.append(time.perf_counter_ns() - start)
    times.sort()
    return {"p50_us": times[count // 2] / 1e3, "p99_us": times[count * 99 // 100] / 1e3}


def run(megabytes: int, batch_bytes: int, directory: Path) -> dict[str, object]:
    """All figures as one JSON object."""
    plain = bytes(template(batch_bytes, -1))
    count = max(1, megabytes * 1_000_000 // len(plain))
    config = LogConfig(segment_bytes=256 << 20)
    results: dict[str, object] = {"batch_bytes": len(plain), "megabytes": megabytes}

    def log_in(name: str) -> Log:
        return Log.open(directory / name, TopicPartition("bench", 0), config, LogEnvironment())

    results["append_floor_cpu_s_per_gb"], _ = cpu_per_gb(lambda: append_floor(directory / "floor", plain, count))
    log = log_in("bench-0")
    cpu, rate = cpu_per_gb(lambda: append_log(log, plain, count))
    results["append_cpu_s_per_gb"], results["append_mb_per_s"] = cpu, rate
    results["append_us_a_batch"] = cpu * len(plain) / 1e3
    idempotent = log_in("bench-1")
    batch = bytes(template(batch_bytes, 1))
    results["append_idempotent_cpu_s_per_gb"], _ = cpu_per_gb(lambda: append_idempotent(idempotent, batch, count))
    drain = Drain()
    results["fetch_floor_cpu_s_per_gb"], _ = cpu_per_gb(lambda: fetch_floor(directory / "floor", drain))
    results["fetch_cpu_s_per_gb"], _ = cpu_per_gb(lambda: fetch_log(log, drain))
    drain.close()
    results["lookup"] = lookups(log, 5000)
    results["machine"] = {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.platform()}
    log.close()
    idempotent.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of the log over its floor")
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16 * 1024)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-log-", dir=arguments.directory))
    try:
        results = run(arguments.megabytes, arguments.batch, directory)
    finally:
        shutil.rmtree(directory)
    if arguments.json:
        print(json.dumps(results))
        return
    for name, value in results.items():
        print(f"{name:32} {value:.3f}" if isinstance(value, float) else f"{name:32} {value}")


if __name__ == "__main__":
    main()
