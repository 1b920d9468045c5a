"""A data directory that moves between brokers: what is written into it, and everything that can be seen of it.

`live` writes into a broker what a directory can hold; `observed` reads everything back through a client, in a form
that can be compared. `tenant` is a broker process that lives in a directory which is there already.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, NewTopic, OffsetSpec
from tests.harness.brokers import BrokerProcess, KafkaProcess, TailraceProcess, free_ports, tailrace_environment

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
WAIT_S = 90.0
STORY_SETTINGS = {
    "offsets.topic.num.partitions": "7",  # neither Kafka's default nor ours
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "200",
    "log.flush.offset.checkpoint.interval.ms": "1000",
}
TOPICS: dict[str, tuple[int, dict[str, str]]] = {
    "plain": (3, {"segment.bytes": "1048576", "index.interval.bytes": "512"}),
    "append.time": (1, {"message.timestamp.type": "LogAppendTime"}),
    "trimmed": (1, {}),
    "aged": (1, {"retention.ms": "3600000"}),
    "compacted": (1, {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "500"}),
    "txn": (2, {}),
    "empty": (2, {"retention.bytes": "123456"}),
}


def live(bootstrap: str) -> None:
    """Write everything; returns when retention and the cleaner have done what they must."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    made = admin.create_topics([NewTopic(name, count, config=config) for name, (count, config) in TOPICS.items()])
    for future in made.values():
        future.result(WAIT_S)
    _write_plain(bootstrap)
    _write_trimmed_and_aged(bootstrap, admin)
    _write_compacted(bootstrap)
    _write_transactions(bootstrap)
    commit(bootstrap, "readers", ["plain", "trimmed"])
    commit(bootstrap, "others", ["aged"])
    _wait_for(lambda: low(bootstrap, "aged") == 5)


def _producer(bootstrap: str, **more: Any) -> Producer:
    return Producer(
        {"bootstrap.servers": bootstrap, "log_level": 0, "enable.idempotence": True, "linger.ms": 5, **more}
    )


def _flushed(producer: Producer) -> None:
    assert producer.flush(WAIT_S) == 0


def _write_plain(bootstrap: str) -> None:
    for codec in CODECS:
        producer = _producer(bootstrap, **{"compression.type": codec, "batch.num.messages": 50})
        for number in range(300):
            value = None if number % 50 == 3 else f"{codec} {number} ".encode() * 40
            headers = [("h", b"x"), ("i", None)] if number % 7 == 0 else None
            key = None if number % 5 == 0 else b"k%d" % number
            producer.produce("plain", value, key, partition=number % 3, headers=headers)
            if number < 20:
                producer.produce("append.time", value, key)
        _flushed(producer)
    producer = _producer(bootstrap, **{"compression.type": "none"})
    for number in range(60):  # beyond a segment, in partition 0
        producer.produce("plain", b"%d" % number * 20_000, b"big", partition=0)
    _flushed(producer)


def _write_trimmed_and_aged(bootstrap: str, admin: AdminClient) -> None:
    producer = _producer(bootstrap)
    for number in range(10):
        producer.produce("trimmed", b"%d" % number)
    for number in range(5):
        producer.produce("aged", b"old %d" % number, timestamp=int(time.time() * 1000) - 7_200_000)
    _flushed(producer)
    admin.delete_records([TopicPartition("trimmed", 0, 4)])[TopicPartition("trimmed", 0)].result(WAIT_S)
    _wait_for(lambda: low(bootstrap, "aged") == 5)
    for number in range(5):
        producer.produce("aged", b"young %d" % number)
    _flushed(producer)


def _write_compacted(bootstrap: str) -> None:
    producer = _producer(bootstrap)
    for round_number in range(6):
        for key in range(10):
            value = None if key == 9 and round_number == 3 else b"round %d" % round_number
            producer.produce("compacted", value, b"k%d" % key)
        _flushed(producer)
        time.sleep(0.6)  # past segment.ms, so that the next round begins a segment


