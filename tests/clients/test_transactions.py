"""Transactions through confluent-kafka (transactions v1): what is committed is seen, what is not never is."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from tests.harness.brokers import BrokerProcess
from tests.harness.story import new_name

WAIT_S = 60.0


def producer(broker: BrokerProcess, transactional_id: str, **more: Any) -> Producer:
    made = Producer({"bootstrap.servers": broker.address, "transactional.id": transactional_id, "linger.ms": 0, **more})
    made.init_transactions(WAIT_S)
    return made


def consumer(broker: BrokerProcess, group: str, isolation: str = "read_committed") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": group,
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )


def write(made: Producer, topic: str, values: list[str], end: Callable[[float], Any] | None) -> None:
    made.begin_transaction()
    for value in values:
        made.produce(topic, value, partition=0)
    assert made.flush(WAIT_S) == 0
    if end is not None:
        end(WAIT_S)


def values_of(broker: BrokerProcess, topic: str, count: int, isolation: str = "read_committed") -> list[str]:
    """The first `count` values, and whatever else comes in the half second after."""
    reader = consumer(broker, new_name("reader"), isolation)
    reader.assign([TopicPartition(topic, 0, 0)])
    found: list[str] = []
    until = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < until:
        message = reader.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message.value().decode())
    late = time.monotonic() + 0.5
    while time.monotonic() < late:
        message = reader.poll(0.1)
        if message is not None and message.error() is None:
            found.append(message.value().decode())
    reader.close()
    return found


def test_committed_is_seen_and_aborted_is_not(broker: BrokerProcess) -> None:
    """read_committed sees whole transactions; read_uncommitted sees everything."""
    topic = new_name("txn")
    made = producer(broker, new_name("t"))
    write(made, topic, ["a1", "a2"], made.commit_transaction)
    write(made, topic, ["b1", "b2"], made.abort_transaction)
    write(made, topic, ["c1"], made.commit_transaction)
    write(made, topic, ["d1"], None)
    assert values_of(broker, topic, 3) == ["a1", "a2", "c1"]
    assert values_of(broker, topic, 6, "read_uncommitted") == ["a1", "a2", "b1", "b2", "c1", "d1"]
    made.commit_transaction(WAIT_S)
    assert values_of(broker, topic, 4) == ["a1", "a2", "c1", "d1"]


def test_an_open_transaction_holds_back_what_others_commit(broker: BrokerProcess) -> None:
    """The last stable offset waits for the earliest open transaction of the partition."""
    topic = new_name("txn")
    slow, quick = producer(broker, new_name("slow")), producer(broker, new_name("quick"))
    write(slow, topic, ["s"], None)
    write(quick, topic, ["q"], quick.commit_transaction)
    assert values_of(broker, topic, 0) == []
    slow.abort_transaction(WAIT_S)
    assert values_of(broker, topic, 1) == ["q"]


def test_a_second_producer_fences_the_first(broker: BrokerProcess) -> None:
    """Whoever comes with the id later is the producer; what the first left open is aborted."""
    topic, transactional_id = new_name("txn"), new_name("t")
    first = producer(broker, transactional_id)
    write(first, topic, ["lost"], None)
    second = producer(broker, transactional_id)
    write(second, topic, ["kept"], second.commit_transaction)
    with pytest.raises(KafkaException) as fenced:
        first.commit_transaction(WAIT_S)
    assert fenced.value.args[0].fatal()
    assert values_of(broker, topic, 1) == ["kept"]


def test_offsets_are_committed_with_the_transaction(broker: BrokerProcess) -> None:
    """An aborted transaction leaves the group's offset where it was."""
    topic, group = new_name("txn"), new_name("g")
    made = producer(broker, new_name("t"))
    write(made, topic, ["1", "2", "3"], made.commit_transaction)
    reader = consumer(broker, group)
    reader.subscribe([topic])
    until = time.monotonic() + WAIT_S
    while reader.poll(0.2) is None:
        assert time.monotonic() < until

    def commit(offset: int, end: Callable[[float], Any]) -> int:
        made.begin_transaction()
        made.send_offsets_to_transaction([TopicPartition(topic, 0, offset)], reader.consumer_group_metadata(), WAIT_S)
        end(WAIT_S)
        [found] = reader.committed([TopicPartition(topic, 0)], WAIT_S)
        return int(found.offset)

    assert commit(2, made.commit_transaction) == 2
    assert commit(3, made.abort_transaction) == 2
    assert commit(3, made.commit_transaction) == 3
    reader.close()


def test_transactions_live_through_a_crash_of_the_broker(broker: BrokerProcess) -> None:
    """An open transaction is open after it, goes on, and commits; a committed one stays so."""
    topic = new_name("txn")
    made = producer(broker, new_name("t"), **{"transaction.timeout.ms": 60_000})
    write(made, topic, ["before"], made.commit_transaction)
    write(made, topic, ["open1"], None)
    broker.kill_and_restart()
    made.produce(topic, "open2", partition=0)
    assert made.flush(WAIT_S) == 0
    assert values_of(broker, topic, 1) == ["before"]
    made.commit_transaction(WAIT_S)
    assert values_of(broker, topic, 3) == ["before", "open1", "open2"]


def test_an_abandoned_transaction_times_out(broker: BrokerProcess) -> None:
    """The coordinator aborts what nobody ends, and others are read again."""
    topic = new_name("txn")
    made = producer(broker, new_name("t"), **{"transaction.timeout.ms": 1_000})
    write(made, topic, ["abandoned"], None)
    other = Producer({"bootstrap.servers": broker.address})
    other.produce(topic, "other", partition=0)
    assert other.flush(WAIT_S) == 0
    assert values_of(broker, topic, 1) == ["other"]
