"""Reading the past: how many reader threads a disk wants, and what hot clients feel of a consumer that catches up.

    python bench/bench_cold_reads.py sweep [--megabytes N] [--seconds S] [--directory DIR]
    python bench/bench_cold_reads.py beside [--megabytes N] [--rounds N] [--throttle MB_PER_S] [--directory DIR]

sweep   random reads of 4, 16 and 64 KiB by 1 to 128 threads, past the page cache (O_DIRECT): threads of Python with
        os.preadv, threads of fio with pread, and what `Readers` reaches with the number it would choose, through the
        page cache, which is emptied before
beside  a broker, a client that produces a record and fetches it, over and over, and a consumer that reads a log from
        its start. Latency of both requests without the consumer, beside it when all is in memory, which costs the same
        processor time, and beside it when nothing is; and how fast the log was read. `--throttle` lets the broker read
        no more than so much from the disk (blkio, needs root)

`--write FILE` keeps the results. The directory must be on a real disk. Needs fio for its columns; without: none.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import queue
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), os.environ.get("TAILRACE_SRC", str(ROOT / "src"))]

from node.served import RawClient, ServedBroker  # noqa: E402
from tailrace.records.batch import iter_whole_batches  # noqa: E402
from tailrace.records.builder import BatchBuilder  # noqa: E402
from tailrace.wire.api import ApiKey  # noqa: E402
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic  # noqa: E402
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic  # noqa: E402
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData  # noqa: E402

THREAD_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
BLOCK_BYTES = (4096, 16384, 65536)
COLD_BATCH_BYTES = 64 * 1024
HOT_VALUE = b"h" * 200
Row = dict[str, Any]  # Any: numbers and names, for JSON


# How many threads


def random_reads(path: Path, block: int, threads: int, seconds: float) -> float:
    """Reads a second of `threads` threads that each wait for their read."""
    blocks = path.stat().st_size // block
    stop = time.perf_counter() + seconds

    def work(seed: int) -> int:
        choose = random.Random(seed).random
        buffer = [mmap.mmap(-1, block)]  # O_DIRECT wants aligned memory
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        count = 0
        while time.perf_counter() < stop:
            os.preadv(fd, buffer, int(choose() * blocks) * block)
            count += 1
        os.close(fd)
        return count

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / seconds


def fio_reads(path: Path, block: int, threads: int, seconds: float) -> float | None:
    """The same by fio; None where it is not installed."""
    if shutil.which("fio") is None:
        return None
    command = ["fio", "--name=r", f"--filename={path}", "--rw=randread", f"--bs={block}", "--direct=1", "--thread"]
    command += ["--ioengine=psync", f"--numjobs={threads}", f"--runtime={seconds}", "--time_based"]
    command += ["--group_reporting", "--output-format=json", "--randrepeat=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]["read"]["iops"])


def readers_reads(path: Path, block: int, seconds: float) -> tuple[int, float]:
    """(threads chosen, loads a second) of the broker's own reader threads on a file that is not in memory."""
    from tailrace.base.disk import RealDisk
    from tailrace.base.page_cache import KernelPageCache
    from tailrace.net.handler import FileRange
    from tailrace.node.reader_threads import reader_threads
    from tailrace.node.readers import Readers

    threads = reader_threads(0, [path.parent])
    forget(path)
    file = RealDisk().open(path)
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # as O_DIRECT: no more is read than asked for
    posted: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()  # stands for the loop
    readers = Readers(posted.put, KernelPageCache(), threads)
    blocks = path.stat().st_size // block

    def ask() -> None:
        readers.load_range(FileRange(file, random.randrange(blocks) * block, block), block, lambda _: None)

    for _ in range(4 * threads):
        ask()
    count = 0
    started = time.perf_counter()
    while time.perf_counter() < started + seconds:
        posted.get()()
        ask()
        count += 1
    took = time.perf_counter() - started
    readers.close()
    return threads, count / took


