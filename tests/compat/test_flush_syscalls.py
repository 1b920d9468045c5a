"""Group commit seen from the kernel: how many syncs a Produce costs. Needs Debian's strace; fails without it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.harness.brokers import TailraceProcess
from tests.harness.drivers import eventually

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import bench_durability

SECONDS = 1.5


def is_traced(pid: str) -> bool:
    """Whether a tracer has every thread of the process."""
    found = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return all(re.search(r"^TracerPid:\s+[1-9]", text, re.MULTILINE) for text in found)


def syncs_per_request(tmp_path: Path, producers: int, settings: dict[str, str]) -> float:
    """fdatasync calls for each Produce of `producers` clients, each with one request on its way."""
    broker = TailraceProcess(tmp_path / "broker", settings)
    broker.start()
    try:
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        admin.create_topics([NewTopic(bench_durability.TOPIC, 1, 1)])[bench_durability.TOPIC].result(60)
        assert broker.process is not None
        traced = tmp_path / "trace"
        pid = str(broker.process.pid)
        command = ["strace", "-f", "-e", "trace=fdatasync", "-p", pid, "-o", str(traced)]
        strace = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        eventually(lambda: is_traced(pid), "strace sees every thread")
        bench_durability.load(broker.port, producers, SECONDS)
        strace.send_signal(signal.SIGINT)
        strace.wait(30)
        reader = Consumer({"bootstrap.servers": broker.address, "group.id": "counts", "log_level": 0})
        _, requests = reader.get_watermark_offsets(TopicPartition(bench_durability.TOPIC, 0), 30, cached=False)
        reader.close()
    finally:
        broker.kill()
    syncs = len(re.findall(r"fdatasync\(\d+", traced.read_text()))
    assert requests > 20  # a record each
    return syncs / requests


@pytest.mark.compat
@pytest.mark.parametrize("setting", [{"log.flush.before.ack": "true"}, {"log.flush.interval.messages": "1"}])
def test_many_producers_share_a_sync_and_one_has_its_own(tmp_path: Path, setting: dict[str, str]) -> None:
    assert syncs_per_request(tmp_path / "16", 16, setting) < 0.5
    assert 0.8 < syncs_per_request(tmp_path / "1", 1, setting) < 1.2


@pytest.mark.compat
def test_the_page_cache_needs_none(tmp_path: Path) -> None:
    assert syncs_per_request(tmp_path, 4, {}) == 0
