"""The same segments compacted by Apache Kafka and by us leave the same batches with the same records.

The segments are ours: keys, tombstones, every codec, idempotent producers, transactions committed and aborted, in
several groups worth of bytes. They are put under a topic of a stopped Kafka; its cleaner and ours work on equal
copies, twice, the second time after `delete.retention.ms`. Kafka's own tool then reads every file that we wrote.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from tests.support.compaction_support import SETTINGS
from tests.support.log_support import environment

from harness.brokers import KafkaProcess, java_command
from tailrace.base.clock import SystemClock
from tailrace.base.types import TopicPartition
from tailrace.log.compaction.cleaner import Cleaner
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import AppendOrigin, Log
from tailrace.log.logs import Logs
from tailrace.log.recovery import NOTHING_KNOWN
from tailrace.records.batch import DELETE_HORIZON_MASK
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.control import EndTxnMarker, build_end_txn_marker
from tailrace.records.record import Record

TOPIC = TopicPartition("compacted", 0)
DELETE_RETENTION_MS = 2_000
WAIT_S = 120.0
KAFKA_SETTINGS = {
    "log.cleaner.backoff.ms": "100",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.cleaner.threads": "1",
}
TOPIC_CONFIG = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": str(DELETE_RETENTION_MS),
    "segment.bytes": str(1 << 20),
    "file.delete.delay.ms": "0",
}
CONFIG = LogConfig(
    cleanup_policy=frozenset({"compact"}),
    min_cleanable_dirty_ratio=0.01,
    delete_retention_ms=DELETE_RETENTION_MS,
    segment_bytes=1 << 20,
    segment_ms=1 << 60,
    retention_ms=-1,
)


class Writer:
    """Appends the same history to every directory it is given: the seed and the number of the call decide."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.random = Random(seed)
        env = LogEnvironment(clock=SystemClock())
        self.log = Log.open(directory, TOPIC, CONFIG, env, NOTHING_KNOWN, was_clean=False)
        self.time_ms = BASE_MS + 1000 * seed

    def append(self, pairs: list[tuple[bytes, bytes | None]], **fields: object) -> None:
        self.time_ms += 7
        headers = (("h", b"1"), ("n", None)) if len(pairs) % 2 else ()
        records = [Record(i, self.time_ms + i, key, value, headers) for i, (key, value) in enumerate(pairs)]
        self.log.append_as_leader(memoryview(build_batch(records, **fields)), 0)  # type: ignore[arg-type]

    def producer_fields(self, producer_id: int, *, is_transactional: bool) -> dict[str, object]:
        state = self.log.producer_states.get(producer_id)
        sequence = 0 if state is None else state.last_sequence + 1
        return {
            "producer_id": producer_id,
            "producer_epoch": 0,
            "base_sequence": sequence,
            "is_transactional": is_transactional,
        }

    def pairs(self) -> list[tuple[bytes, bytes | None]]:
        random = self.random
        return [
            (
                b"key-%d" % random.randrange(120),
                None if random.random() < 0.15 else random.randbytes(random.randrange(2500)),
            )
            for _ in range(random.randrange(1, 8))
        ]

    def write(self, count: int) -> None:
        """`count` steps, then a last sealed segment and an active one with a record."""
        open_ids: set[int] = set()
        for number in range(count):
            kind = self.random.random()
            if kind < 0.4:
                self.append(self.pairs(), codec=Codec(self.random.randrange(5)))
            elif kind < 0.55:
                producer_id = self.random.randrange(100, 104)
                self.append(self.pairs(), **self.producer_fields(producer_id, is_transactional=False))
            elif kind < 0.85:
                producer_id = self.random.randrange(200, 206)
                open_ids.add(producer_id)
                self.append(self.pairs(), **self.producer_fields(producer_id, is_transactional=True))
            elif open_ids:
                self.end(open_ids.pop(), commit=self.random.random() < 0.5)
            if number % 37 == 36:
                self.log.roll()
        for producer_id in sorted(open_ids):
            self.end(producer_id, commit=False)
        self.log.roll()
        self.append([(b"last", b"active")])
        self.log.close()

    def end(self, producer_id: int, *, commit: bool) -> None:
        self.time_ms += 7
        marker = build_end_txn_marker(producer_id, 0, EndTxnMarker(commit, 0), self.time_ms)
        self.log.append_as_leader(memoryview(marker), 0, AppendOrigin.COORDINATOR)


BASE_MS = SystemClock().wall_ms() - 3_600_000

Row = tuple[object, ...]