def forget(path: Path) -> None:
    """Have nothing of a file in memory."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def sweep(arguments: argparse.Namespace, directory: Path) -> list[Row]:
    """One row for each block size and number of threads."""
    path = directory / "random"
    with path.open("wb") as file:
        for _ in range(arguments.megabytes):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
    rows: list[Row] = []
    for block in BLOCK_BYTES:
        for threads in THREAD_COUNTS:
            row = {"block": block, "threads": threads}
            row["python"] = random_reads(path, block, threads, arguments.seconds)
            row["fio"] = fio_reads(path, block, threads, arguments.seconds)
            rows.append(row)
            print(*(f"{key} {value:,.0f}" for key, value in row.items() if value is not None), flush=True)
        threads, reads = readers_reads(path, block, arguments.seconds)
        rows.append({"block": block, "threads": threads, "readers": reads})
        print(f"block {block} readers with {threads} threads {reads:,.0f}", flush=True)
    return rows


# What others feel


def fetch_request(topic: str, offset: int, max_bytes: int) -> FetchRequest:
    """A long poll of one partition, without a session."""
    partition = FetchPartition(0, fetch_offset=offset, partition_max_bytes=max_bytes)
    topics = [FetchTopic(topic, partitions=[partition])]
    return FetchRequest(max_wait_ms=500, min_bytes=1, max_bytes=max_bytes, session_epoch=-1, topics=topics)


def produce_request(topic: str, records: bytearray) -> ProduceRequest:
    """One batch, acks=all."""
    return ProduceRequest(
        None, -1, 30_000, [TopicProduceData(topic, partition_data=[PartitionProduceData(0, records)])]
    )


def one_batch(value: bytes) -> bytearray:
    """A batch of one record."""
    builder = BatchBuilder()
    builder.append(1_700_000_000_000, None, value)
    return builder.build()


class Hot(threading.Thread):
    """Produces a record and fetches it, until told to stop; notes how long each took, in ms."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self._address = address
        self._over = threading.Event()
        self.produce_ms: list[float] = []
        self.fetch_ms: list[float] = []

    def run(self) -> None:
        batch = one_batch(HOT_VALUE)
        with RawClient(self._address) as client:
            while not self._over.wait(0.001):
                begun = time.perf_counter()
                answer = client.ask(ApiKey.PRODUCE, 9, produce_request("hot", batch))
                acknowledged = time.perf_counter()
                offset = answer.responses[0].partition_responses[0].base_offset
                found = client.ask(ApiKey.FETCH, 12, fetch_request("hot", offset, 1 << 20))
                self.fetch_ms.append((time.perf_counter() - acknowledged) * 1e3)
                self.produce_ms.append((acknowledged - begun) * 1e3)
                assert found.responses[0].partitions[0].records

    def stop(self) -> Row:
        """End, and say what was felt."""
        self._over.set()
        self.join()
        return {
            "requests": len(self.fetch_ms),
            **{f"fetch_p{p}_ms": percentile(self.fetch_ms, p) for p in (50, 99, 100)},
            **{f"produce_p{p}_ms": percentile(self.produce_ms, p) for p in (50, 99, 100)},
        }


def percentile(values: list[float], percent: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))], 2)


SCAN = """
import sys, time
sys.path[:0] = {path!r}
from bench_cold_reads import scan
started = time.perf_counter()
total = scan(({host!r}, {port}), {seconds}, {end})
print(total, time.perf_counter() - started)
"""


def scan(address: tuple[str, int], seconds: float, end_offset: int) -> int:
    """Read topic cold from its start to its end, or for so long; answers how many bytes."""
    offset = total = 0
    stop = time.perf_counter() + seconds
    with RawClient(address) as client:
        while offset < end_offset and time.perf_counter() < stop:
            client.send(ApiKey.FETCH, 12, fetch_request("cold", offset, 1 << 20))
            found = find_records(receive_large(client))
            for batch in iter_whole_batches(found):
                offset = batch.base_offset + batch.last_offset_delta + 1
            total += len(found)
    return total


def find_records(frame: memoryview) -> memoryview:
    """The records of an answer to `fetch_request`, whose head has always the same form."""
    from tailrace.wire.api import api
    from tailrace.wire.frame import decode_response

    found = api(ApiKey.FETCH)
    assert found is not None
    _, response = decode_response(found, 12, frame)
    data = response.responses[0].partitions[0]
    assert data.error_code == 0, data.error_code
    return memoryview(data.records) if data.records else memoryview(b"")


