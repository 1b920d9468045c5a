"""confluent-kafka's share consumer, which is librdkafka's own KIP-932: release, reject, accept, two members."""

import time
from collections import Counter

from confluent_kafka import AcknowledgeType, Message, Producer, ShareConsumer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from tests.harness.brokers import BrokerProcess
from tests.harness.story import new_name

WAIT_S = 60.0


class Team:
    """A new group over a new topic, read from its start."""

    def __init__(self, broker: BrokerProcess, partitions: int = 1) -> None:
        self.address = broker.address
        self.topic, self.group = new_name("queue"), new_name("team")
        admin = AdminClient({"bootstrap.servers": self.address})
        admin.create_topics([NewTopic(self.topic, partitions)])[self.topic].result(WAIT_S)
        reset = ConfigEntry("share.auto.offset.reset", "earliest", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.GROUP, self.group, incremental_configs=[reset])
        for answer in admin.incremental_alter_configs([resource]).values():
            answer.result(WAIT_S)

    def produce(self, *values: str) -> None:
        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 0, "batch.num.messages": 1})
        for value in values:
            producer.produce(self.topic, value)
        assert producer.flush(WAIT_S) == 0

    def join(self, mode: str = "explicit") -> ShareConsumer:
        consumer = ShareConsumer(
            {"bootstrap.servers": self.address, "group.id": self.group, "share.acknowledgement.mode": mode}
        )
        consumer.subscribe([self.topic])
        return consumer


def poll(consumer: ShareConsumer, wait_s: float = WAIT_S) -> list[Message]:
    """The next records; none when there are none in time."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        found = [message for message in consumer.poll(0.5) if message.error() is None]
        if found:
            return found
    return []


def test_released_records_come_again_rejected_ones_do_not(broker: BrokerProcess) -> None:
    team = Team(broker)
    team.produce("keep", "again", "never")
    seen: Counter[str] = Counter()
    with team.join() as consumer:
        while seen != {"keep": 1, "again": 2, "never": 1}:
            got = poll(consumer)
            assert got, seen
            for message in got:
                value = message.value().decode()
                seen[value] += 1
                kind = AcknowledgeType.REJECT if value == "never" else AcknowledgeType.ACCEPT
                if value == "again" and seen[value] == 1:
                    kind = AcknowledgeType.RELEASE
                consumer.acknowledge(message, kind)
            assert not any(consumer.commit_sync(WAIT_S).values())
        assert poll(consumer, 2) == []


def test_two_members_share_and_every_record_is_seen_once(broker: BrokerProcess) -> None:
    team = Team(broker, 3)
    count = 400
    seen: Counter[str] = Counter()
    with team.join("implicit") as first, team.join("implicit") as second:
        for consumer in (first, second):
            consumer.poll(1)
        team.produce(*(str(number) for number in range(count)))
        until = time.monotonic() + WAIT_S
        while len(seen) < count:
            assert time.monotonic() < until, len(seen)
            for consumer in (first, second):
                for message in consumer.poll(0.3):
                    assert message.error() is None, message.error()
                    seen[message.value().decode()] += 1
                assert not any(consumer.commit_sync(WAIT_S).values())
    assert set(seen.values()) == {1}