def read(directory: Path) -> tuple[list[Row], list[Row]]:
    """Batches with records, and those without, in a log directory; delete horizons as whether there is one."""
    copy = directory.with_name("read-" + directory.name)
    shutil.copytree(directory, copy)
    log = Log.open(copy, TOPIC, CONFIG, environment(), NOTHING_KNOWN, was_clean=False)
    full: list[Row] = []
    empty: list[Row] = []
    for segment, position, header in log.segments.batches_from(0):
        batch = segment.batch_at(position, header.size)
        assert batch.crc_valid()
        row = (
            batch.base_offset,
            batch.last_offset,
            batch.attributes,
            batch.max_timestamp,
            batch.partition_leader_epoch,
            (batch.producer_id, batch.producer_epoch, batch.base_sequence),
            tuple(batch.records()),
        )
        (full if batch.record_count else empty).append(row)
        if batch.attributes & DELETE_HORIZON_MASK:
            assert batch.base_timestamp > BASE_MS + 3_000_000
    aborted = log.aborted_transactions(0, log.log_end_offset)
    log.abandon()
    shutil.rmtree(copy)
    return [*full, ("aborted", tuple(aborted))], empty


def compact_here(logs_directory: Path) -> None:
    """Our cleaner over a log directory, now."""
    env = LogEnvironment(clock=SystemClock())
    logs = Logs([logs_directory], env, lambda topic: CONFIG)
    logs.load_all()
    log = logs.get(TOPIC)
    assert log is not None
    log.high_watermark = log.log_end_offset
    cleaner = Cleaner(logs, env, lambda: SETTINGS._replace(dedupe_buffer_bytes=2 << 20, io_buffer_bytes=1 << 19))
    cleaner.tick()
    assert log.first_dirty_offset == log.segments.active.base_offset
    assert logs.shut_down()


def compact_by_kafka(kafka: KafkaProcess, expected_offset: int) -> None:
    """Kafka's cleaner over its directory, until its checkpoint says that all but the active segment is clean."""
    (kafka.data_directory / ".kafka_cleanshutdown").unlink(missing_ok=True)
    kafka.start()
    checkpoint = kafka.data_directory / "cleaner-offset-checkpoint"
    deadline = time.monotonic() + WAIT_S
    while f"{TOPIC.topic} 0 {expected_offset}\n" not in (checkpoint.read_text() if checkpoint.exists() else ""):
        assert time.monotonic() < deadline, checkpoint.read_text() if checkpoint.exists() else kafka.log_tail()
        time.sleep(0.1)
    kafka.stop()


def active_base(directory: Path) -> int:
    return max(int(path.stem) for path in directory.glob("*.log"))


@pytest.fixture
def kafka(tmp_path: Path) -> KafkaProcess:
    """A stopped Kafka that has the topic."""
    process = KafkaProcess(tmp_path / "kafka", {**KAFKA_SETTINGS})
    process.start()
    admin = AdminClient({"bootstrap.servers": process.address})
    admin.create_topics([NewTopic(TOPIC.topic, 1, config=TOPIC_CONFIG)])[TOPIC.topic].result(60)
    process.stop()
    return process


def write_both(directories: list[Path], seed: int, count: int) -> None:
    for directory in directories:
        Writer(directory, seed).write(count)


@pytest.mark.parametrize("seed", [1])
def test_the_same_segments_compacted_by_kafka_and_by_us(kafka: KafkaProcess, tmp_path: Path, seed: int) -> None:
    theirs = kafka.data_directory / str(TOPIC)
    ours = tmp_path / "ours" / str(TOPIC)
    ours.mkdir(parents=True)
    for path in theirs.iterdir():
        if path.name != "partition.metadata":
            path.unlink()
    for round_number in range(2):
        write_both([theirs, ours], seed + 10 * round_number, 300)
        before, _ = read(ours)
        compact_here(ours.parent)
        compact_by_kafka(kafka, active_base(ours))
        compare(theirs, ours)
        left, _ = read(ours)
        print(f"round {round_number}: {len(before)} batches with records before, {len(left)} after")
        assert 10 < len(left) < len(before)
        time.sleep(DELETE_RETENTION_MS / 1000 + 0.1)
    check_with_kafkas_tool(ours)


def check_with_kafkas_tool(directory: Path) -> None:
    """DumpLogSegments finds nothing to complain of in logs and indexes."""
    for option, suffixes in (("--deep-iteration", {".log"}), ("--index-sanity-check", {".index", ".timeindex"})):
        files = [str(path) for path in sorted(directory.iterdir()) if path.suffix in suffixes]
        command = [*java_command("-Xmx256m"), "org.apache.kafka.tools.DumpLogSegments", option]
        ended = subprocess.run(
            [*command, "--files", ",".join(files)], capture_output=True, text=True, timeout=120, check=True
        )
        words = ended.stdout + ended.stderr
        assert not re.search("(?i)mismatch|exception|not found|out of order|isvalid: false", words), words[:2000]
        assert words.count("Dumping") == len(files)


def compare(theirs: Path, ours: Path) -> None:
    their_full, their_empty = read(theirs)
    our_full, our_empty = read(ours)
    for their_row, our_row in zip(their_full, our_full, strict=False):
        assert our_row == their_row
    assert len(our_full) == len(their_full)
    # We keep the last header of each group of segments, Kafka only that of the last group.
    assert set(their_empty) <= set(our_empty)
    assert len(our_empty) - len(their_empty) <= len(list(ours.glob("*.log")))
