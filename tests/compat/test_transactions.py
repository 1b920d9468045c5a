"""The Java client's transactions (KIP-890) by Apache's own programs: the copier of Kafka's system tests, killed and
aborting at random, and kafka-transactions.sh. Hanging transactions are made by hand, as no client makes them."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.compat.differential import batch, simple
from tests.compat.raw import Peer
from tests.harness.brokers import BrokerProcess, chosen_broker, java_command, tailrace_environment
from tests.harness.drivers import eventually
from tests.harness.story import new_name

RECORDS = 1_500
WAIT_S = 120.0
SETTINGS = {
    "auto.create.topics.enable": "true",
    "transaction.partition.verification.enable": "false",  # or nothing could ever hang
}


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker that lets transactions in without asking their coordinator."""
    started = chosen_broker()(tmp_path_factory.mktemp("lenient"), SETTINGS)
    started.start()
    try:
        yield started
    finally:
        started.kill()


def copier(broker: BrokerProcess, source: str, target: str, name: str) -> list[str]:
    arguments = {
        "--transactional-id": name,
        "--input-topic": source,
        "--input-partition": "0",
        "--output-topic": target,
        "--max-messages": str(RECORDS),
        "--consumer-group": name,
        "--broker-list": broker.address,
        "--transaction-size": "20",
        "--transaction-timeout": "10000",
    }
    java = java_command("-Xmx256m", log_level="ERROR")
    options = [part for pair in arguments.items() for part in pair]
    return [*java, "org.apache.kafka.tools.TransactionalMessageCopier", *options, "--enable-random-aborts"]


def test_apaches_copier_copies_once(broker: BrokerProcess, tmp_path: Path) -> None:
    """Killed twice, the broker once, and one transaction in three aborted: each record once, in order."""
    source, target, name = new_name("source"), new_name("target"), new_name("copier")
    producer = Producer({"bootstrap.servers": broker.address})
    for number in range(RECORDS):
        producer.produce(source, str(number), partition=0)
    assert producer.flush(WAIT_S) == 0
    log = tmp_path / "copier.log"
    until, status, kills = time.monotonic() + WAIT_S, -1, 0
    while status != 0:
        assert time.monotonic() < until, log.read_text()[-4_000:]
        with log.open("ab") as out:
            process = subprocess.Popen(copier(broker, source, target, name), stdout=out, stderr=out)
        try:
            if kills < 2:
                before = log.read_text().count("ProcessLoop")
                while log.read_text().count("ProcessLoop") < before + 15 and process.poll() is None:
                    time.sleep(0.005)
                if kills == 1:
                    broker.kill_and_restart()
                kills += 1
                process.send_signal(signal.SIGKILL)
            status = process.wait(WAIT_S)
        finally:
            process.kill()
            process.wait()
    assert kills == 2
    assert read(broker, target, RECORDS) == [str(number) for number in range(RECORDS)]


