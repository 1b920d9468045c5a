"""The workloads by name. `scale` 1 is a few seconds each. Settings a broker must be started with are part of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import loads, requests
from .brokers import FSYNC
from .copies import traced
from .loads import BASE, KB, MB, Measured, Moved
from .process import Meter

LATENCY_RATE_PER_S = 2000.0
"""The fixed rate of `latency`: one all peers keep up with on one core."""


@dataclass(frozen=True)
class Target:
    """A broker that runs: its address, its data directory, and the core the load may use (None: any)."""

    address: str
    directory: Path
    load_core: int | None
    scale: float
    pid: int = 0


Load = Callable[[Target, Measured], Moved]


@dataclass(frozen=True)
class Entry:
    """A workload: what it is in words, its load, the settings its broker needs, and which brokers cannot, and why."""

    words: str
    load: Load
    settings: dict[str, str] = field(default_factory=dict)
    cannot: dict[str, str] = field(default_factory=dict)
    floor: str = ""


def produce(bytes_max: int = 400 * MB, **changes: object) -> Load:
    """As fast as it goes."""
    workload = replace(BASE, **changes)  # type: ignore[arg-type]
    return lambda target, begin: loads.produce(
        target.address, _scaled(workload, target), int(bytes_max * target.scale), begin
    )


def fetch(fill_bytes: int = 100 * MB, seconds: float = 3.0, **changes: object) -> Load:
    """Catch-up reads of what has just been written."""
    workload = replace(BASE, duration_s=seconds, **changes)  # type: ignore[arg-type]
    return lambda target, begin: loads.consume(
        target.address, _scaled(workload, target), int(fill_bytes * target.scale), begin
    )


def ask(connections: int) -> Load:
    """Requests of one record over plain connections."""

    def load(target: Target, begin: Measured) -> Moved:
        topic = f"requests-{connections}-{os.urandom(4).hex()}"
        line = requests.Line(target.address)
        with line.socket:
            requests.make_topic(line, topic)
        served = requests.serve(target.address, topic, connections, 3.0 * target.scale, begin)
        return Moved(served.requests, served.requests * 100, served.elapsed_s, served.requests)

    return load


def fetch_from_disk(target: Target, begin: Measured) -> Moved:
    """One pass over a topic whose pages were dropped from memory."""

    def begin_cold() -> None:
        evict(target.directory)
        begin()

    return loads.read_once(target.address, BASE, int(300 * MB * target.scale), begin_cold)


def evict(directory: Path) -> None:
    """Write every file out and drop its pages from the page cache."""
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _scaled(workload: loads.Workload, target: Target) -> loads.Workload:
    return replace(workload, duration_s=max(0.2, workload.duration_s * target.scale))


def _latency(target: Target, begin: Measured) -> Moved:
    workload = replace(BASE, rate_per_s=LATENCY_RATE_PER_S, linger_ms=0, batch_bytes=16 * KB, duration_s=4.0)
    return loads.round_trips(target.address, _scaled(workload, target), begin)


def _at_half(target: Target, begin: Measured) -> Moved:
    workload = replace(BASE, linger_ms=0, batch_bytes=16 * KB, duration_s=4.0)
    return loads.at_half(target.address, _scaled(workload, target), max(0.2, 2.0 * target.scale), begin)


def copies(load: Load) -> Load:
    """What a load has the kernel copy, in bytes for each byte of its records, the broker being traced."""

    def traced_load(target: Target, begin: Measured) -> Moved:
        with ExitStack() as tracing:
            found = None

            def begin_traced() -> None:
                nonlocal found
                found = tracing.enter_context(traced(target.pid))
                begin()

            moved = load(target, begin_traced)
        assert found is not None
        own = {"copied": found.copied / moved.bytes, "in_place": found.in_place / moved.bytes}
        return Moved(moved.records, moved.bytes, moved.elapsed_s, own=own, traced=True)

    return traced_load


def _read_once(target: Target, begin: Measured) -> Moved:
    return loads.read_once(target.address, BASE, int(60 * MB * target.scale), begin)


def _group(target: Target, begin: Measured) -> Moved:
    return loads.group(target.address, replace(BASE, connections=3, partitions=6), int(100 * MB * target.scale), begin)


def _transactions(target: Target, begin: Measured) -> Moved:
    return loads.transactions(target.address, _scaled(replace(BASE, duration_s=3.0), target), 100, begin)


def _idle(target: Target, begin: Measured) -> Moved:
    return loads.many_topics(target.address, max(10, int(1000 * target.scale)), begin, Meter(target.pid))


def _java_consume(target: Target, begin: Measured) -> Moved:
    return loads.java_consume(target.address, BASE, int(300 * MB * target.scale), begin, target.load_core)


def _java_produce(target: Target, begin: Measured) -> Moved:
    return loads.java_produce(target.address, BASE, int(150 * MB * target.scale), begin, target.load_core)


IN_MEMORY = {"tansu": "it keeps records in memory alone"}
NO_FSYNC = {**IN_MEMORY, "noida-db": "it has no setting for it"}
ENTRIES: dict[str, Entry] = {
    "produce": Entry("1 KB records, batches of 256 KB, acks=all", produce(), floor="receive"),
    "produce-100b": Entry("100 B records, batches of 256 KB", produce(40 * MB, record_bytes=100)),
    "produce-16kb": Entry("16 KB records, batches of 256 KB", produce(record_bytes=16 * KB)),
    "produce-1mb": Entry("1 KB records, batches of 1 MB", produce(batch_bytes=1 * MB)),
    "produce-one": Entry("1 KB records, a request each", produce(20 * MB, batch_bytes=0, linger_ms=0)),
    "produce-lz4": Entry("1 KB records, batches of 256 KB, lz4", produce(compression="lz4")),
    "acks-0": Entry("as produce, acks=0", produce(acks="0")),
    "acks-1": Entry("as produce, acks=1", produce(acks="1")),
    "fsync": Entry("as produce, every batch forced to disk", produce(100 * MB), FSYNC, NO_FSYNC),
    "partitions-16": Entry("as produce, 16 partitions", produce(partitions=16)),
    "partitions-256": Entry("as produce, 256 partitions", produce(partitions=256)),
    "connections-50": Entry("as produce, 50 producers", produce(connections=50)),
    "fetch": Entry("one reader of 100 MB in the page cache", fetch(), floor="send"),
    "fetch-disk": Entry("one reader of 300 MB that is on disk only", fetch_from_disk, cannot=IN_MEMORY),
    "fanout-10": Entry("10 readers of 20 MB", fetch(20 * MB, connections=10)),
    "group": Entry("a group of 3 members, 6 partitions, 100 MB", _group),
    "requests-1": Entry("one-record requests, 1 connection", ask(1), floor="echo"),
    "requests-50": Entry("one-record requests, 50 connections", ask(50)),
    "requests-1000": Entry("one-record requests, 1,000 connections", ask(1000)),
    "latency": Entry(f"{LATENCY_RATE_PER_S:,.0f} records/s of 1 KB, due to acknowledged and to read", _latency),
    "latency-half": Entry("1 KB records at half of the rate that the broker takes at most", _at_half),
    "transactions": Entry("transactions of 100 records", _transactions),
    "idle": Entry("1,000 partitions that nobody uses", _idle),
    "java-produce": Entry("as produce, by Apache Kafka's ProducerPerformance", _java_produce),
    "java-consume": Entry("300 MB, by Apache Kafka's ConsumerPerformance", _java_consume),
    "fanout-100": Entry("100 readers of 2 MB", fetch(2 * MB, connections=100)),
    "copies-produce": Entry("bytes copied by 60 MB of produce", copies(produce(60 * MB))),
    "copies-fetch": Entry("bytes copied by 60 MB of fetch", copies(_read_once)),
}
DEFAULT = (
    "produce", "produce-100b", "produce-lz4", "fetch", "fanout-10", "group",
    "requests-1", "requests-50", "requests-1000", "latency", "latency-half",
)  # fmt: skip
