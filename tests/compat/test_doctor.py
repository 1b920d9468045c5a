"""`tailrace doctor` of Apache Kafka: it is examined by its own answers, whole, and what is planted is found."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.harness.brokers import tailrace_environment

TOPIC = "0-examined-by-tailrace"
"""The first of those that a finding names, where other tests have left theirs."""
HOUR_MS = 3_600_000
WAIT_S = 90.0


def test_apache_kafka_is_examined(oracle: str) -> None:
    admin = AdminClient({"bootstrap.servers": oracle})
    wanted = NewTopic(TOPIC, 1, 1, config={"retention.ms": "86400000"})
    admin.create_topics([wanted])[TOPIC].result(timeout=WAIT_S)
    producer = Producer({"bootstrap.servers": oracle})
    for number in range(10):
        producer.produce(TOPIC, f"{number}", timestamp=int(time.time() * 1000) - HOUR_MS)
    assert producer.flush(WAIT_S) == 0
    consumer = Consumer({"bootstrap.servers": oracle, "group.id": "examined-group"})
    consumer.commit(offsets=[TopicPartition(TOPIC, 0, 4)], asynchronous=False)
    consumer.close()
    transactional = Producer({"bootstrap.servers": oracle, "transactional.id": "examined-id"})
    transactional.init_transactions(WAIT_S)
    transactional.begin_transaction()
    transactional.produce(TOPIC, "open", timestamp=int(time.time() * 1000) - HOUR_MS)
    assert transactional.flush(WAIT_S) == 0
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", "doctor", oracle, "--json"],
        capture_output=True, text=True, timeout=WAIT_S, check=False, env=tailrace_environment(),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["findings"]
    subjects = {(each["check"], each["subject"]) for each in found}
    assert ("group-without-members", "group examined-group") in subjects
    assert ("transaction-hangs", f"partition {TOPIC}-0") in subjects
    assert any(each["check"] == "retention-below-segment" and TOPIC in each["subject"] for each in found)
    assert not [each for each in found if each["check"] in ("not-examined", "broker-silent")], "all of it was asked"
    transactional.abort_transaction(WAIT_S)
    admin.delete_consumer_groups(["examined-group"])["examined-group"].result(timeout=WAIT_S)
    admin.delete_topics([TOPIC])[TOPIC].result(timeout=WAIT_S)
