"""An embedded broker, seen by librdkafka: seeding, reading back, faults, pauses, restarts, crashes, several at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

import tailrace
from tailrace.base import errors
from tailrace.embedded import SeedRecord


@pytest.fixture
def broker() -> Iterator[tailrace.Broker]:
    with tailrace.Broker(topics={"orders": 3}, settings={"log.retention.ms": 123456}) as started:
        yield started


def send(broker: tailrace.Broker, topic: str, *values: str, timeout_s: float = 10.0, **properties: object) -> list:
    """Produce and return the delivery errors, None for a record that arrived."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0, **properties})
    outcomes: list[KafkaError | None] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, message: outcomes.append(error))
    assert producer.flush(timeout_s) == 0
    return outcomes


def read(broker: tailrace.Broker, topic: str, count: int, group: str = "readers") -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": group, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    deadline = time.monotonic() + 60
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            values.append(message.value())
    consumer.close()
    return values


def values(broker: tailrace.Broker, topic: str) -> list[bytes | None]:
    return [record.value for record in broker.records(topic)]


def test_a_client_produces_and_a_group_consumes(broker) -> None:
    assert send(broker, "orders", "a", "b", "c") == [None, None, None]
    assert sorted(read(broker, "orders", 3)) == [b"a", b"b", b"c"]
    assert sorted(values(broker, "orders")) == [b"a", b"b", b"c"]


def test_topics_are_there_from_the_start_and_settings_count(broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    found = admin.list_topics(timeout=60)
    assert len(found.topics["orders"].partitions) == 3
    broker.create_topic("audit", 2, configs={"cleanup.policy": "compact"})
    assert len(admin.list_topics(timeout=60).topics["audit"].partitions) == 2
    with pytest.raises(errors.KafkaError, match="cannot create topic audit"):
        broker.create_topic("audit")


def test_seeded_records_reach_a_consumer_as_they_are(broker) -> None:
    offsets = broker.produce("orders", [SeedRecord("v", "k", [("h", "x")], 1, 1234), ("k", "w"), "loose"], partition=1)
    assert offsets == {1: 0}
    first, second, third = broker.records("orders", 1)
    assert (first.key, first.value, first.headers, first.timestamp_ms) == (b"k", b"v", (("h", b"x"),), 1234)
    assert [record.offset for record in (first, second, third)] == [0, 1, 2]
    assert read(broker, "orders", 3) == [b"v", b"w", b"loose"]


def test_a_key_goes_where_the_java_client_would_send_it(broker) -> None:
    broker.produce("orders", [("user-1", "seeded")])
    assert send(broker, "orders", partitioner="murmur2_random") == []
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "partitioner": "murmur2_random"})
    producer.produce("orders", "later", "user-1")
    producer.flush(60)
    assert {record.partition for record in broker.records("orders")} == {broker.records("orders")[0].partition}


def test_more_than_a_fetch_can_be_read_back(broker) -> None:
    for _ in range(6):
        broker.produce("orders", [b"x" * 900_000], partition=0)
    assert len(broker.records("orders", 0)) == 6


def test_an_injected_error_is_answered_so_often_and_no_more(broker) -> None:
    broker.inject_error("Produce", "TOPIC_AUTHORIZATION_FAILED", count=2)
    for _ in range(2):
        (error,) = send(broker, "orders", "refused")
        assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert send(broker, "orders", "taken") == [None]
    assert values(broker, "orders") == [b"taken"]


def test_a_client_gets_over_a_passing_error(broker) -> None:
    broker.inject_error("Produce", "NOT_LEADER_OR_FOLLOWER", count=2)
    assert send(broker, "orders", "a", **{"retry.backoff.ms": 10}) == [None]
    assert values(broker, "orders") == [b"a"]


def test_an_injected_error_reaches_the_admin_client(broker) -> None:
    broker.inject_error("CreateTopics", "POLICY_VIOLATION")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    with pytest.raises(KafkaException) as refused:
        admin.create_topics([NewTopic("audit", 1)])["audit"].result(timeout=60)
    assert refused.value.args[0].code() == KafkaError.POLICY_VIOLATION
    assert admin.create_topics([NewTopic("audit", 1)])["audit"].result(timeout=60) is None


def test_an_injected_latency_holds_the_answer_back(broker) -> None:
    send(broker, "orders", "warm")
    broker.inject_latency("Produce", 300)
    began = time.monotonic()
    assert send(broker, "orders", "slow") == [None]
    assert time.monotonic() - began >= 0.3

    def seconds() -> float:
        began = time.monotonic()
        assert send(broker, "orders", "fast") == [None]
        return time.monotonic() - began

    assert any(seconds() < 0.3 for _ in range(20)), "only the next one is held back"


def test_nothing_is_answered_during_a_pause_and_all_of_it_after(broker) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})
    producer.produce("orders", "before")
    assert producer.flush(60) == 0
    broker.pause()
    producer.produce("orders", "during")
    assert producer.flush(0.5) == 1
    broker.resume()
    assert producer.flush(60) == 0
    assert sorted(values(broker, "orders")) == [b"before", b"during"]


def test_a_paused_broker_can_be_stopped(broker) -> None:
    broker.pause()


def test_a_client_lives_through_a_restart_on_the_same_port(broker) -> None:
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0, "reconnect.backoff.max.ms": 100}
    )
    producer.produce("orders", "before")
    assert producer.flush(60) == 0
    address = broker.bootstrap_servers
    broker.restart()
    assert broker.bootstrap_servers == address
    producer.produce("orders", "after")
    assert producer.flush(60) == 0
    assert sorted(values(broker, "orders")) == [b"after", b"before"]


def test_what_was_acknowledged_survives_a_kill(broker) -> None:
    assert send(broker, "orders", *map(str, range(100))) == [None] * 100
    read(broker, "orders", 60)
    broker.kill()
    with pytest.raises(RuntimeError):
        broker.records("orders")
    broker.start()
    assert sorted(int(value or b"") for value in values(broker, "orders")) == list(range(100))


def test_data_in_a_directory_of_ones_own_is_there_next_time(tmp_path) -> None:
    with tailrace.Broker(data_dir=tmp_path, topics=["t"]) as broker:
        broker.produce("t", ["kept"])
    with tailrace.Broker(data_dir=tmp_path) as broker:
        assert values(broker, "t") == [b"kept"]


def test_several_brokers_at_once_know_nothing_of_each_other() -> None:
    with tailrace.Broker(topics=["t"]) as first, tailrace.Broker(topics=["t"]) as second, tailrace.Broker() as third:
        assert len({first.port, second.port, third.port}) == 3
        send(first, "t", "one")
        send(second, "t", "two")
        assert (values(first, "t"), values(second, "t")) == ([b"one"], [b"two"])
        with pytest.raises(errors.KafkaError, match="UNKNOWN_TOPIC"):
            third.records("t")


def test_a_coroutine_uses_it_without_waiting_for_itself() -> None:
    async def use() -> list[bytes | None]:
        async with tailrace.Broker(topics=["t"]) as broker:
            broker.produce("t", ["a"])
            return values(broker, "t")

    assert asyncio.run(use()) == [b"a"]


def test_settings_that_do_not_exist_are_refused_by_name() -> None:
    with pytest.raises(errors.ConfigError, match=r"no\.such\.setting"):
        tailrace.Broker(settings={"no.such.setting": 1}).start()


def test_starting_takes_little_time() -> None:
    """100 ms is the promise on an idle machine; five times that here, because tests share theirs."""
    with tailrace.Broker():
        pass
    began = time.perf_counter()
    with tailrace.Broker():
        assert time.perf_counter() - began < 0.5
