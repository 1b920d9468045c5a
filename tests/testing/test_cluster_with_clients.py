"""A local cluster, seen by librdkafka: brokers killed in turn, paused, cut off, slowed; and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

import tailrace
from tailrace.base import errors

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
FAST = {
    "broker.heartbeat.interval.ms": 500,
    "replica.lag.time.max.ms": 1000,
    "replica.fetch.backoff.ms": 100,
    "replica.fetch.wait.max.ms": 200,
    "min.insync.replicas": 2,
}
"""Quicker than the defaults, but for the session: a busy machine must not fence who is well."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[tailrace.Cluster]:
    with tailrace.Cluster(brokers=3, topics={"orders": 3}, settings=FAST) as started:
        yield started


@pytest.fixture(autouse=True)
def whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test of the shared cluster begins with a whole one, and leaves one."""
    if "cluster" in request.fixturenames:
        shared: tailrace.Cluster = request.getfixturevalue("cluster")
        shared.heal()
        for node_id in shared.node_ids:
            if shared.is_running(node_id):
                shared.resume(node_id)
            shared.start(node_id)
        shared.wait_until_in_sync(WAIT_S)
    yield


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"did not come: {what}"
        time.sleep(0.1)


def in_sync(cluster: tailrace.Cluster, topic: str, partition: int = 0) -> set[int]:
    (found,) = [each for each in cluster.describe().partitions if (each.topic, each.partition) == (topic, partition)]
    return set(found.in_sync)


@pytest.mark.slow
def test_an_idempotent_producer_and_a_reader_ride_over_the_kill_of_each_broker(cluster: tailrace.Cluster) -> None:
    cluster.create_topic("ridden", 3)
    producer = Producer(
        {"bootstrap.servers": cluster.bootstrap_servers, "enable.idempotence": True, "linger.ms": 5,
         "reconnect.backoff.max.ms": 500}
    )  # fmt: skip
    failed: list[KafkaError] = []
    sent = 0

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    def send(seconds: float) -> None:
        nonlocal sent
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            producer.produce("ridden", str(sent), partition=sent % 3, on_delivery=delivered)
            sent += 1
            producer.poll(0.01)

    for node_id in cluster.node_ids:
        send(0.3)
        cluster.kill(node_id)
        assert not cluster.is_running(node_id)
        send(0.7)
        assert producer.flush(WAIT_S) == 0, f"broker {node_id} is dead and nobody took over"
        cluster.start(node_id)
        cluster.wait_until_in_sync(WAIT_S)
    assert not failed
    expected = {partition: [str(n).encode() for n in range(partition, sent, 3)] for partition in range(3)}
    for partition, values in expected.items():
        assert [record.value for record in cluster.records("ridden", partition)] == values
        assert read(cluster, "ridden", partition, len(values)) == values


def read(cluster: tailrace.Cluster, topic: str, partition: int, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": "x", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0)])
    values: list[bytes | None] = []
    deadline = time.monotonic() + WAIT_S
    while len(values) < count and time.monotonic() < deadline:
        values += [message.value() for message in consumer.consume(1000, 0.5) if message.error() is None]
    consumer.close()
    return values


@pytest.mark.slow
def test_seeding_waits_for_an_election_and_reading_finds_the_leader(cluster: tailrace.Cluster) -> None:
    cluster.create_topic("seeded", 2)
    cluster.produce("seeded", [("a", "1"), ("b", "2")])
    leader = cluster.leader("seeded", 1)
    cluster.kill(leader)
    assert cluster.produce("seeded", ["3"], partition=1)
    state = cluster.describe()
    assert not state.is_healthy and state.counts()["brokers_healthy"] == 2
    (late,) = [each for each in state.partitions if (each.topic, each.partition) == ("seeded", 1)]
    assert late.leader not in (leader, -1)
    assert late.problems == ["under-replicated"]
    assert late.why == f"broker {leader} is fenced: dead, stopped or cut off"
    cluster.start(leader)
    cluster.wait_until_in_sync(WAIT_S)
    assert sorted(record.value or b"" for record in cluster.records("seeded")) == [b"1", b"2", b"3"]
    with pytest.raises(errors.KafkaError, match="UNKNOWN_TOPIC"):
        cluster.records("nowhere")
    with pytest.raises(ValueError, match="there is no partition seeded-9"):
        cluster.leader("seeded", 9)


@pytest.mark.slow
def test_a_way_that_is_cut_drops_a_follower_and_healed_lets_it_back(cluster: tailrace.Cluster) -> None:
    """One way suffices: its questions do not reach the leader. The metadata is reached, so nobody is fenced."""
    leader = cluster.leader("orders", 0)
    follower = next(each for each in cluster.node_ids if each != leader)
    cluster.cut(follower, leader, one_way=True)
    for _ in range(2):  # the first may find a question that had arrived before; the second waits until he is out
        cluster.produce("orders", ["kept"], partition=0)
    assert follower not in in_sync(cluster, "orders")
    state = cluster.describe()
    (partition,) = [each for each in state.partitions if (each.topic, each.partition) == ("orders", 0)]
    assert partition.why == f"broker {follower} is 1 record behind"
    assert all(broker.is_healthy for broker in state.brokers)
    cluster.heal(follower, leader)
    cluster.wait_until_in_sync(WAIT_S)
    cluster.cut(leader, follower, one_way=True)  # now the answers
    for _ in range(2):
        cluster.produce("orders", ["kept"], partition=0)
    assert follower not in in_sync(cluster, "orders")
    cluster.heal(leader, follower)
    cluster.wait_until_in_sync(WAIT_S)


@pytest.mark.slow
def test_a_broker_cut_off_from_everything_fences_itself_and_returns(cluster: tailrace.Cluster) -> None:
    leader = cluster.leader("orders", 1)
    cluster.isolate(leader)
    until(lambda: cluster.leader("orders", 1) != leader, "another leads")
    assert leader not in in_sync(cluster, "orders", 1)
    until(lambda: f"Broker {leader} is fenced" in cluster.log(leader), "it fences itself")
    cluster.rejoin(leader)
    cluster.wait_until_in_sync(WAIT_S)


@pytest.mark.slow
def test_what_is_slow_between_brokers_makes_acks_all_wait(cluster: tailrace.Cluster) -> None:
    leader = cluster.leader("orders", 2)
    cluster.slow(leader, delay_ms=300)
    began = time.monotonic()
    cluster.produce("orders", ["late"], partition=2)
    assert time.monotonic() - began >= 0.3
    cluster.slow(leader, delay_ms=0)
    cluster.wait_until_in_sync(WAIT_S)
    cluster.produce("orders", ["soon"], partition=2)


@pytest.mark.slow
def test_a_broker_that_is_paused_loses_what_it_leads_and_a_clean_stop_hands_over_at_once(
    cluster: tailrace.Cluster,
) -> None:
    leader = cluster.leader("orders", 0)
    cluster.pause(leader)
    assert cluster.is_running(leader)
    until(lambda: cluster.leader("orders", 0) != leader, "another leads")
    cluster.resume(leader)
    cluster.wait_until_in_sync(WAIT_S)
    leader = cluster.leader("orders", 0)
    cluster.stop(leader)
    began = time.monotonic()
    assert cluster.leader("orders", 0) != leader
    assert time.monotonic() - began < 6, "a session is not waited for"
    with pytest.raises(RuntimeError, match=f"broker {leader} does not run"):
        cluster.pause(leader)
    cluster.start(leader)
    cluster.wait_until_in_sync(WAIT_S)


def test_data_in_a_directory_of_ones_own_is_there_next_time_and_ports_can_be_chosen(tmp_path: Path) -> None:
    async def first() -> str:
        async with tailrace.Cluster(brokers=2, data_dir=tmp_path, topics=["t"]) as cluster:
            cluster.produce("t", ["kept"])
            assert "default.replication.factor" not in cluster.log(1)
            return cluster.bootstrap_servers

    port = int(asyncio.run(first()).split(",")[0].rpartition(":")[2])
    with tailrace.Cluster(brokers=2, data_dir=tmp_path, port=port) as cluster:
        assert cluster.bootstrap_servers == f"127.0.0.1:{port},127.0.0.1:{port + 1}"
        assert [record.value for record in cluster.records("t")] == [b"kept"]
        state = cluster.describe()
        assert [len(each.replicas) for each in state.partitions] == [2]


def test_what_is_wrong_is_said_before_anything_runs() -> None:
    with pytest.raises(ValueError, match=r"broker\.rack has 2 values for 3 brokers"):
        tailrace.Cluster(settings={"broker.rack": ["a", "b"]})
    with pytest.raises(ValueError, match="1 to 20 brokers, not 0"):
        tailrace.Cluster(brokers=0)
    with pytest.raises(errors.ConfigError, match=r"no\.such\.setting"):
        tailrace.Cluster(settings={"no.such.setting": 1})
    with pytest.raises(errors.ConfigError, match=r"node\.id is set by the cluster itself"):
        tailrace.Cluster(settings={"node.id": 7})
    with pytest.raises(RuntimeError, match="does not run"):
        _ = tailrace.Cluster().bootstrap_servers


def test_a_broker_that_does_not_start_says_why_and_nothing_is_left_running(tmp_path: Path) -> None:
    (tmp_path / "broker-2").write_text("in the way of its directory")
    cluster = tailrace.Cluster(brokers=2, data_dir=tmp_path)
    with pytest.raises(errors.TailraceError, match=r"broker 2 did not start: .*broker-2"):
        cluster.start()
    with pytest.raises(RuntimeError, match="does not run"):
        cluster.kill(1)


@pytest.mark.slow
def test_the_example_of_the_documentation_runs() -> None:
    text = (ROOT / "docs" / "testing-your-application.md").read_text(encoding="utf-8")
    (example,) = [block for block in text.split("```python\n")[1:] if "tailrace.Cluster(" in block]
    done = subprocess.run(
        [sys.executable, "-c", example.partition("```")[0]],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert "is fenced: dead, stopped or cut off" in done.stdout


PARENT = """
import sys, time, tailrace
cluster = tailrace.Cluster(brokers=2).start()
if sys.platform == "linux":
    cluster.pause(2)
local = cluster._local
print(local.broker(1).pid, local.broker(2).pid, flush=True)
{end}
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["time.sleep(60)", "sys.exit(3)"])
def test_brokers_end_with_their_parent_however_it_ends(end: str) -> None:
    """`kill -9` of the parent, and an end that stops nothing; one broker is stopped (SIGSTOP) meanwhile."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(end=end)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        if "sleep" in end:
            parent.send_signal(signal.SIGKILL)
        parent.wait(WAIT_S)
    until(lambda: not any(is_alive(pid) for pid in pids), "brokers end")


def is_alive(pid: int) -> bool:
    """A zombie is not: nobody may reap it in a container without an init."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
