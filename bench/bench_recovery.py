#!/usr/bin/env python3
"""How long a broker takes to be ready after `kill -9`, by the size of its log and by what was not flushed.

    dev.py bench bench/bench_recovery.py [--sizes-gb 1,20] [--unflushed-mb 0,64,512] [--out FILE.json]

One partition of 1 GiB segments. What is not flushed is real: 16 KiB batches of an idempotent producer, appended by
the log itself, after 128 MiB in the same segment that were flushed. The sealed segments below are sparse files of
their full size, with index files of theirs: recovery must not read them, and the bytes the process read say whether it
did. Each row is a start of `tailrace serve` on such a directory: its own ready line, and rchar of /proc/<pid>/io when
it was ready, less that of a start on an empty directory. The page cache holds the files, as it does after a kill.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from tailrace.base.types import TopicPartition
from tailrace.log import checkpoint
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log
from tailrace.log.producer_snapshot import encode_snapshot
from tailrace.records.builder import build_batch
from tailrace.records.record import Record

SEGMENT_BYTES = 1 << 30
BATCH_BYTES = 16 * 1024
FLUSHED_MB = 128
MIB = 1 << 20
READY = re.compile(r"ready kafka=(\S+):(\d+) data=\S+ in (\d+) ms")
PARTITION = TopicPartition("big", 0)


class Broker:
    """`tailrace serve` until it is ready."""

    def __init__(self, data_dir: Path) -> None:
        command = [sys.executable, "-m", "tailrace", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir)]
        command += ["--set", "http.listen="]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = READY.search(self.process.stdout.readline())
        assert found is not None, "the broker did not start"
        self.address = f"{found[1]}:{found[2]}"
        self.ready_ms = int(found[3])

    def read_bytes(self) -> int:
        """Bytes the process has asked for by read(2) and the like, so far."""
        io = Path(f"/proc/{self.process.pid}/io").read_text()
        return int(dict(line.split(": ") for line in io.splitlines())["rchar"])

    def end(self, *, clean: bool) -> None:
        """SIGTERM or SIGKILL, and wait."""
        (self.process.terminate if clean else self.process.kill)()
        self.process.wait()


def create_topic(data_dir: Path) -> tuple[int, int]:
    """Have a broker create the topic, and end it cleanly; the bytes and ms that an empty start takes for itself."""
    broker = Broker(data_dir)
    own = broker.read_bytes()
    command = [
        sys.executable,
        "-m",
        "tailrace",
        "topics",
        "create",
        PARTITION.topic,
        "--bootstrap-server",
        broker.address,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    broker.end(clean=True)
    return own, broker.ready_ms


def fill(data_dir: Path, size_bytes: int, unflushed_bytes: int) -> None:
    """Make the partition's directory that of a killed broker."""
    directory = data_dir / str(PARTITION)
    for path in directory.glob("0*"):
        path.unlink()
    per_segment = SEGMENT_BYTES // BATCH_BYTES
    segment_count = max(1, size_bytes // SEGMENT_BYTES)
    for number in range(segment_count - 1):
        write_sealed(directory, number * per_segment, per_segment)
    base = (segment_count - 1) * per_segment
    (directory / f"{base:020d}.log").touch()
    (directory / f"{base:020d}.index").touch()
    (directory / f"{base:020d}.snapshot").write_bytes(encode_snapshot([]))
    (directory / "leader-epoch-checkpoint").write_text("0\n1\n0 0\n")
    log = Log.open(directory, PARTITION, LogConfig(), LogEnvironment(), was_clean=True)
    assert log.log_end_offset == base, (log.log_end_offset, base)
    append(log, FLUSHED_MB * MIB)
    log.flush()
    append(log, unflushed_bytes)
    log.abandon()
    checkpoint.write_offsets(
        LogEnvironment().disk, data_dir / checkpoint.RECOVERY_POINTS, {PARTITION: log.recovery_point}
    )
    (data_dir / ".kafka_cleanshutdown").unlink(missing_ok=True)


def write_sealed(directory: Path, base: int, count: int) -> None:
    """A sparse segment of `count` offsets, with index files as one of that size has, and a producer snapshot."""
    with (directory / f"{base:020d}.log").open("wb") as file:
        file.truncate(SEGMENT_BYTES)
    entries = range(1, count)
    step = SEGMENT_BYTES // count
    (directory / f"{base:020d}.index").write_bytes(b"".join(struct.pack(">ii", each, each * step) for each in entries))
    times = b"".join(struct.pack(">qi", 1_700_000_000_000 + base + each, each) for each in entries)
    (directory / f"{base:020d}.timeindex").write_bytes(times)


def append(log: Log, byte_count: int) -> None:
    """Append idempotent batches of random bytes."""
    value = os.urandom(BATCH_BYTES - 100)
    done = 0
    while done < byte_count:
        known = log.producer_states.get(1)
        sequence = known.last_sequence + 1 if known is not None else 0
        record = Record(0, 1_700_000_000_000 + log.log_end_offset, None, value)
        batch = build_batch([record], producer_id=1, producer_epoch=0, base_sequence=sequence)
        log.append_as_leader(memoryview(batch), 0)
        done += len(batch)


def measure(root: Path, size_gb: int, unflushed_mb: int) -> dict[str, object]:
    """One row."""
    data_dir = root / f"{size_gb}-{unflushed_mb}"
    own, empty_ms = create_topic(data_dir)
    fill(data_dir, size_gb << 30, unflushed_mb * MIB)
    broker = Broker(data_dir)
    read_mb = (broker.read_bytes() - own) / MIB
    broker.end(clean=True)
    clean = Broker(data_dir)
    clean_mb = (clean.read_bytes() - own) / MIB
    clean.end(clean=True)
    shutil.rmtree(data_dir)
    return {
        "log_gb": size_gb,
        "unflushed_mb": unflushed_mb,
        "empty_ready_ms": empty_ms,
        "ready_ms": broker.ready_ms,
        "read_mb": round(read_mb, 1),
        "clean_ready_ms": clean.ready_ms,
        "clean_read_mb": round(clean_mb, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sizes-gb", default="1,20")
    parser.add_argument("--unflushed-mb", default="0,64,512")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    print("log GB | not flushed MB | ms to ready: empty | killed | MB read | closed | MB read")
    with tempfile.TemporaryDirectory(prefix="recovery-") as root:
        for size_gb in map(int, options.sizes_gb.split(",")):
            for unflushed_mb in map(int, options.unflushed_mb.split(",")):
                row = measure(Path(root), size_gb, unflushed_mb)
                rows.append(row)
                print(" | ".join(str(value) for value in row.values()), flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
