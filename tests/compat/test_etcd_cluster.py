"""Brokers as processes, one cluster in etcd: who is listed, who is fenced, what they say when etcd is in trouble."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from tests.harness.brokers import TailraceProcess
from tests.harness.drivers import eventually
from tests.harness.etcd import EtcdCluster

pytestmark = pytest.mark.compat

wait = partial(eventually, timeout_s=90.0)


class Cluster(EtcdCluster):
    """One whose brokers are asked of each other."""

    def admin(self, *node_ids: int) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.servers(*node_ids), "log_level": 0})


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as made:
        yield made


def live(admin: AdminClient) -> list[int]:
    """None of them while the client waits for a broker that does not answer."""
    try:
        return sorted(admin.list_topics(timeout=10).brokers)
    except KafkaException:
        return []


def controller_of(admin: AdminClient) -> int:
    """-1 while the client waits for a broker that does not answer."""
    try:
        return int(admin.list_topics(timeout=10).controller_id)
    except KafkaException:
        return -1


def leaders(admin: AdminClient, topic: str) -> dict[int, int]:
    """-1 while nobody knows the topic, or nobody answers."""
    try:
        found = admin.list_topics(timeout=10).topics.get(topic)
    except KafkaException:
        found = None
    return {0: -1} if found is None else {index: each.leader for index, each in found.partitions.items()}


def led_by(admin: AdminClient, topic: str, node_id: int) -> int:
    """A partition of the topic that the broker leads."""
    wait(lambda: -1 not in leaders(admin, topic).values(), "all are led")
    return next(index for index, leader in leaders(admin, topic).items() if leader == node_id)


def produced(broker: TailraceProcess, topic: str, partition: int, timeout_ms: int = 3000) -> KafkaError | None:
    """One record, straight to the broker that leads."""
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": broker.address, "message.timeout.ms": timeout_ms, "log_level": 0})
    producer.produce(topic, b"x", partition=partition, on_delivery=lambda error, _: errors.append(error))
    wait(lambda: producer.flush(1) == 0, "it was taken or given up")
    return errors[0]


def takes(broker: TailraceProcess, topic: str, partition: int) -> bool:
    """Whether the broker takes a record, which may be a moment after others say that it leads."""
    return produced(broker, topic, partition, 60_000) is None


def test_brokers_share_topics_and_live_and_die_apart(cluster: Cluster) -> None:
    cluster.start(1, 2, 3)
    admin = cluster.admin(1, 2, 3)
    wait(lambda: live(admin) == [1, 2, 3], "each knows of the others")
    for created in admin.create_topics([NewTopic("t", 6, 1)]).values():
        created.result()
    wait(lambda: sorted(set(leaders(cluster.admin(3), "t").values())) == [1, 2, 3], "placed on every broker")
    of_two = led_by(admin, "t", 2)
    assert takes(cluster.brokers[2], "t", of_two)
    wait(lambda: controller_of(admin) > 0, "somebody is the controller")
    controller = controller_of(admin)
    others = [node_id for node_id in (1, 2, 3) if node_id != controller]
    cluster.brokers[controller].kill()
    rest = cluster.admin(*others)
    wait(lambda: live(rest) == others, "the dead broker is fenced by the next controller")
    wait(lambda: controller_of(rest) in others, "and both know which")
    wait(lambda: set(leaders(rest, "t").values()) == {*others, -1}, "one replica each: nobody else has the data")
    cluster.start(controller)
    wait(lambda: live(rest) == [1, 2, 3], "when it says that it is ready the others hear of it")
    wait(lambda: set(leaders(rest, "t").values()) == {1, 2, 3}, "with what it leads")
    cluster.brokers[others[0]].stop()
    wait(lambda: others[0] not in live(cluster.admin(controller)), "a clean stop is known at once")


def test_a_broker_that_was_paused_does_not_serve_what_it_may_no_longer_lead(cluster: Cluster) -> None:
    cluster.start(1, 2)
    admin = cluster.admin(1)
    for created in admin.create_topics([NewTopic("t", 2, 1)]).values():
        created.result()
    cluster.brokers[2].pause()
    try:
        wait(lambda: live(admin) == [1], "the paused broker is fenced")
    finally:
        cluster.brokers[2].resume()
    wait(lambda: live(admin) == [1, 2], "and comes back by itself")
    wait(lambda: -1 not in leaders(admin, "t").values(), "with what it leads")
    assert takes(cluster.brokers[2], "t", led_by(admin, "t", 2))
    log = cluster.brokers[2].log_tail()
    assert log.count("lease lost") == 1, log


def test_one_cut_off_from_etcd_refuses_and_says_so_once(cluster: Cluster) -> None:
    cluster.start(1, 2)
    admin = cluster.admin(1)
    for created in admin.create_topics([NewTopic("t", 2, 1)]).values():
        created.result()
    of_two = led_by(admin, "t", 2)
    assert takes(cluster.brokers[2], "t", of_two)
    before = cluster.brokers[2].log_path.stat().st_size

    def said() -> str:
        return cluster.brokers[2].log_path.read_bytes()[before:].decode()

    cluster.proxies[2].hold()
    wait(lambda: live(admin) == [1], "the one cut off is fenced")
    error = produced(cluster.brokers[2], "t", of_two)
    assert error is not None, "it leads nothing without its lease"
    with pytest.raises(KafkaException):
        for created in cluster.admin(2).create_topics([NewTopic("u", 1, 1)], request_timeout=3).values():
            created.result()
    wait(lambda: "does not answer" in said(), "a call was given up: a shorter cut is a slow etcd")
    assert said().count("lease lost") == 1, said()
    cluster.proxies[2].mend()
    wait(lambda: live(admin) == [1, 2], "it returns")
    wait(lambda: produced(cluster.brokers[2], "t", of_two) is None, "and serves")
    wait(lambda: "etcd answers" in said(), "it says that as well")
    assert "lease lost: not renewed" in said(), said()


def test_a_stop_does_not_wait_for_an_etcd_that_is_gone(cluster: Cluster) -> None:
    cluster.start(1)
    admin = cluster.admin(1)
    for created in admin.create_topics([NewTopic("t", 1, 1)]).values():
        created.result()
    assert takes(cluster.brokers[1], "t", 0)
    cluster.etcd.pause()
    assert cluster.brokers[1].stop() == 0, "etcd would be waited for without an end"
    assert (cluster.brokers[1].data_directory / ".kafka_cleanshutdown").exists(), "and it was a clean one"
    cluster.etcd.resume()


def test_without_etcd_no_broker_starts_and_says_why(tmp_path: Path) -> None:
    broker = TailraceProcess(tmp_path, {"node.id": "1", "cluster.url": "etcd://127.0.0.1:1"})
    with pytest.raises(Exception, match=r"etcd at 127\.0\.0\.1:1 does not answer: Connection refused"):
        broker.start()


def test_when_etcd_is_away_for_a_while_the_cluster_is_as_it_was(cluster: Cluster) -> None:
    cluster.start(1, 2, 3)
    admin = cluster.admin(1, 2, 3)
    for created in admin.create_topics([NewTopic("t", 3, 1)]).values():
        created.result()
    cluster.etcd.kill()
    wait(lambda: produced(cluster.brokers[1], "t", 0) is not None, "nobody takes anything without etcd")
    cluster.etcd.start()
    wait(lambda: live(admin) == [1, 2, 3] and -1 not in leaders(admin, "t").values(), "all are back")
    for index, leader in leaders(admin, "t").items():
        assert takes(cluster.brokers[leader], "t", index)