def _write_transactions(bootstrap: str) -> None:
    producer = _producer(bootstrap, **{"transactional.id": "teller"})
    producer.init_transactions(WAIT_S)
    reader = Consumer({"bootstrap.servers": bootstrap, "log_level": 0, "group.id": "in a transaction"})
    for number in range(6):
        producer.begin_transaction()
        for partition in range(2):
            producer.produce("txn", b"transaction %d" % number, b"%d" % number, partition=partition)
        offsets = [TopicPartition("txn", 0, 100 + number)]
        producer.send_offsets_to_transaction(offsets, reader.consumer_group_metadata(), WAIT_S)
        if number % 2:
            producer.abort_transaction(WAIT_S)
        else:
            producer.commit_transaction(WAIT_S)
    reader.close()
    bystander = _producer(bootstrap)
    bystander.produce("txn", b"beside", partition=0)
    _flushed(bystander)


def commit(bootstrap: str, group: str, topics: list[str], **more: str) -> None:
    """Offsets of a group that has read a little."""
    settings = {
        "bootstrap.servers": bootstrap,
        "log_level": 0,
        "group.id": group,
        "auto.offset.reset": "earliest",
        **more,
    }
    consumer = Consumer(settings)
    consumer.subscribe(topics)
    assert len(consumer.consume(4, WAIT_S)) == 4
    consumer.commit(asynchronous=False)
    consumer.close()


def low(bootstrap: str, topic: str) -> int:
    """Where partition 0 begins."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    asked = {TopicPartition(topic, 0): OffsetSpec.earliest()}
    return int(next(iter(admin.list_offsets(asked).values())).result(WAIT_S).offset)


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


# -- seeing ------------------------------------------------------------------------------------------------------------


def observed(bootstrap: str, topics: list[str], groups: list[str]) -> dict[str, Any]:
    """Everything a client can see of `topics` and `groups`, but what a new leader changes."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    _wait_for(lambda: _all_led(admin, topics) and _answers(admin, topics))
    seen: dict[str, Any] = {}
    described = admin.list_topics(timeout=WAIT_S).topics
    counts = {name: len(topic.partitions) for name, topic in described.items()}
    seen["partitions"] = {name: counts[name] for name in [*topics, "__consumer_offsets"]}
    seen["configs"] = {topic: _own_configs(admin, topic) for topic in [*topics, "__consumer_offsets"]}
    for topic in topics:
        partitions = [TopicPartition(topic, index) for index in range(counts[topic])]
        for name, spec in (("earliest", OffsetSpec.earliest()), ("latest", OffsetSpec.latest())):
            found = admin.list_offsets(dict.fromkeys(partitions, spec), isolation_level=IsolationLevel.READ_COMMITTED)
            seen[f"{name} {topic}"] = {tp.partition: future.result(WAIT_S).offset for tp, future in found.items()}
    for isolation in ("read_uncommitted", "read_committed"):
        found_records = _records(bootstrap, {topic: counts[topic] for topic in topics}, isolation)
        for topic, records in found_records.items():
            is_compacted = "compact" in TOPICS[topic][1].values()
            seen[f"{isolation} {topic}"] = _latest(records) if is_compacted else records
    for group in groups:
        seen[f"group {group}"] = _committed(admin, group)
    return seen


def _latest(records: list[tuple[Any, ...]]) -> dict[bytes, tuple[Any, ...]]:
    """The last record of each key: all that stays the same while a cleaner is at work. Tombstones may have gone."""
    last = {record[4]: record for record in records}
    return {key: record for key, record in last.items() if record[5] != b"-"}


def _all_led(admin: AdminClient, topics: list[str]) -> bool:
    found = admin.list_topics(timeout=WAIT_S).topics
    wanted = [*topics, "__consumer_offsets"]
    return all(name in found for name in wanted) and all(
        partition.leader >= 0 for name in wanted for partition in found[name].partitions.values()
    )


