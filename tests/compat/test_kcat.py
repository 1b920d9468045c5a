"""kcat, as Debian ships it: produce, consume from anywhere, groups and metadata from the shell."""

import json
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.harness.brokers import BrokerProcess
from tests.harness.drivers import eventually

TIMEOUT_S = 120
FAST = ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=300"]


def kcat(broker: BrokerProcess, *arguments: str, stdin: str | None = None) -> str:
    """Run kcat to its end; what it printed."""
    assert shutil.which("kcat"), "kcat is not installed: run tools/compat.sh"
    finished = subprocess.run(
        ["kcat", "-b", broker.address, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def new_topic(broker: BrokerProcess) -> str:
    """kcat cannot create topics, but asking for one does, where the broker allows it."""
    topic = f"kcat-{uuid.uuid4().hex[:8]}"

    def has_leader() -> bool:
        found = json.loads(kcat(broker, "-L", "-J", "-t", topic, "-X", "allow.auto.create.topics=true"))["topics"]
        return any(t["topic"] == topic and t["partitions"] and "error" not in t for t in found)

    eventually(has_leader, "the topic was created by asking for it")
    return topic


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_and_acks_setting(broker: BrokerProcess, codec: str) -> None:
    topic = new_topic(broker)
    sent = []
    for acks in ("0", "1", "all"):
        lines = [f"k{i}:{codec}-{acks}-{i}-" + "x" * 50 for i in range(20)]
        settings = ["-X", f"acks={acks}", "-z", codec, "-H", "h1=one", "-H", "h2=two"]
        kcat(broker, "-P", "-t", topic, "-K:", *settings, stdin="\n".join(lines) + "\n")
        sent += lines
        eventually(lambda count=len(sent): end_offset(broker, topic) == count, f"{codec} with acks={acks}")
    out = kcat(broker, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k:%s|%h|%o\n")
    assert out.splitlines() == [f"{line}|h1=one,h2=two|{offset}" for offset, line in enumerate(sent)]


def end_offset(broker: BrokerProcess, topic: str) -> int:
    """By ListOffsets, kcat's query mode."""
    return int(kcat(broker, "-Q", "-t", f"{topic}:0:-1").split("offset ")[1])


def test_metadata(broker: BrokerProcess) -> None:
    topic = new_topic(broker)
    answer = json.loads(kcat(broker, "-L", "-J", "-t", topic))
    [node] = answer["brokers"]
    assert node["name"] == broker.address
    [described] = answer["topics"]
    [partition] = described["partitions"]
    assert partition["leader"] == node["id"]
    assert partition["replicas"] == partition["isrs"] == [{"id": node["id"]}]


def test_seeks_by_offset_and_by_time(broker: BrokerProcess) -> None:
    topic = new_topic(broker)
    kcat(broker, "-P", "-t", topic, stdin="a\nb\nc\n")
    time.sleep(0.05)
    between_ms = int(time.time() * 1000)
    time.sleep(0.05)
    kcat(broker, "-P", "-t", topic, "-z", "zstd", stdin="d\ne\n")

    def read(start: str) -> list[str]:
        return kcat(broker, "-C", "-t", topic, "-p", "0", "-o", start, "-e", "-q").split()

    assert read("1") == ["b", "c", "d", "e"]
    assert read("-2") == ["d", "e"]
    assert read("end") == []
    assert read(f"s@{between_ms}") == ["d", "e"]
    assert kcat(broker, "-Q", "-t", f"{topic}:0:{between_ms}").strip().endswith("offset 3")


@contextmanager
def member(broker: BrokerProcess, group: str, topic: str, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """A group member printing what it reads; ended as a user would, by Ctrl-C."""
    settings = ["-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=200", "-f", "%p:%o:%s\n"]
    command = ["kcat", "-b", broker.address, *FAST, *settings, *options, "-u", "-G", group, topic]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def committed(broker: BrokerProcess, group: str, topic: str) -> int:
    """The group's offset in partition 0; below 0 where there is none."""
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    admin = AdminClient({"bootstrap.servers": broker.address})
    return int(admin.list_consumer_group_offsets([asked])[group].result(60).topic_partitions[0].offset)


def test_group_resumes_after_a_crash_of_the_broker(broker: BrokerProcess) -> None:
    topic, group = new_topic(broker), f"g-{uuid.uuid4().hex[:8]}"
    kcat(broker, "-P", "-t", topic, stdin="a\nb\nc\n")
    with member(broker, group, topic) as first:
        assert [first.stdout.readline() for _ in range(3)] == ["0:0:a\n", "0:1:b\n", "0:2:c\n"]
        eventually(lambda: committed(broker, group, topic) == 3, "it has committed what it read")
    broker.kill_and_restart()
    eventually(lambda: end_offset_or_none(broker, topic) == 3, "the partition is back")
    kcat(broker, "-P", "-t", topic, stdin="d\n")
    with member(broker, group, topic) as second:
        assert second.stdout.readline() == "0:3:d\n"


def test_group_shares_and_takes_over(broker: BrokerProcess) -> None:
    """Two members share four partitions; when one leaves, the other reads what it had."""
    topic, group = f"kcat-{uuid.uuid4().hex[:8]}", f"g-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(60)

    def send(value: str) -> None:
        for partition in range(4):
            kcat(broker, "-P", "-t", topic, "-p", str(partition), stdin=f"{value}\n")

    with member(broker, group, topic) as first:
        send("alone")
        assert {first.stdout.readline() for _ in range(4)} == {f"{p}:0:alone\n" for p in range(4)}
        with member(broker, group, topic) as second:
            wait_for_members(admin, group, 2)
            send("shared")
            read = {process.stdout.readline() for process in (first, second) for _ in range(2)}
            assert read == {f"{p}:1:shared\n" for p in range(4)}
        wait_for_members(admin, group, 1)
        send("alone again")
        assert {first.stdout.readline() for _ in range(4)} == {f"{p}:2:alone again\n" for p in range(4)}


def test_a_member_that_dies_is_missed(broker: BrokerProcess) -> None:
    """A member killed with `kill -9` says no farewell: its partitions go over when its session ends."""
    topic, group = f"kcat-{uuid.uuid4().hex[:8]}", f"g-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(60)
    with member(broker, group, topic) as first:
        wait_for_members(admin, group, 1)
        with member(broker, group, topic) as second:
            wait_for_members(admin, group, 2)
            second.kill()
            died = time.monotonic()
            wait_for_members(admin, group, 1)
            assert time.monotonic() - died > 4.0, "sooner than its session can have ended"
        for partition in range(4):
            kcat(broker, "-P", "-t", topic, "-p", str(partition), stdin="taken over\n")
        assert {first.stdout.readline() for _ in range(4)} == {f"{p}:0:taken over\n" for p in range(4)}


def wait_for_members(admin: AdminClient, group: str, count: int) -> None:
    """Until the group is stable with so many members, each with its share."""

    def stable() -> bool:
        try:
            described = admin.describe_consumer_groups([group])[group].result(60)
        except KafkaException:  # no coordinator yet
            return False
        shares = [len(m.assignment.topic_partitions) for m in described.members]
        return described.state == ConsumerGroupState.STABLE and sorted(shares) == [4 // count] * count

    eventually(stable, f"{count} members share")


def end_offset_or_none(broker: BrokerProcess, topic: str) -> int | None:
    """None while there is no leader."""
    try:
        return end_offset(broker, topic)
    except (AssertionError, IndexError):
        return None
