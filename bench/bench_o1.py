"""Whether a log of 20 GB costs what one of 100 MB does: append, random read, search by time, retention, checkpoint.

    python bench/bench_o1.py [--megabytes 100,1000,20000] [--directory DIR] [--write FILE]

One log grows to each size in turn, by real appends of 64 KiB batches, and is flushed; nothing is sparse. Then, at each:

append   `Log.append_as_leader` of a 4 KiB batch
read     `Log.read` at a random offset of the whole log, and 4 KiB read from there; once before, so that pages are warm
time     `Log.offset_for_timestamp` at a random time of the whole log, pages warm as above
round    one look of retention at the log

Microseconds, p50 and p99, each the best of five passes (other processes only ever add), and how often bigger than at
the first size. The directory needs the last size and 2 GB more; it is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src")]

from rig import host  # noqa: E402
from tailrace.base.types import TopicPartition  # noqa: E402
from tailrace.log.config import LogConfig, LogEnvironment  # noqa: E402
from tailrace.log.log import Log  # noqa: E402
from tailrace.records.builder import build_batch  # noqa: E402
from tailrace.records.record import Record  # noqa: E402

LARGE_BYTES = 64 * 1024
SMALL_BYTES = 4 * 1024
READ_BYTES = 4 * 1024
SAMPLES = 3000
PASSES = 5
FIRST_MS = 1_700_000_000_000
SPARE_BYTES = 2_000_000_000


def percentiles(samples: list[float]) -> dict[str, float]:
    """p50 and p99 in microseconds."""
    ordered = sorted(samples)
    return {"p50": ordered[len(ordered) // 2] * 1e6, "p99": ordered[len(ordered) * 99 // 100] * 1e6}


def timed(work: Callable[[Any], object], arguments: list[Any], passes: int = PASSES) -> dict[str, float]:
    """Latencies of `work` over `arguments`, the best of the passes."""
    each = [one_pass(work, arguments) for _ in range(passes)]
    return {name: min(found[name] for found in each) for name in ("p50", "p99")}


def one_pass(work: Callable[[Any], object], arguments: list[Any]) -> dict[str, float]:
    samples = []
    for argument in arguments:
        started = time.perf_counter()
        work(argument)
        samples.append(time.perf_counter() - started)
    return percentiles(samples)


class Grown:
    """One log, and the time that its records carry: one millisecond a batch."""

    def __init__(self, directory: Path) -> None:
        config = LogConfig(retention_ms=-1, message_timestamp_after_max_ms=1 << 60)
        self.log = Log.open(directory / "t-0", TopicPartition("t", 0), config, LogEnvironment())
        self.batches = 0

    def batch(self, size: int) -> memoryview:
        self.batches += 1
        record = Record(0, FIRST_MS + self.batches, b"key", os.urandom(16) * ((size - 100) // 16))
        return memoryview(build_batch([record]))

    def append(self, batch: memoryview) -> None:
        self.log.append_as_leader(batch, 0)
        self.log.high_watermark = self.log.log_end_offset

    def grow(self, size_bytes: int) -> None:
        while self.log.size_bytes < size_bytes:
            for _ in range(100):
                self.append(self.batch(LARGE_BYTES))
        self.log.flush()

    def read(self, offset: int) -> None:
        found = self.log.read(offset, READ_BYTES, self.log.log_end_offset, min_one_batch=True)
        assert found.file is not None
        found.file.pread(READ_BYTES, found.position)

    def find(self, timestamp: int) -> None:
        assert self.log.offset_for_timestamp(timestamp) is not None

    def measure(self) -> dict[str, dict[str, float]]:
        chosen = random.Random(1)
        end = self.log.log_end_offset
        offsets = [chosen.randrange(end) for _ in range(SAMPLES)]
        times = [FIRST_MS + 1 + chosen.randrange(self.batches) for _ in range(SAMPLES // 5)]
        for work, arguments in ((self.read, offsets), (self.find, times)):
            timed(work, arguments, 1)
        now_ms = FIRST_MS + self.batches
        figures = {
            "read": timed(self.read, offsets),
            "time": timed(self.find, times),
            "round": timed(lambda _: self.log.apply_retention(now_ms), [None] * 100),
        }
        template = bytes(self.batch(SMALL_BYTES))
        figures["append"] = timed(lambda _: self.append(memoryview(bytearray(template))), [None] * SAMPLES)
        return figures


def run(sizes: list[int], directory: Path) -> dict[str, Any]:
    grown = Grown(directory)
    results: dict[str, Any] = {}
    for megabytes in sizes:
        started = time.perf_counter()
        grown.grow(megabytes * 1_000_000)
        took_s = time.perf_counter() - started
        results[str(megabytes)] = {**grown.measure(), "segments": len(grown.log.segments), "grown_in_s": took_s}
        print(megabytes, json.dumps(results[str(megabytes)]), file=sys.stderr)
    grown.log.abandon()
    first, last = results[str(sizes[0])], results[str(sizes[-1])]
    names = ("append", "read", "time", "round")
    results["ratio"] = {name: {p: last[name][p] / first[name][p] for p in ("p50", "p99")} for name in names}
    return results


def main() -> int:
    """Measure, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", default="100,1000,20000")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    sizes = [int(size) for size in options.megabytes.split(",")]
    directory = Path(tempfile.mkdtemp(dir=options.directory))
    try:
        if shutil.disk_usage(directory).free < sizes[-1] * 1_000_000 + SPARE_BYTES:
            print(f"{directory} has too little space", file=sys.stderr)
            return 1
        results = run(sizes, directory)
    finally:
        shutil.rmtree(directory)
    result = {"machine": host.facts(), "results": results}
    print(json.dumps(result, indent=2))
    if options.write is not None:
        options.write.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
