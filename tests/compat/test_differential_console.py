"""The console on Apache Kafka: what it asks is understood there, and what is answered is read as it is meant.

In the group of the comparisons, whose Kafka it uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from node.console_client import WAIT_S, ConsoleClient, console

QUIET = {"log_level": 0}
TOPIC = "console-orders"


@pytest.fixture(scope="module")
def http(oracle: str) -> Iterator[ConsoleClient]:
    with console("--bootstrap", oracle) as (_, client):
        client.done("POST", "/api/topics", {"name": TOPIC, "partitions": 2, "configs": {"retention.ms": "3600000"}})
        producer = Producer({"bootstrap.servers": oracle, **QUIET})
        for each in range(100):
            producer.produce(TOPIC, f"value {each}".encode(), f"key {each}".encode(), each % 2)
        assert producer.flush(WAIT_S) == 0
        yield client
        client.done("DELETE", f"/api/topics/{TOPIC}", {"confirm": TOPIC})


def test_the_cluster_and_its_brokers(http: ConsoleClient) -> None:
    overview = http.get("/api/overview")
    assert overview["kafka"].startswith("Apache Kafka 4.3")
    assert overview["controller_id"] is not None and overview["offline"] == 0
    number = overview["brokers"][0]["id"]
    broker = http.get(f"/api/brokers/{number}")
    assert broker["log_dirs"][0]["partitions"] > 0 and broker["log_dirs"][0]["total_bytes"] > 0
    configs = {each["name"]: each for each in broker["configs"]}
    assert configs["log.retention.hours"]["documentation"] and configs["ssl.keystore.password"]["value"] is None


def test_topics_and_settings(http: ConsoleClient) -> None:
    (row,) = http.get(f"/api/topics?q={TOPIC}")["items"]
    assert (row["partitions"], row["records"], row["cleanup_policy"]) == (2, 100, "delete") and row["size_bytes"] > 0
    configs = {each["name"]: each for each in http.get(f"/api/topics/{TOPIC}")["configs"]}
    assert (configs["retention.ms"]["value"], configs["retention.ms"]["is_default"]) == ("3600000", False)
    changed = http.done("PATCH", f"/api/topics/{TOPIC}/configs", {"reset": ["retention.ms"]})["configs"]
    assert next(each for each in changed if each["name"] == "retention.ms")["is_default"]
    assert http.ask("POST", "/api/topics", {"name": TOPIC})[1]["error"] == "TOPIC_ALREADY_EXISTS"
    status, told = http.ask("PATCH", f"/api/topics/{TOPIC}/configs", {"set": {"retention.ms": "soon"}})
    assert (status, told["error"]) == (400, "INVALID_CONFIG")


def test_messages(http: ConsoleClient) -> None:
    found = http.get(f"/api/topics/{TOPIC}/messages?limit=10")
    assert found["is_complete"] and found["next"] is not None
    assert {each["offset"] for each in found["items"]} <= set(range(40, 50))
    events = list(http.events(f"/api/topics/{TOPIC}/search?query=value%209&from=oldest&case=true"))
    hits = sorted(each["value"]["text"] for name, each in events if name == "hit")
    assert hits == sorted(f"value {each}" for each in (9, *range(90, 100)))
    made = http.done("POST", f"/api/topics/{TOPIC}/messages", {"key": "k", "value": None, "partition": 1})
    assert made["items"][0]["partition"] == 1
    one = http.get(f"/api/topics/{TOPIC}/messages/1/{made['items'][0]['offset']}")
    assert (one["key"]["text"], one["value"]) == ("k", None)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_groups(http: ConsoleClient, oracle: str, protocol: str) -> None:
    group = f"console-{protocol}"
    consumer = Consumer({"bootstrap.servers": oracle, "group.id": group, "group.protocol": protocol,
                         "auto.offset.reset": "earliest", "enable.auto.commit": False, **QUIET})  # fmt: skip
    try:
        consumer.subscribe([TOPIC])
        assert consumer.consume(1, WAIT_S), "nothing arrived"
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, 20), TopicPartition(TOPIC, 1, 30)], asynchronous=False)
        told = http.get(f"/api/groups/{group}")
        assert (told["type"], told["state"], len(told["members"])) == (protocol, "Stable", 1)
        assert [(each["partition"], each["offset"]) for each in told["offsets"]] == [(0, 20), (1, 30)]
    finally:
        consumer.close()
    http.until(f"/api/groups/{group}", lambda found: found["can_reset"])
    reset = {"to": "earliest", "partitions": {TOPIC: [0]}}
    (change,) = http.done("POST", f"/api/groups/{group}/reset", reset)["changes"]
    assert (change["from"], change["to"]) == (20, 0)
    http.done("POST", f"/api/groups/{group}/reset",
              {"apply": True, "confirm": group, "expected": {TOPIC: {"0": 0}}})  # fmt: skip
    assert http.get(f"/api/groups/{group}")["offsets"][0]["offset"] == 0
    assert http.done("DELETE", f"/api/groups/{group}", {"confirm": group}) == {}


def test_transactions_and_live_figures(http: ConsoleClient, oracle: str) -> None:
    producer = Producer({"bootstrap.servers": oracle, "transactional.id": "console-payments", **QUIET})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce(TOPIC, b"open", partition=0)
    assert producer.flush(WAIT_S) == 0
    one = http.get("/api/transactions/id/console-payments")
    assert (one["state"], one["partitions"]) == ("Ongoing", [{"topic": TOPIC, "partition": 0}])
    opened = [each for each in http.get("/api/transactions/open")["items"] if each["topic"] == TOPIC]
    assert [each["producer_id"] for each in opened] == [one["producer_id"]]
    producer.abort_transaction(WAIT_S)
    with closing(http.events("/api/live")) as events:
        name, told = next(events)
        assert (name, told["source"]) == ("figures", "offsets")
