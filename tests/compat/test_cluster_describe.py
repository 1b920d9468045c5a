"""`tailrace cluster describe` of Apache Kafka, and a local cluster that has its metadata in an etcd of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from tests.harness.brokers import tailrace_environment

from tailrace.local.cluster import LocalCluster, LocalOptions

WAIT_S = 60.0


def describe(bootstrap: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", "cluster", "describe", "--json", "-b", bootstrap],
        capture_output=True, text=True, timeout=WAIT_S, check=False, env=tailrace_environment(),
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def end_of_leader(state: dict[str, Any]) -> int | None:
    """How far the leader of topic "t" says that it is; None where it did not, or there is none."""
    (found,) = [each for each in state["partition_states"] if each["topic"] == "t"]
    ends = [each["end_offset"] for each in found["replicas"] if each["broker"] == found["leader"]]
    return ends[0] if ends else None


def test_apache_kafka_is_described_by_its_own_answers(oracle: str) -> None:
    topic = "described-by-tailrace"
    admin = AdminClient({"bootstrap.servers": oracle})
    admin.create_topics([NewTopic(topic, 2, 1, config={"min.insync.replicas": "2"})])[topic].result(timeout=60)
    producer = Producer({"bootstrap.servers": oracle, "acks": 1})
    deadline = time.monotonic() + WAIT_S
    for _ in range(3):
        producer.produce(topic, b"x" * 1000, partition=1)
    assert producer.flush(60) == 0
    found: dict[int, dict[str, Any]] = {}
    while time.monotonic() < deadline:
        code, state = describe(oracle)
        found = {each["partition"]: each for each in state["partition_states"] if each["topic"] == topic}
        if all(each["leader"] == 1 and each["replicas"][0]["end_offset"] is not None for each in found.values()):
            break
    assert code == 1, "one in sync of two wanted"
    assert [(each["broker"], each["is_fenced"], each["trouble"]) for each in state["broker_states"]] == [(1, False, "")]
    assert [found[index]["problems"] for index in (0, 1)] == [["under-min-isr"]] * 2
    assert found[0]["why"] == "acks=all is refused: 1 in sync of 2 wanted"
    replica = found[1]["replicas"][0]
    assert (replica["end_offset"], replica["lag_records"], replica["lag_bytes"]) == (3, 0, 0)
    assert replica["size_bytes"] > 3000
    admin.delete_topics([topic])[topic].result(timeout=60)


def test_a_local_cluster_in_etcd_survives_a_broker_and_is_there_next_time(tmp_path: Path) -> None:
    for life in range(2):
        cluster = LocalCluster(LocalOptions(3, tmp_path, {}, "etcd"))
        cluster.open()
        try:
            servers = ",".join(f"127.0.0.1:{port}" for port in cluster.ports.values())
            producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
            deadline = time.monotonic() + WAIT_S
            while any(len(each["in_sync"]) < 3 for each in describe(servers)[1]["partition_states"]):
                assert time.monotonic() < deadline, "who was stopped last is alone in sync until the others come back"
            cluster.broker(life + 1).kill()
            producer.produce("t", b"%d" % life)
            assert producer.flush(WAIT_S) == 0
            deadline = time.monotonic() + WAIT_S
            while end_of_leader(state := describe(servers)[1]) is None:  # a busy broker is asked in vain
                assert time.monotonic() < deadline, "the leader does not tell how far it is"
            assert state["brokers"] == 3
            assert end_of_leader(state) == life + 1
        finally:
            cluster.close(is_clean=True)
