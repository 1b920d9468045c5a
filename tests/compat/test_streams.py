"""Kafka Streams with `exactly_once_v2`: a word count with a table and a join, the application killed again and again,
once without the state it had on disk, and the broker killed once. The result is that of a batch computation, and no
count was ever written twice or left out. TAILRACE_STREAMS_SEED chooses input and kills (1)."""

import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.compat.java_client import SOURCES, compiled, streams_libraries
from tests.compat.word_counts import PARTITIONS, WAIT_S, Program, differences, feed, last_of, read_until
from tests.harness.brokers import BrokerProcess, java_command
from tests.harness.story import new_name

SEED = int(os.environ.get("TAILRACE_STREAMS_SEED", "1"))
LINES = 3_000
WORDS = [f"word{number}" for number in range(40)]


def program(broker: BrokerProcess, directory: Path, topics: list[str]) -> Program:
    """The Java program; its state is in `directory`."""
    classes = compiled(SOURCES / "streams", streams_libraries())
    java = java_command("-Xmx256m", log_level="ERROR", classpath=(classes, *sorted(streams_libraries().glob("*.jar"))))
    command = [*java, "WordCount", broker.address, new_name("app"), str(directory / "state"), *topics]
    return Program(command, directory / "streams.log", "state RUNNING")


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
    application = program(broker, tmp_path, topics)
    try:
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
                shutil.rmtree(tmp_path / "state")
        told = f"seed {SEED}"
        expected = {word: [str(number) for number in range(1, count + 1)] for word, count in counts.items()}
        found = read_until(broker, topics[2], lambda read: sum(map(len, read.values())) >= sum(counts.values()))
        assert found == expected, (told, differences(found, expected), application.tail())
        batch = {word: f"{count} {table.get(word, 'null')}" for word, count in counts.items()}
        joined = read_until(broker, topics[3], lambda read: last_of(read) == batch)
        assert last_of(joined) == batch, (told, application.tail())
        application.stop(signal.SIGTERM)
    finally:
        application.stop()
    # Streams purges the repartition topic of what it has counted, by DeleteRecords.
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "observer"})
    [words] = [name for name in consumer.list_topics().topics if name.endswith("words-repartition")]
    bounds = [
        consumer.get_watermark_offsets(TopicPartition(words, number), cached=False) for number in range(PARTITIONS)
    ]
    consumer.close()
    assert all(low > 0 for low, high in bounds if high > 0), bounds