def _answers(admin: AdminClient, topics: list[str]) -> bool:
    """Whether every leader knows that it leads: a starting Kafka tells of leaders before they do."""
    found = admin.list_topics(timeout=WAIT_S).topics
    asked = {TopicPartition(name, index): OffsetSpec.latest() for name in topics for index in found[name].partitions}
    try:
        for future in admin.list_offsets(asked).values():
            future.result(WAIT_S)
    except KafkaException:
        return False
    return True


def _own_configs(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    found = admin.describe_configs([resource])[resource].result(WAIT_S)
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {name: entry.value for name, entry in found.items() if entry.source == own}


def _records(bootstrap: str, counts: dict[str, int], isolation: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every record of every topic, by partition and offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "group.id": "observer",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "check.crcs": True,
            "fetch.wait.max.ms": 50,
        }
    )
    partitions = [TopicPartition(name, index, OFFSET_BEGINNING) for name in counts for index in range(counts[name])]
    consumer.assign(partitions)
    found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in counts}
    ended: set[tuple[str, int]] = set()
    deadline = time.monotonic() + WAIT_S
    while len(ended) < len(partitions):
        assert time.monotonic() < deadline, f"only {sorted(ended)} have an end"
        for message in consumer.consume(500, 0.5):
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add((message.topic(), message.partition()))
                continue
            key = b"-" if message.key() is None else b"+" + message.key()
            value = b"-" if message.value() is None else b"+" + message.value()
            where = (message.partition(), message.offset(), message.timestamp(), message.leader_epoch())
            found[message.topic()].append((*where, key, value, repr(message.headers())))
    consumer.close()
    return {name: sorted(records) for name, records in found.items()}


def _committed(admin: AdminClient, group: str) -> dict[tuple[str, int], int]:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            future = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
            return {(tp.topic, tp.partition): tp.offset for tp in future.result(WAIT_S).topic_partitions}
        except KafkaException as error:  # the coordinator is still loading
            assert error.args[0].retriable() or error.args[0].code() == KafkaError.NOT_COORDINATOR, error
            assert time.monotonic() < deadline
            time.sleep(0.3)


def append_more(bootstrap: str, topics: list[str]) -> None:
    """One record to partition 0 of each topic, by a new idempotent producer, and a transaction by the old teller."""
    teller = _producer(bootstrap, **{"transactional.id": "teller"})
    teller.init_transactions(WAIT_S)
    teller.begin_transaction()
    teller.produce("txn", b"after the move", partition=1)
    teller.commit_transaction(WAIT_S)
    producer = _producer(bootstrap)
    for topic in topics:
        producer.produce(topic, b"later", b"later", partition=0)
    _flushed(producer)


# -- moving ------------------------------------------------------------------------------------------------------------


def tailrace_command(*words: str, status: int = 0) -> str:
    """Run one of our commands, which ends with `status`; its output."""
    command = [sys.executable, "-m", "tailrace", *words]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, check=False, env=tailrace_environment()
    )
    assert ended.returncode == status, ended.stderr
    return ended.stdout + ended.stderr


def tailrace_in(data: Path, directory: Path) -> BrokerProcess:
    """Tailrace on a directory that Kafka wrote, not started."""
    tailrace_command("from-kafka", "--data-dir", str(data))
    process = TailraceProcess(directory, {"offsets.topic.num.partitions": "3"})
    process.data_directory.symlink_to(data)
    return process


def kafka_in(data: Path, directory: Path, log_dirs: str | None = None) -> BrokerProcess:
    """Kafka on a directory that Tailrace wrote, not started. `log_dirs`: where the logs are, if not in `data`."""
    settings = {} if log_dirs is None else {"log.dirs": log_dirs}
    process = KafkaProcess(directory, {"offsets.topic.num.partitions": "3", **settings})
    process.port, process.controller_port = free_ports(2)
    where = ["--data-dir", str(data), *(f"--set={name}={value}" for name, value in settings.items())]
    tailrace_command("to-kafka", *where, "--controller", f"CONTROLLER://127.0.0.1:{process.controller_port}")
    process.data_directory.symlink_to(data)
    process.write_properties()
    return process
