"""What the word counts of several stream processors have in common: the program, the input, and reading the result."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from tests.harness.brokers import BrokerProcess
from tests.harness.story import new_name

PARTITIONS = 3
WAIT_S = 150.0


class Program:
    """A process that is killed and started again."""

    def __init__(self, command: list[str], log: Path, ready: str) -> None:
        self._command = command
        self._log = log
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it has written `ready`."""
        before = len(self._log.read_bytes()) if self._log.exists() else 0
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out)
        until = time.monotonic() + WAIT_S
        while self._ready.encode() not in self._log.read_bytes()[before:]:
            assert time.monotonic() < until and self._process.poll() is None, self.tail()
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(WAIT_S)
            self._process = None

    def tail(self) -> str:
        """What it wrote last."""
        return self._log.read_text(errors="replace")[-6_000:]


def feed(broker: BrokerProcess, topic: str, records: list[tuple[str, str]]) -> None:
    """By murmur2, as the Java client does: what is joined must lie in partitions of the same number."""
    producer = Producer({"bootstrap.servers": broker.address, "partitioner": "murmur2_random", "acks": "all"})
    for key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(WAIT_S) == 0


def read_until(
    broker: BrokerProcess, topic: str, is_whole: Callable[[dict[str, list[str]]], bool]
) -> dict[str, list[str]]:
    """The committed values of each key, in order, once they are whole, and what comes within a second after."""
    consumer = Consumer(
        {"bootstrap.servers": broker.address, "group.id": new_name("r"), "isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    found: dict[str, list[str]] = {}
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        messages = [each for each in consumer.consume(5_000, 1.0) if each.error() is None]
        for each in messages:
            found.setdefault(each.key().decode(), []).append(each.value().decode())
        if not messages and is_whole(found):
            break
    consumer.close()
    return found


def last_of(found: dict[str, list[str]]) -> dict[str, str]:
    return {word: values[-1] for word, values in found.items()}


def differences(found: dict[str, list[str]], expected: dict[str, list[str]]) -> list[str]:
    """The first words that are wrong, and where."""
    wrong = [word for word in sorted(expected.keys() | found.keys()) if found.get(word) != expected.get(word)]
    places = []
    for word in wrong[:5]:
        have, want = found.get(word, []), expected.get(word, [])
        at = next((n for n, (a, b) in enumerate(zip(have, want, strict=False)) if a != b), min(len(have), len(want)))
        places.append(f"{word} from {at}: {have[at : at + 5]}, not {want[at : at + 5]}")
    return places
