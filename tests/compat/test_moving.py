"""A data directory moves between Apache Kafka and Tailrace, both ways, and nothing of it changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.compat.differential import Session
from tests.compat.dumping import assert_kafka_accepts, dump
from tests.compat.moving import (
    STORY_SETTINGS,
    TOPICS,
    append_more,
    commit,
    kafka_in,
    live,
    observed,
    tailrace_command,
    tailrace_in,
)
from tests.compat.raw import Peer
from tests.harness.brokers import BrokerProcess, KafkaProcess, TailraceProcess
from tests.support.dumps import last_idempotent_batch

GROUPS = ["readers", "others", "in a transaction"]
NAMES = list(TOPICS)


@contextmanager
def running(broker: BrokerProcess) -> Iterator[BrokerProcess]:
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def assert_same(expected: dict[str, Any], got: dict[str, Any]) -> None:
    assert expected.keys() == got.keys()
    for what, value in expected.items():
        assert got[what] == value, what


def assert_retry_is_recognised(broker: BrokerProcess, data: Path, topic: str) -> None:
    """The last batch of an idempotent producer, sent again, is answered with the offset it has."""
    batch, base_offset = last_idempotent_batch(data / f"{topic}-0")
    peer = Peer(broker.address)
    partitions = [{"index": 0, "records": batch}]
    answer = peer.ask("produce", 9, acks=-1, timeout=20_000, topic_data=[{"name": topic, "partition_data": partitions}])
    peer.connection.close()
    assert answer is not None
    found = answer["responses"][0]["partition_responses"][0]
    assert (found["error_code"], found["base_offset"]) == ("none", base_offset)


def assert_kafka_reads_internal_topics(data: Path) -> None:
    """Kafka's decoders understand the keys and values of groups and of transactions."""
    for topic, option, words in (
        ("__consumer_offsets", "--offsets-decoder", ('"group":"readers"', '"offset":')),
        ("__transaction_state", "--transaction-log-decoder", ('"transactionalId":"teller"', '"producerId":')),
    ):
        segments = [path for path in data.rglob(f"{topic}-*/*.log") if path.stat().st_size]
        said = dump(segments, option)
        assert all(word in said for word in words), said[-3000:]


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_from_kafka_and_back(tmp_path: Path, end: str) -> None:
    groups = [*GROUPS, "newer"]  # KIP-848: its members are not carried over, its offsets are
    with running(KafkaProcess(tmp_path / "first", STORY_SETTINGS)) as kafka:
        live(kafka.address)
        commit(kafka.address, "newer", ["trimmed"], **{"group.protocol": "consumer"})
        before = observed(kafka.address, NAMES, groups)
        said = tailrace_command("from-kafka", "--data-dir", str(kafka.data_directory), status=1)
        assert "in use by another process" in said, "Kafka's lock is seen"
        if end == "stopped":
            kafka.stop()
    data = kafka.data_directory
    assert before["read_committed txn"] != before["read_uncommitted txn"]
    assert before["earliest trimmed"] == {0: 4} and before["earliest aged"] == {0: 5}
    assert before["group in a transaction"] == {("txn", 0): 104}

    with running(tailrace_in(data, tmp_path / "second")) as tailrace:
        assert_same(before, observed(tailrace.address, NAMES, groups))
        assert_retry_is_recognised(tailrace, data, "trimmed")
        append_more(tailrace.address, NAMES)
        grown = observed(tailrace.address, NAMES, groups)
        if end == "stopped":
            tailrace.stop()
            assert_kafka_accepts(data)

    with running(kafka_in(data, tmp_path / "third")) as kafka:
        assert_same(grown, observed(kafka.address, NAMES, groups))
        append_more(kafka.address, NAMES)
        kafka.stop()


def test_share_groups_come_from_kafka(tmp_path: Path) -> None:
    """A share group with its states, killed in Kafka and found in Tailrace."""
    group, kafka = "workers", KafkaProcess(tmp_path / "first", STORY_SETTINGS)
    asked = {"groups": [{"group_id": group, "topics": None}]}
    with running(kafka):
        peer = Peer(kafka.address)
        session = Session(kafka.address)
        session.create_topic("work", 3)
        session.find_coordinator(group)
        session.close()
        starts = [{"partition_index": index, "start_offset": 0} for index in range(3)]
        altered = {"group_id": group, "topics": [{"topic_name": "work", "partitions": starts}]}
        codes = {"?"}
        while codes != {"none"}:  # its topic of states may still be in the making
            answer = peer.ask("alter_share_group_offsets", 0, **altered)
            told = [each["error_code"] for topic in answer["responses"] for each in topic["partitions"]]
            codes = {answer["error_code"], *told}
        described = peer.ask("share_group_describe", 1, group_ids=[group])
        offsets = peer.ask("describe_share_group_offsets", 1, **asked)
        peer.close()
    with running(tailrace_in(kafka.data_directory, tmp_path / "second")) as tailrace:
        peer = Peer(tailrace.address)
        assert peer.ask("share_group_describe", 1, group_ids=[group]) == described
        ours = peer.ask("describe_share_group_offsets", 1, **asked)
        for answer in (offsets, ours):
            answer["groups"][0]["topics"][0]["partitions"].sort(key=lambda each: each["partition_index"])
        assert ours == offsets
        assert [each["start_offset"] for each in ours["groups"][0]["topics"][0]["partitions"]] == [0, 0, 0]
        peer.close()


def test_two_directories_of_tailrace_in_kafka(tmp_path: Path) -> None:
    """Kafka finds each partition where it lies, by the id of the directory."""
    disks = [tmp_path / "disks" / name for name in "ab"]
    log_dirs = ",".join(map(str, disks))
    with running(TailraceProcess(tmp_path / "first", {**STORY_SETTINGS, "log.dirs": log_dirs})) as tailrace:
        live(tailrace.address)
        before = observed(tailrace.address, NAMES, GROUPS)
        tailrace.stop()
    found = [len(list(disk.glob("plain-*"))) for disk in disks]
    assert min(found) > 0, "both directories have partitions of the topic"
    assert_kafka_accepts(tmp_path / "disks")
    assert_kafka_reads_internal_topics(tmp_path / "disks")
    home = next(disk for disk in disks if (disk / "trimmed-0").exists())
    with running(kafka_in(tailrace.data_directory, tmp_path / "second", log_dirs)) as kafka:
        assert_same(before, observed(kafka.address, NAMES, GROUPS))
        assert_retry_is_recognised(kafka, home, "trimmed")
        append_more(kafka.address, NAMES)
        kafka.stop()
    assert [len(list(disk.glob("plain-*"))) for disk in disks] == found, "Kafka made none anew"
