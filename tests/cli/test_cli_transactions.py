"""`tailrace transactions` against a broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaException, Producer
from tests.harness.brokers import BrokerProcess
from tests.harness.drivers import eventually
from tests.harness.story import new_name

from .conftest import Tailrace

WAIT_S = 60.0


@pytest.fixture
def open_producer(broker: BrokerProcess, topic: str) -> Iterator[tuple[str, Producer]]:
    """A transactional id with something open in partition 0 of the topic."""
    name = new_name("tx")
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": name})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce(topic, "x", partition=0)
    assert producer.flush(WAIT_S) == 0
    yield name, producer


def test_list_and_describe(tailrace: Tailrace, topic: str, open_producer: tuple[str, Producer]) -> None:
    name, producer = open_producer
    listed = {each["transactional_id"]: each["state"] for each in tailrace("transactions", "list", "--json").json}
    assert listed[name] == "Ongoing"
    assert name in tailrace("transactions", "list", "--state", "Ongoing", "--pattern", "tx.*").out
    assert name not in tailrace("transactions", "list", "--state", "Empty").out
    assert name not in tailrace("transactions", "list", "--longer-than", "86400000").out
    (described,) = tailrace("transactions", "describe", name, "--json").json
    assert (described["state"], described["partitions"]) == ("Ongoing", [[topic, 0]])
    assert f"{topic}-0" in tailrace("transactions", "describe", name).out
    producer.commit_transaction(WAIT_S)
    (described,) = tailrace("transactions", "describe", name, "--json").json
    assert (described["state"], described["partitions"]) == ("CompleteCommit", [])


def test_an_id_is_aborted_and_its_producer_fenced(tailrace: Tailrace, open_producer: tuple[str, Producer]) -> None:
    name, producer = open_producer
    ended = tailrace("transactions", "abort", "--id", name)
    assert ended.code == 0, ended.err
    (described,) = tailrace("transactions", "describe", name, "--json").json
    assert described["state"] in ("CompleteAbort", "Empty")
    with pytest.raises(KafkaException):
        producer.commit_transaction(WAIT_S)


def test_nothing_hangs(tailrace: Tailrace, topic: str, open_producer: tuple[str, Producer]) -> None:
    """What its coordinator knows and will end is not hanging."""
    ended = tailrace("transactions", "find-hanging", "--topic", topic, "--quiet-for", "0", "--json")
    assert (ended.code, ended.json) == (0, [])


def test_producers_of_a_partition(tailrace: Tailrace, topic: str, open_producer: tuple[str, Producer]) -> None:
    """Those with a transaction, and those without."""
    (here,) = tailrace("transactions", "producers", f"{topic}:0", "--json").json
    assert (here["last_sequence"], here["start_offset"]) == (0, 0)
    assert str(here["producer_id"]) in tailrace("transactions", "producers", f"{topic}:0").out
    open_producer[1].commit_transaction(WAIT_S)

    def has_ended() -> bool:
        (here,) = tailrace("transactions", "producers", f"{topic}:0", "--json").json
        return here["start_offset"] is None

    eventually(has_ended, "its marker is written")
    wrong = tailrace("transactions", "producers", f"{topic}:9")
    assert wrong.code == 1 and "nobody leads it" in wrong.err


def test_one_partition_is_aborted(tailrace: Tailrace, topic: str, open_producer: tuple[str, Producer]) -> None:
    wrong = tailrace("transactions", "abort", f"{topic}:0", "--start-offset", "7")
    assert wrong.code == 1 and "begins at offset 7" in wrong.err
    assert tailrace("transactions", "abort", f"{topic}:0", "--start-offset", "0").code == 0
    committed = ("-X", "isolation.level=read_committed")
    read = tailrace("consume", topic, "--from-beginning", "-n", "1", "--timeout", "2", *committed)
    assert read.out == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("describe", "nobody"), 1),
        (("list", "--state", "Nonsense"), 1),
        (("list", "--pattern", "*"), 1),
        (("producers", "no-partition"), 2),
        (("abort",), 2),
        (("abort", "no-partition", "--start-offset", "1"), 2),
        (("list", "-b", "127.0.0.1:1"), 3),
        (("list", "-b", "nonsense"), 2),
    ],
)
def test_refusals(tailrace: Tailrace, words: tuple[str, ...], code: int) -> None:
    ended = tailrace("transactions", *words)
    assert ended.code == code, ended
    assert ended.err.startswith("tailrace: ")
