"""confluent-kafka with `group.protocol=consumer` (KIP-848): the broker assigns, members come, go and die."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupType, Message, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from tests.harness.brokers import TailraceProcess

SETTINGS = {
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "300",
}
CHILD = """
import sys
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": sys.argv[2], "group.protocol": "consumer"})
consumer.subscribe([sys.argv[3]])
while True:
    consumer.poll(0.1)
    print(len(consumer.assignment()), flush=True)
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TailraceProcess]:
    made = TailraceProcess(tmp_path_factory.mktemp("broker"), SETTINGS)
    made.start()
    yield made
    made.kill()


class Group:
    """The consumers of one test over a topic of their own."""

    def __init__(self, broker: TailraceProcess, name: str, partitions: int) -> None:
        self.broker, self.name = broker, name
        self.admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        self.create(name, partitions)
        self.consumers: list[Consumer] = []
        self.seen: list[bytes] = []

    def create(self, topic: str, partitions: int) -> None:
        self.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(60)

    def join(self, topic: str | None = None, **settings: str) -> Consumer:
        common = {"bootstrap.servers": self.broker.address, "log_level": 0, "auto.offset.reset": "earliest"}
        consumer = Consumer({**common, "group.id": self.name, "group.protocol": "consumer", **settings})
        consumer.subscribe([topic or self.name])
        self.consumers.append(consumer)
        return consumer

    def leave(self, consumer: Consumer) -> None:
        self.consumers.remove(consumer)
        consumer.close()

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
        """Let every consumer consume until it is so."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, what
            for consumer in self.consumers:
                for message in consumer.consume(500, 0.05):
                    self.take(message)

    def take(self, message: Message) -> None:
        assert message.error() is None, message.error()
        self.seen.append(message.value() or b"")

    def loads(self) -> list[int]:
        """How many partitions each consumer has; asserts that no two have one in common."""
        owned = [{(part.topic, part.partition) for part in consumer.assignment()} for consumer in self.consumers]
        assert sum(map(len, owned)) == len(set().union(*owned)), "two consumers have one partition"
        return sorted(map(len, owned))

    def close(self) -> None:
        while self.consumers:
            self.consumers.pop().close()


def test_members_come_go_and_die(broker: TailraceProcess, at_end: ExitStack) -> None:
    group = at_end.enter_context(closing(Group(broker, "come-and-go", 6)))
    producer = Producer({"bootstrap.servers": broker.address})
    for number in range(600):
        producer.produce(group.name, b"%d" % number, partition=number % 6)
    assert producer.flush(60) == 0
    first = group.join()
    group.until(lambda: len(group.seen) >= 600, "all is read")
    assert sorted(map(int, group.seen)) == list(range(600))
    first.commit(asynchronous=False)
    second = group.join()
    group.until(lambda: group.loads() == [3, 3], "two share")
    [described] = [future.result(60) for future in group.admin.describe_consumer_groups([group.name]).values()]
    assert (described.state, described.type) == (ConsumerGroupState.STABLE, ConsumerGroupType.CONSUMER)
    assert described.partition_assignor == "uniform"
    broker.kill_and_restart()
    group.until(lambda: group.loads() == [3, 3], "two share after a crash")
    group.leave(second)
    group.until(lambda: group.loads() == [6], "one has all again")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, broker.address, group.name, group.name], stdout=subprocess.PIPE, text=True
    )
    group.until(lambda: group.loads() == [3], "the child has its half")
    child.kill()
    child.communicate(timeout=60)
    group.until(lambda: group.loads() == [6], "the dead one's half comes back")
    assert len(group.seen) == 600, "offsets that were committed are not read again"
    group.close()
    admin = AdminClient({"bootstrap.servers": broker.address})
    assert admin.delete_consumer_groups([group.name])[group.name].result(60) is None


def test_topics_that_come_and_grow_are_consumed(broker: TailraceProcess, at_end: ExitStack) -> None:
    group = at_end.enter_context(closing(Group(broker, "grow-1", 2)))
    group.join("^grow-.*")
    group.until(lambda: group.loads() == [2], "the regular expression finds a topic")
    group.create("grow-2", 3)
    group.until(lambda: group.loads() == [5], "and one that is made later")
    group.admin.create_partitions([NewPartitions("grow-2", 4)])["grow-2"].result(60)
    group.until(lambda: group.loads() == [6], "and partitions that are added")


def test_a_static_member_comes_back_to_what_it_had(broker: TailraceProcess, at_end: ExitStack, tmp_path: Path) -> None:
    group = at_end.enter_context(closing(Group(broker, "static", 4)))
    first, second = (group.join(**{"group.instance.id": name}) for name in ("one", "two"))
    group.until(lambda: group.loads() == [2, 2], "two share")
    had = sorted(part.partition for part in second.assignment())
    group.leave(second)
    back = group.join(**{"group.instance.id": "two"})
    group.until(lambda: group.loads() == [2, 2], "and again")
    assert sorted(part.partition for part in back.assignment()) == had
    assert len(first.assignment()) == 2


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_an_empty_group_changes_its_protocol(broker: TailraceProcess, at_end: ExitStack, assignor: str) -> None:
    group = at_end.enter_context(closing(Group(broker, f"change-{assignor}", 3)))
    producer = Producer({"bootstrap.servers": broker.address})
    for number in range(30):
        producer.produce(group.name, b"%d" % number, partition=number % 3)
    assert producer.flush(60) == 0
    for protocol in ("classic", "consumer", "classic", "consumer"):
        settings = {"group.remote.assignor": assignor} if protocol == "consumer" else {}
        consumer = group.join(**{"group.protocol": protocol, **settings})
        group.until(lambda: group.loads() == [3], f"all in {protocol}")
        group.until(lambda: len(group.seen) >= 30, "all is read, once")
        group.leave(consumer)
    assert len(group.seen) == 30
