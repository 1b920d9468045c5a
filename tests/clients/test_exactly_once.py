"""Consume, transform, produce: copiers are killed at random, and the broker too; each record arrives once, in order."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.harness.brokers import BrokerProcess, tailrace_environment
from tests.harness.story import new_name

PARTITIONS = 2
RECORDS = 1_200
WAIT_S = 180.0
KILLS_LEAST, KILLS_MOST = 3, 4
PORTION = RECORDS // (KILLS_LEAST + 1)


class Copiers:
    """Programs that copy, started again when they end or are killed."""

    def __init__(self, client: str, broker: BrokerProcess, source: str, target: str, log: Path) -> None:
        self.group = new_name("copiers")
        self._log = log
        self._commands = [
            [sys.executable, "-m", "tests.clients.copier", client, broker.address, source, target, *names]
            for names in [(self.group, f"{self.group}.{number}") for number in range(2 if client == "confluent" else 1)]
        ]
        self._running: list[subprocess.Popen[bytes] | None] = [None] * len(self._commands)
        self.kills = 0

    def keep_running(self) -> None:
        for number, process in enumerate(self._running):
            if process is None or process.poll() is not None:
                with self._log.open("ab") as log:
                    self._running[number] = subprocess.Popen(
                        self._commands[number], env=tailrace_environment(), stdout=log, stderr=log
                    )

    def kill(self, number: int) -> None:
        process = self._running[number % len(self._running)]
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
            self.kills += 1

    def close(self) -> None:
        for number in range(len(self._running)):
            self.kill(number)


@pytest.fixture(params=["confluent", "aiokafka"])
def client(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def fill(broker: BrokerProcess, topic: str, kills: int) -> None:
    """What is there to copy after so many kills: no copy is over before KILLS_LEAST of them."""
    producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True})
    for number in range(PORTION * kills, PORTION * (kills + 1)):
        producer.produce(topic, f"{number}", partition=number % PARTITIONS)
    assert producer.flush(WAIT_S) == 0


def count_committed(broker: BrokerProcess, topic: str, found: dict[int, list[int]], reader: Consumer) -> int:
    for message in reader.consume(500, 0.2):
        if message.error() is None:
            found.setdefault(message.partition(), []).append(int(message.value()))
    return sum(map(len, found.values()))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_record_arrives_once(broker: BrokerProcess, client: str, tmp_path: Path) -> None:
    chance = random.Random(f"exactly once {client}")
    source, target = new_name("source"), new_name("target")
    admin = AdminClient({"bootstrap.servers": broker.address})
    for made in admin.create_topics([NewTopic(source, PARTITIONS), NewTopic(target, PARTITIONS)]).values():
        made.result(WAIT_S)
    fill(broker, source, 0)
    filled = 0
    copiers = Copiers(client, broker, source, target, tmp_path / "copiers.log")
    reader = Consumer(
        {"bootstrap.servers": broker.address, "group.id": new_name("check"), "isolation.level": "read_committed"}
    )
    reader.assign([TopicPartition(target, index, 0) for index in range(PARTITIONS)])
    found: dict[int, list[int]] = {}
    until, next_kill, killed_broker = time.monotonic() + WAIT_S, time.monotonic() + 1.5, 0
    try:
        while count_committed(broker, target, found, reader) < RECORDS:
            assert time.monotonic() < until, (
                f"{sum(map(len, found.values()))} of {RECORDS} after {copiers.kills} kills\n"
                + (tmp_path / "copiers.log").read_text()[-4_000:]
            )
            copiers.keep_running()
            if filled < min(copiers.kills, KILLS_LEAST):
                filled += 1
                fill(broker, source, filled)
            if time.monotonic() > next_kill and copiers.kills < KILLS_MOST:
                if killed_broker < 2 and chance.random() < 0.3:
                    broker.kill_and_restart()
                    killed_broker += 1
                else:
                    copiers.kill(chance.randrange(2))
                next_kill = time.monotonic() + chance.uniform(0.3, 2.5)
        count_committed(broker, target, found, reader)  # whatever would come twice
        kills = copiers.kills
    finally:
        copiers.close()
        reader.close()
    assert kills >= KILLS_LEAST
    assert found == {index: list(range(index, RECORDS, PARTITIONS)) for index in range(PARTITIONS)}