def read(broker: BrokerProcess, topic: str, count: int) -> list[str]:
    consumer = Consumer(
        {"bootstrap.servers": broker.address, "group.id": new_name("r"), "isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[str] = []
    until = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < until:
        found += [each.value().decode() for each in consumer.consume(500, 0.3) if each.error() is None]
    found += [each.value().decode() for each in consumer.consume(500, 0.5) if each.error() is None]
    consumer.close()
    return found


def transactions(broker: BrokerProcess, *arguments: str) -> str:
    """What `kafka-transactions.sh` prints."""
    command = [*java_command("-Xmx256m", log_level="ERROR"), "org.apache.kafka.tools.TransactionsCommand"]
    command += ["--bootstrap-server", broker.address, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert finished.returncode == 0, finished
    return finished.stdout


def ours(broker: BrokerProcess, *arguments: str) -> list[dict[str, Any]]:
    """What `tailrace transactions` finds."""
    command = [sys.executable, "-m", "tailrace", "transactions", *arguments, "--json", "-b", broker.address]
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, check=False, env=tailrace_environment()
    )
    assert finished.returncode == 0, finished
    found: list[dict[str, Any]] = json.loads(finished.stdout)
    return found


def columns(table: str, *names: str) -> list[list[str]]:
    """The named columns of what the tool prints."""
    head, *rows = [[cell.strip() for cell in line.split("\t")] for line in table.splitlines() if line.strip()]
    return [[row[head.index(name)] for name in names] for row in rows]


def test_kafka_transactions_lists_and_describes(broker: BrokerProcess) -> None:
    name, topic = new_name("described"), new_name("t")
    # Longer than every JVM of the test takes: it must not time out meanwhile.
    patient = {"transactional.id": name, "transaction.timeout.ms": 600_000}
    producer = Producer({"bootstrap.servers": broker.address, **patient})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce(topic, "x", partition=0)
    producer.flush(WAIT_S)
    listed = columns(transactions(broker, "list"), "TransactionalId", "TransactionState")
    assert [name, "Ongoing"] in listed
    [described] = columns(
        transactions(broker, "describe", "--transactional-id", name), "TransactionState", "TopicPartitions"
    )
    assert described == ["Ongoing", f"{topic}-0"]
    producers = transactions(broker, "describe-producers", "--topic", topic, "--partition", "0")
    [[start]] = columns(producers, "CurrentTransactionStartOffset")
    assert start == "0"
    _check_both_tools_agree(broker, name, topic)
    transactions(broker, "forceTerminateTransaction", "--transactionalId", name)
    ended = ("CompleteAbort", "Empty")
    eventually(lambda: ours(broker, "describe", name)[0]["state"] in ended, "its markers are written")
    [[state]] = columns(transactions(broker, "describe", "--transactional-id", name), "TransactionState")
    assert state in ended


def _check_both_tools_agree(broker: BrokerProcess, name: str, topic: str) -> None:
    theirs = columns(transactions(broker, "list"), "TransactionalId", "TransactionState", "ProducerId")
    mine = [[each["transactional_id"], each["state"], str(each["producer_id"])] for each in ours(broker, "list")]
    assert sorted(theirs) == mine
    names = ("ProducerId", "ProducerEpoch", "TransactionState", "TransactionTimeoutMs")
    [described] = columns(transactions(broker, "describe", "--transactional-id", name), *names)
    [each] = ours(broker, "describe", name)
    assert described == [str(each[key]) for key in ("producer_id", "producer_epoch", "state", "timeout_ms")]
    names = ("ProducerId", "ProducerEpoch", "CurrentTransactionStartOffset", "LastSequence")
    [known] = columns(transactions(broker, "describe-producers", "--topic", topic, "--partition", "0"), *names)
    [each] = ours(broker, "producers", f"{topic}:0")
    assert known == [str(each[key]) for key in ("producer_id", "producer_epoch", "start_offset", "last_sequence")]


def test_a_hanging_transaction_is_found_and_aborted(lenient: BrokerProcess) -> None:
    """KIP-664: a batch whose partition its coordinator has never heard of holds readers back until it is aborted."""
    topic = new_name("hanging")
    ordinary = Producer({"bootstrap.servers": lenient.address})
    ordinary.produce(topic, "before", partition=0)
    assert ordinary.flush(WAIT_S) == 0
    peer = Peer(lenient.address)
    records = batch(simple(1), producer=(424_242, 0, 0), attributes=16, timestamp_ms=int(time.time() - 3_600) * 1000)
    data = [{"name": topic, "partition_data": [{"index": 0, "records": records}]}]
    answer = peer.ask("produce", 9, transactional_id="nobody", acks=-1, timeout=10_000, topic_data=data)
    assert answer["responses"][0]["partition_responses"][0]["error_code"] == "none"
    peer.close()
    ordinary.produce(topic, "after", partition=0)
    assert ordinary.flush(WAIT_S) == 0
    assert read(lenient, topic, 1) == ["before"]
    found = transactions(lenient, "find-hanging", "--topic", topic)
    assert columns(found, "Topic", "Partition", "ProducerId") == [[topic, "0", "424242"]]
    [mine] = ours(lenient, "find-hanging", "--topic", topic)
    assert (mine["topic"], mine["partition"], mine["producer_id"], mine["start_offset"]) == (topic, 0, 424_242, 1)
    transactions(lenient, "abort", "--topic", topic, "--partition", "0", "--start-offset", "1")
    assert read(lenient, topic, 2) == ["before", "after"]
    assert columns(transactions(lenient, "find-hanging", "--topic", topic), "ProducerId") == []
    assert ours(lenient, "find-hanging", "--topic", topic) == []


def test_dump_log_reads_the_transaction_log(broker: BrokerProcess) -> None:
    """DumpLogSegments, with its decoder for this topic, makes sense of every record."""
    name = new_name("dumped")
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": name})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce(new_name("t"), "x", partition=0)
    producer.commit_transaction(WAIT_S)
    eventually(lambda: ours(broker, "describe", name)[0]["state"] == "CompleteCommit", "its markers are written")
    files = sorted(broker.data_directory.glob("__transaction_state-*/*.log"))
    command = [*java_command("-Xmx256m", log_level="ERROR"), "org.apache.kafka.tools.DumpLogSegments"]
    command += ["--transaction-log-decoder", "--files", ",".join(map(str, files))]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert finished.returncode == 0, finished
    mine = [line for line in finished.stdout.splitlines() if name in line]
    states = [int(found) for found in re.findall(r'"transactionStatus":(\d)', "\n".join(mine))]
    assert states[0] == 0 and states[-3:] == [1, 2, 4], mine
