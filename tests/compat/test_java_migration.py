"""Java consumers are restarted one by one from the classic protocol to the consumer protocol, and back (KIP-848)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupType, Producer
from confluent_kafka.admin import AdminClient, ConsumerGroupListing, NewTopic
from tests.compat.java_client import JavaDriver
from tests.compat.line_driver import LineMember
from tests.harness.brokers import BrokerProcess, chosen_broker
from tests.harness.drivers import eventually

PARTITIONS = 4
BATCH = 40
SETTINGS = {
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "300",
    "group.min.session.timeout.ms": "1000",
}
until = partial(eventually, timeout_s=90.0)


@pytest.fixture(scope="module")
def quick_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    made = chosen_broker()(tmp_path_factory.mktemp("broker"), SETTINGS)
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def java(quick_broker: BrokerProcess) -> Iterator[JavaDriver]:
    made = JavaDriver(quick_broker.address)
    yield made
    made.close()


class Rolling:
    """Two Java consumers of one group."""

    def __init__(self, broker: BrokerProcess, java: JavaDriver, name: str, cooperative: bool) -> None:
        self.java, self.name, self.cooperative = java, name, cooperative
        self.admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        self.admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(60)
        self.producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        self.produced = 0
        self.members: list[LineMember] = []
        self.seen: list[tuple[int, int]] = []

    def join(self, is_assigned_by_broker: bool) -> LineMember:
        return self.java.join_rolling(self.name, self.name, is_assigned_by_broker, self.cooperative)

    def restart(self, at: int, is_assigned_by_broker: bool) -> None:
        """Close one and open another in its place."""
        self.members[at].close()
        self.seen += [(each.partition, each.offset) for each in self.members[at].received()]
        self.members[at] = self.join(is_assigned_by_broker)

    def listed(self) -> ConsumerGroupListing:
        found = self.admin.list_consumer_groups().result(60).valid
        return next(group for group in found if group.group_id == self.name)

    def all_seen(self) -> list[tuple[int, int]]:
        return self.seen + [(each.partition, each.offset) for member in self.members for each in member.received()]

    def read_more(self) -> None:
        """Produce some; wait until it is read and both have their half."""
        for number in range(BATCH):
            self.producer.produce(self.name, b"%d" % number, partition=number % PARTITIONS)
        self.produced += BATCH
        assert self.producer.flush(60) == 0
        until(lambda: [len(member.assignment()) for member in self.members] == [2, 2], "both have their half")
        until(lambda: self.listed().state is ConsumerGroupState.STABLE, "nobody is to give anything up")
        until(lambda: len(set(self.all_seen())) == self.produced, "all is read")


@pytest.mark.parametrize("cooperative", [False, True], ids=["range", "cooperative-sticky"])
def test_a_rolling_restart(quick_broker: BrokerProcess, java: JavaDriver, cooperative: bool) -> None:
    group = Rolling(quick_broker, java, f"roll-{cooperative}", cooperative)
    group.members = [group.join(False), group.join(False)]
    group.read_more()
    assert group.listed().type is ConsumerGroupType.CLASSIC
    for is_assigned_by_broker in (True, False):
        for at in (0, 1):
            group.restart(at, is_assigned_by_broker)
            group.read_more()
        expected = ConsumerGroupType.CONSUMER if is_assigned_by_broker else ConsumerGroupType.CLASSIC
        assert group.listed().type is expected
    for member in group.members:
        member.close()
    twice = [place for place, count in Counter(group.all_seen()).items() if count > 1]
    assert (len(group.all_seen()), twice) == (group.produced, [])
