"""Quix Streams' word count, exactly once, killed twice: every count from one to the last, each once.
Quix Streams lives in a virtual environment of its own (`tools/compat_install.py quix`)."""

import time
from collections import Counter
from pathlib import Path
from random import Random

from confluent_kafka.admin import AdminClient, NewTopic
from tests.compat.word_counts import PARTITIONS, WAIT_S, Program, differences, feed, read_until
from tests.harness.brokers import BrokerFailed, BrokerProcess, cache_directory
from tests.harness.story import new_name

SEED = 1
LINES = 1_500
WORDS = [f"word{number}" for number in range(40)]
SOURCE = Path(__file__).with_name("quix") / "word_count.py"


def program(broker: BrokerProcess, directory: Path, lines: str, counts: str) -> Program:
    """Quix Streams' application; its state is in `directory`."""
    python = cache_directory() / "quix" / "bin" / "python"
    if not python.exists():
        raise BrokerFailed(f"no Quix Streams at {python}: run tools/compat.sh, or tools/compat_install.py quix")
    command = [str(python), str(SOURCE), broker.address, new_name("quix"), str(directory / "state"), lines, counts]
    return Program(command, directory / "quix.log", "The application started and is now processing")


def test_word_count(broker: BrokerProcess, tmp_path: Path) -> None:
    random = Random(SEED)
    topics = [new_name(tag) for tag in ("lines", "counts")]
    admin = AdminClient({"bootstrap.servers": broker.address})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        made.result(WAIT_S)
    lines = [" ".join(random.choices(WORDS, k=random.randint(1, 8))) for _ in range(LINES)]
    counts = Counter(word for line in lines for word in line.split())
    application = program(broker, tmp_path, *topics)
    try:
        for part in range(3):
            feed(broker, topics[0], [(str(number), line) for number, line in enumerate(lines[part::3])])
            application.start()
            if part < 2:
                time.sleep(random.uniform(0.3, 1.5))
                application.stop()
        expected = {word: [str(number) for number in range(1, count + 1)] for word, count in counts.items()}
        found = read_until(broker, topics[1], lambda read: sum(map(len, read.values())) >= sum(counts.values()))
        assert found == expected, (differences(found, expected), application.tail())
    finally:
        application.stop()
