"""Kafka Streams with `exactly_once_v2`: a word count with a table and a join, the application killed again and again,
once without the state it had on disk, and the broker killed once. The result is that of a batch computation, and no
count was ever written twice or left out. TAILRACE_STREAMS_SEED chooses input and kills (1)."""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.compat.java_client import SOURCES, compiled, streams_libraries
from tests.harness.brokers import BrokerProcess, java_command
from tests.harness.story import new_name

SEED = int(os.environ.get("TAILRACE_STREAMS_SEED", "1"))
LINES = 3_000
WORDS = [f"word{number}" for number in range(40)]
PARTITIONS = 3
WAIT_S = 90.0


class Application:
    """The Java program, killed and started again on the same topics."""

    def __init__(self, broker: BrokerProcess, directory: Path, topics: list[str]) -> None:
        self.state = directory / "state"
        self.log = directory / "streams.log"
        self._command = [
            *java_command(
                "-Xmx256m", log_level="ERROR", classpath=(compiled(SOURCES / "streams", streams_libraries()), *jars())
            ),
            *("WordCount", broker.address, new_name("app"), str(self.state), *topics),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it processes."""
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out)
        until = time.monotonic() + WAIT_S
        while "state RUNNING" not in self.log.read_text(errors="replace")[before:]:
            assert time.monotonic() < until and self._process.poll() is None, self.tail()
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(WAIT_S)
            self._process = None

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-6_000:]


def jars() -> Iterator[Path]:
    yield from sorted(streams_libraries().glob("*.jar"))


@contextmanager
def running(application: Application) -> Iterator[Application]:
    try:
        yield application
    finally:
        application.stop()


def test_word_count_exactly_once(broker: BrokerProcess, tmp_path: Path) -> None:
    random = Random(SEED)
    topics = [new_name(tag) for tag in ("lines", "table", "counts", "joined")]
    admin = AdminClient({"bootstrap.servers": broker.address})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        made.result(WAIT_S)
    lines = [" ".join(random.choices(WORDS, k=random.randint(1, 8))) for _ in range(LINES)]
    entries = [(random.choice(WORDS), f"entry{number}") for number in range(200)]
    parts = 4  # lives of the application; what is fed in one is more than it manages before it is killed
    counts = Counter(word for line in lines for word in line.split())
    table = dict(entry for part in range(parts) for entry in entries[part::parts])
    with running(Application(broker, tmp_path, topics)) as application:
        for part in range(parts):
            feed(broker, topics[0], [(str(n), line) for n, line in enumerate(lines[part::parts])])
            feed(broker, topics[1], entries[part::parts])
            application.start()
            if part == parts - 1:
                break
            time.sleep(random.uniform(0, 0.8))
            if part == 1:
                broker.kill_and_restart()
                time.sleep(random.uniform(0, 0.8))
            application.stop()
            if part == 2:
                shutil.rmtree(application.state)
        told = f"seed {SEED}"
        expected = {word: [str(number) for number in range(1, count + 1)] for word, count in counts.items()}
        found = read_until(broker, topics[2], lambda read: sum(map(len, read.values())) >= sum(counts.values()))
        assert found == expected, (told, differences(found, expected), application.tail())
        batch = {word: f"{count} {table.get(word, 'null')}" for word, count in counts.items()}
        joined = read_until(broker, topics[3], lambda read: last_of(read) == batch)
        assert last_of(joined) == batch, (told, application.tail())
        application.stop(signal.SIGTERM)
    # Streams purges the repartition topic of what it has counted, by DeleteRecords.
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "observer"})
    [words] = [name for name in consumer.list_topics().topics if name.endswith("words-repartition")]
    bounds = [
        consumer.get_watermark_offsets(TopicPartition(words, number), cached=False) for number in range(PARTITIONS)
    ]
    consumer.close()
    assert all(low > 0 for low, high in bounds if high > 0), bounds


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