def receive_large(client: RawClient) -> memoryview:
    """The next frame, received into one piece of memory."""
    (size,) = struct.unpack(">i", client.socket.recv(4, socket.MSG_WAITALL))
    frame = memoryview(bytearray(size))
    got = 0
    while got < size:
        count = client.socket.recv_into(frame[got:])
        assert count, "the broker closed the connection"
        got += count
    return frame


def fill(address: tuple[str, int], megabytes: int) -> None:
    """Topics hot and cold; cold with so much in it."""
    value = os.urandom(COLD_BATCH_BYTES)
    batch = one_batch(value)
    with RawClient(address) as client:
        topics = [MetadataRequestTopic(name=name) for name in ("hot", "cold")]
        client.ask(ApiKey.METADATA, 9, MetadataRequest(topics, True))
        waiting = 0
        for _ in range(megabytes * (1 << 20) // COLD_BATCH_BYTES):
            client.send(ApiKey.PRODUCE, 9, produce_request("cold", batch))
            waiting += 1
            if waiting == 16:
                client.receive(ApiKey.PRODUCE, 9)
                waiting -= 1
        for _ in range(waiting):
            client.receive(ApiKey.PRODUCE, 9)


@contextmanager
def throttled(pid: int, directory: Path, megabytes_per_s: float) -> Iterator[None]:
    """Let the process read no more than so much a second from the directory's disk."""
    device = directory.stat().st_dev
    group = Path("/sys/fs/cgroup/blkio") / f"bench-cold-{os.getpid()}"
    group.mkdir()
    try:
        rate = int(megabytes_per_s * 1e6)
        (group / "blkio.throttle.read_bps_device").write_text(f"{os.major(device)}:{os.minor(device)} {rate}")
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def beside(arguments: argparse.Namespace, directory: Path) -> list[Row]:
    """Three rows a round: the hot client alone, beside a scan of what is in memory, and beside one of what is not."""
    rows: list[Row] = []
    settings = ("--set", "log.segment.bytes=268435456")
    with ServedBroker(directory / "data", *settings) as broker:
        fill(broker.address, arguments.megabytes)
        for number in range(arguments.rounds):
            rows.append(alone(broker, number))
            print(rows[-1], flush=True)
            rows.append(with_scan(broker, number, arguments, "a scan in memory"))
            print(rows[-1], flush=True)
            for path in (directory / "data" / "cold-0").iterdir():
                forget(path)
            if arguments.throttle:
                with throttled(broker.process.pid, directory, arguments.throttle):
                    rows.append(with_scan(broker, number, arguments, "a cold scan"))
            else:
                rows.append(with_scan(broker, number, arguments, "a cold scan"))
            print(rows[-1], flush=True)
    return rows


def alone(broker: ServedBroker, number: int) -> Row:
    hot = Hot(broker.address)
    hot.start()
    time.sleep(3)
    return {"round": number, "beside": "nothing", **hot.stop()}


def with_scan(broker: ServedBroker, number: int, arguments: argparse.Namespace, name: str) -> Row:
    host, port = broker.address
    end = arguments.megabytes * (1 << 20) // COLD_BATCH_BYTES
    paths = [str(ROOT / "bench"), *sys.path[:2]]
    code = SCAN.format(path=paths, host=host, port=port, seconds=max(arguments.seconds, 3), end=end)
    hot = Hot(broker.address)
    hot.start()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size, took = map(float, done.stdout.split())
    speed = {"scan_megabytes": round(size / 1e6), "scan_mb_per_s": round(size / 1e6 / took, 1)}
    return {"round": number, "beside": name, **hot.stop(), **speed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sweep", "beside"))
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement; beside: of the scan at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--throttle", type=float, default=0.0)
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        rows = {"sweep": sweep, "beside": beside}[arguments.what](arguments, Path(name))
    if arguments.write:
        kept = json.loads(arguments.write.read_text()) if arguments.write.exists() else {}
        kept[arguments.what + (f" at {arguments.throttle:g} MB/s" if arguments.throttle else "")] = rows
        arguments.write.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
