"""confluent-kafka consumers are restarted one by one from the classic protocol to the consumer protocol, and back.

While they are, records come in and are read: each once, and no committed offset goes back (KIP-848).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    KafkaError,
    Message,
    Producer,
)
from confluent_kafka.admin import AdminClient, ConsumerGroupListing
from tests.clients.test_consumer_protocol import SETTINGS, Group
from tests.harness.brokers import TailraceProcess

PARTITIONS = 6
BATCH = 60
CLASSIC = {"group.protocol": "classic", "session.timeout.ms": "6000", "heartbeat.interval.ms": "200"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TailraceProcess]:
    made = TailraceProcess(tmp_path_factory.mktemp("broker"), {**SETTINGS, "group.min.session.timeout.ms": "1000"})
    made.start()
    yield made
    made.kill()


class Rolling(Group):
    """Three consumers that are restarted while records are produced."""

    def __init__(self, broker: TailraceProcess, name: str) -> None:
        super().__init__(broker, name, PARTITIONS)
        self.producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        self.produced = 0
        self.committed: dict[int, int] = {}

    def take(self, message: Message) -> None:
        """A join that waits while the group changes its protocol is told to come again; librdkafka shows that."""
        error = message.error()
        if error is None or error.code() != KafkaError.REBALANCE_IN_PROGRESS:
            super().take(message)

    def read_more(self, loads: list[int]) -> None:
        """Produce some; wait until all is read and each consumer has so many partitions."""
        for number in range(self.produced, self.produced + BATCH):
            self.producer.produce(self.name, b"%d" % number, partition=number % PARTITIONS)
        self.produced += BATCH
        assert self.producer.flush(30) == 0
        # Closed in the middle of a rebalance librdkafka leaves first and commits then, as a stranger.
        self.until(lambda: self.loads() == loads and self.is_stable(), f"partitions are shared out as {loads}")
        self.until(lambda: len(set(self.seen)) >= self.produced, "all is read")
        self.note_committed()

    def crash(self) -> None:
        """Kill the broker and start it again; an admin client that lives through that may wait for ever."""
        self.broker.kill_and_restart()
        self.admin = AdminClient({"bootstrap.servers": self.broker.address, "log_level": 0})

    def note_committed(self) -> None:
        """Ask for the group's offsets: none went back."""
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name)])
        for place in asked[self.name].result(30).topic_partitions:
            assert place.offset >= self.committed.get(place.partition, -1), "a committed offset went back"
            self.committed[place.partition] = place.offset

    def is_stable(self) -> bool:
        """Whether nobody has to join or to give anything up."""
        listed = self.listed()
        return listed is not None and listed.state is ConsumerGroupState.STABLE

    def kind(self) -> ConsumerGroupType:
        """Whose protocol the group is."""
        listed = self.listed()
        assert listed is not None
        kind: ConsumerGroupType = listed.type
        return kind

    def listed(self) -> ConsumerGroupListing | None:
        """The group as ListGroups shows it; None before anybody is in it, and while its coordinator loads."""
        found = self.admin.list_consumer_groups().result(30).valid
        return next((group for group in found if group.group_id == self.name), None)

    def restart(self, at: int, **settings: str) -> None:
        """Close one consumer and open another in its place."""
        old = self.consumers[at]
        self.leave(old)
        self.note_committed()
        self.consumers.insert(at, self.consumers.pop(self.consumers.index(self.join(**settings))))

    def check(self) -> None:
        """Every record was read once."""
        twice = [value for value, count in Counter(self.seen).items() if count > 1]
        assert (len(self.seen), twice) == (self.produced, [])


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
def test_a_rolling_restart_changes_the_protocol_and_back(
    broker: TailraceProcess, at_end: ExitStack, assignor: str
) -> None:
    group = at_end.enter_context(closing(Rolling(broker, f"roll-{assignor}")))
    classic = {**CLASSIC, "partition.assignment.strategy": assignor}
    for _ in range(3):
        group.join(**classic)
    group.read_more([2, 2, 2])
    assert group.kind() is ConsumerGroupType.CLASSIC
    for at in range(3):
        group.restart(at)
        group.read_more([2, 2, 2])
        assert group.kind() is ConsumerGroupType.CONSUMER
    for at in range(3):
        group.restart(at, **classic)
        group.read_more([2, 2, 2])
        assert group.kind() is (ConsumerGroupType.CONSUMER if at < 2 else ConsumerGroupType.CLASSIC)
    group.check()


def test_static_members_and_a_broker_that_is_killed(broker: TailraceProcess, at_end: ExitStack) -> None:
    group = at_end.enter_context(closing(Rolling(broker, "roll-static")))
    names = [{"group.instance.id": f"member-{number}"} for number in range(3)]
    for name in names:
        group.join(**CLASSIC, **name)
    group.read_more([2, 2, 2])
    for at in range(3):
        group.restart(at, **names[at])
        group.read_more([2, 2, 2])
        group.crash()
        group.read_more([2, 2, 2])
    assert group.kind() is ConsumerGroupType.CONSUMER
    for at in range(3):
        group.restart(at, **CLASSIC, **names[at])
        group.crash()
        group.read_more([2, 2, 2])
    group.read_more([2, 2, 2])
    assert group.kind() is ConsumerGroupType.CLASSIC
    assert len(set(group.seen)) == group.produced
