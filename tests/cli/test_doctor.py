"""`tailrace doctor` of real brokers: each finding here comes from what a broker answered, not from values made up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from tests.harness.brokers import BrokerProcess, TailraceProcess, free_ports

from .conftest import Tailrace

HOUR_MS = 3_600_000
ANSWER_S = 60.0


def examined(tailrace: Tailrace, address: str, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and the findings by the name of their check."""
    done = tailrace("doctor", address, "--json", *words)
    return done.code, {each["check"]: each for each in done.json["findings"]}


def produce_old(address: str, topic: str, count: int, age_ms: int) -> None:
    producer = Producer({"bootstrap.servers": address})
    for number in range(count):
        producer.produce(topic, f"{number}", partition=0, timestamp=int(time.time() * 1000) - age_ms)
    assert producer.flush(ANSWER_S) == 0


def commit(address: str, group: str, topic: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": address, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def test_a_group_that_reads_nothing_is_told_until_it_has_read(
    tailrace: Tailrace, topic: str, broker: BrokerProcess
) -> None:
    produce_old(broker.address, topic, 30, HOUR_MS)
    commit(broker.address, "behind", topic, 10)
    code, found = examined(tailrace, broker.address)
    assert code == 1
    assert found["group-without-members"]["subject"] == "group behind"
    assert f"20 wait in partition {topic}-0" in found["group-without-members"]["what"]
    commit(broker.address, "behind", topic, 31)
    assert "group-beyond-end" in examined(tailrace, broker.address)[1]
    commit(broker.address, "behind", topic, 30)
    assert examined(tailrace, broker.address) == (0, {})


def test_records_that_are_young_may_wait(tailrace: Tailrace, topic: str, broker: BrokerProcess) -> None:
    produce_old(broker.address, topic, 5, 0)
    commit(broker.address, "a-moment-behind", topic, 0)
    assert examined(tailrace, broker.address) == (0, {})


def test_a_transaction_that_stays_open(tailrace: Tailrace, topic: str, broker: BrokerProcess) -> None:
    producer = Producer({
        "bootstrap.servers": broker.address, "transactional.id": "forgotten", "transaction.timeout.ms": 60_000,
    })  # fmt: skip
    producer.init_transactions(ANSWER_S)
    producer.begin_transaction()
    producer.produce(topic, "x", partition=1, timestamp=int(time.time() * 1000) - HOUR_MS)
    assert producer.flush(ANSWER_S) == 0
    code, found = examined(tailrace, broker.address)
    assert (code, found["transaction-hangs"]["subject"]) == (1, f"partition {topic}-1")
    assert "--id forgotten" in found["transaction-hangs"]["cure"]
    producer.abort_transaction(ANSWER_S)
    assert "transaction-hangs" not in examined(tailrace, broker.address)[1]


def test_traps_of_settings_and_dates(tailrace: Tailrace, broker: BrokerProcess) -> None:
    words = ("-c", "retention.ms=60000", "-c", "min.insync.replicas=2")
    assert tailrace("topics", "create", "trapped", *words).code == 0
    producer = Producer({"bootstrap.servers": broker.address, "acks": 1})
    assert tailrace("topics", "create", "dated").code == 0
    producer.produce("dated", "x", timestamp=int(time.time() * 1000) + HOUR_MS // 2)
    assert producer.flush(ANSWER_S) == 0
    code, found = examined(tailrace, broker.address)
    assert code == 1
    assert found["min-isr-above-replicas"]["subject"] == "topic trapped"
    assert "trapped" in found["retention-below-segment"]["subject"]
    assert found["record-from-the-future"]["subject"] == "partition dated-0"
    assert "partition-under-min-isr" not in found, "one fault, told once"
    done = tailrace("doctor", broker.address)
    assert "PROBLEM  topic trapped: want more replicas" in done.out
    assert "cure:  lower min.insync.replicas" in done.out
    tailrace("topics", "delete", "trapped", "--yes")
    assert tailrace("doctor", broker.address, "--fail-on", "problem").code == 0, "a warning is left"
    tailrace("topics", "delete", "dated", "--yes")


def test_an_address_where_no_broker_is(tailrace: Tailrace) -> None:
    (port,) = free_ports(1)
    code, found = examined(tailrace, f"127.0.0.1:{port}")
    assert (code, list(found)) == (3, ["address-unreachable"])
    assert found["address-unreachable"]["what"] == "refuses connections"


def test_an_advertised_address_that_leads_nowhere(tailrace: Tailrace, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    advertised = f"PLAINTEXT://127.0.0.1:{port}"
    own = TailraceProcess(tmp_path, {"advertised.listeners": advertised, "http.listen": "127.0.0.1:0"})
    own.start()
    try:
        http = own.log_tail().partition(" http=")[2].split()[0]
        code, found = examined(tailrace, own.address, "--http", http, "--request-timeout", "20")
        assert code == 1
        unreachable = found["advertised-address-unreachable"]
        assert f"advertises 127.0.0.1:{port} to clients, and from here the connection is refused" in unreachable["what"]
        code, found = examined(tailrace, http, "--http", http, "--request-timeout", "1")
        assert (code, list(found)) == (3, ["address-not-understood"]), "an HTTP listener is no broker"
    finally:
        own.kill()


def test_a_data_directory_with_a_broker_on_it_and_without(tailrace: Tailrace, tmp_path: Path) -> None:
    own = TailraceProcess(tmp_path, {})
    own.start()
    try:
        assert own.process is not None
        pid = own.process.pid
        produce_old(own.address, "kept", 3, 0)
        done = tailrace("doctor", "--data", str(own.data_directory))
        assert f"process {pid} " in done.out and "unclean-end" not in done.out
        own.kill()
        code, found = examined_directory(tailrace, own.data_directory)
        assert found["unclean-end"]["severity"] == "note", "it was killed"
        own.start()
        own.stop()
        assert examined_directory(tailrace, own.data_directory)[1].keys() <= PLACES
        (segment,) = own.data_directory.glob("kept-0/*.log")
        segment.write_bytes(b"\x7f" * 100)
        code, found = examined_directory(tailrace, own.data_directory)
        assert (code, found["segment-damaged"]["severity"]) == (1, "problem")
    finally:
        own.kill()


PLACES = {"file-system", "volume-full", "descriptors-few"}
"""What may be found of the machine that tests run on."""


def examined_directory(tailrace: Tailrace, directory: Path) -> tuple[int, dict[str, Any]]:
    done = tailrace("doctor", "--data", str(directory), "--json")
    return done.code, {each["check"]: each for each in done.json["findings"]}
