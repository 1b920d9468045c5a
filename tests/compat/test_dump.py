"""`tailrace dump` and Apache Kafka's DumpLogSegments read the same things in the same files of a broker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from harness.brokers import BrokerProcess, java_command

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
SOURCE = Path(__file__).resolve().parents[2] / "src"
WORD = re.compile(r"(\w+): (\[[^\]]*\]|\S+)")


@pytest.fixture(scope="module")
def directory(broker: BrokerProcess) -> Iterator[Path]:
    """The data directory of a broker that has seen every codec, nulls, headers, keys and a group, and was stopped."""
    fill(broker.address)
    broker.stop()
    yield broker.data_directory
    broker.start()  # the broker fixture ends with a broker that lives


def fill(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic("dumped", 1, config={"index.interval.bytes": "64"})])["dumped"].result(60)
    for codec in CODECS:
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": True})
        for number in range(5):
            value = None if number == 3 else f"{codec} {number} " * 50  # long, or librdkafka leaves it as it is
            producer.produce("dumped", value, f"k{number}", headers=[("h", b"x"), ("i", None)])
            producer.produce("dumped", b"value without key")
            assert producer.flush(60) == 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "dumpers", "auto.offset.reset": "earliest"})
    consumer.subscribe(["dumped"])
    assert len(consumer.consume(10, 30)) == 10
    consumer.commit(asynchronous=False)
    consumer.close()


def kafka_dump(path: Path) -> list[dict[str, str]]:
    """Each line of DumpLogSegments that describes something, as its words."""
    command = [*java_command("-Xmx256m"), "org.apache.kafka.tools.DumpLogSegments", "--print-data-log"]
    ended = subprocess.run([*command, "--files", str(path)], capture_output=True, text=True, timeout=120, check=True)
    lines = [line for line in ended.stdout.splitlines() if not line.startswith(("Dumping", "Log starting"))]
    return [dict(WORD.findall(line)) for line in lines]


def our_dump(path: Path) -> list[dict]:
    """The entries `tailrace dump --json` shows."""
    command = [sys.executable, "-m", "tailrace", "dump", "--json", "--records", str(path)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env={"PYTHONPATH": str(SOURCE)}
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def batch_in_kafkas_words(entry: dict) -> dict[str, str]:
    words = {
        "baseOffset": entry["base_offset"],
        "lastOffset": entry["last_offset"],
        "count": entry["record_count"],
        "baseSequence": entry["base_sequence"],
        "lastSequence": entry["last_sequence"],
        "producerId": entry["producer_id"],
        "producerEpoch": entry["producer_epoch"],
        "partitionLeaderEpoch": entry["leader_epoch"],
        "isTransactional": entry["transactional"],
        "isControl": entry["control"],
        "position": entry["position"],
        "CreateTime": entry["max_timestamp"],
        "size": entry["size_bytes"],
        "compresscodec": entry["codec"],
        "crc": entry["crc"],
        "isvalid": entry["crc_valid"],
    }
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in words.items()}


def record_in_kafkas_words(record: dict) -> dict[str, str]:
    def size(text: str | None) -> str:
        return "-1" if text is None else str(len(text.encode()))

    return {
        "offset": str(record["offset"]),
        "CreateTime": str(record["timestamp"]),
        "keySize": size(record["key"]),
        "valueSize": size(record["value"]),
        "headerKeys": f"[{','.join(header[0] for header in record.get('headers', ()))}]",
    }


def only(words: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    return {name: words[name] for name in wanted}


def test_batches_and_records_of_a_segment(directory: Path) -> None:
    segment = directory / "dumped-0" / "00000000000000000000.log"
    theirs, ours = kafka_dump(segment), our_dump(segment)
    their_batches = [words for words in theirs if "baseOffset" in words]
    their_records = [words for words in theirs if "keySize" in words]
    our_batches = [batch_in_kafkas_words(entry) for entry in ours]
    our_records = [record_in_kafkas_words(record) for entry in ours for record in entry["records"]]
    assert {words["compresscodec"] for words in our_batches} == set(CODECS)
    assert [only(words, our_batches[0]) for words in their_batches] == our_batches
    assert [only(words, our_records[0]) for words in their_records] == our_records


def test_offset_and_time_index(directory: Path) -> None:
    for suffix, columns in ((".index", ("offset", "position")), (".timeindex", ("timestamp", "offset"))):
        path = directory / "dumped-0" / f"00000000000000000000{suffix}"
        ours = [{column: str(entry[column]) for column in columns} for entry in our_dump(path)]
        assert len(ours) > 5, suffix
        assert [only(words, ours[0]) for words in kafka_dump(path)] == ours


def test_producer_snapshot(directory: Path) -> None:
    path = max((directory / "dumped-0").glob("*.snapshot"))
    columns = {
        "producerId": "producer_id",
        "producerEpoch": "producer_epoch",
        "coordinatorEpoch": "coordinator_epoch",
        "lastTimestamp": "last_timestamp",
        "firstSequence": "first_sequence",
        "lastSequence": "last_sequence",
        "lastOffset": "last_offset",
    }
    ours = [{theirs: str(entry[column]) for theirs, column in columns.items()} for entry in our_dump(path)]
    assert len(ours) == len(CODECS)
    assert [only(words, ours[0]) for words in kafka_dump(path)] == ours


def test_segments_of_the_group_topic(directory: Path) -> None:
    segments = [path for path in directory.glob("__consumer_offsets-*/*.log") if path.stat().st_size]
    assert segments
    for segment in segments:
        ours = our_dump(segment)
        theirs = [words for words in kafka_dump(segment) if "baseOffset" in words]
        batches = [batch_in_kafkas_words(entry) for entry in ours]
        assert [only(words, batches[0]) for words in theirs] == batches
        commits = [record for entry in ours for record in entry["records"] if record.get("type") == "offset_commit"]
        assert {record["group"] for record in commits} <= {"dumpers"}
