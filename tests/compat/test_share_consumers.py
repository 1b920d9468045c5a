"""The Java client's share consumers (KIP-932), and Apache's programs built on them."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from tests.compat.java_client import SOURCES, compiled
from tests.compat.line_driver import LineDriver
from tests.compat.raw import Peer
from tests.harness.brokers import BrokerProcess, chosen_broker, java_command
from tests.harness.drivers import eventually
from tests.harness.story import new_name

WAIT_S = 90.0
SETTINGS = {
    "group.share.min.record.lock.duration.ms": "1000",
    "group.share.record.lock.duration.ms": "15000",
    "group.share.heartbeat.interval.ms": "1000",
    "group.share.min.heartbeat.interval.ms": "1000",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
}


class ShareDriver(LineDriver):
    name = "java share consumers"

    def command(self) -> list[str]:
        return [*java_command("-Xmx256m", classpath=(compiled(SOURCES / "share"),)), "ShareDriver"]


class Team:
    """Members of one new group over one new topic."""

    def __init__(self, broker: BrokerProcess, driver: ShareDriver, partitions: int = 1, **group: str) -> None:
        self.broker = broker
        self.driver = driver
        self.topic, self.group = new_name("queue"), new_name("team")
        driver.ask("create_topic", topic=self.topic, partitions=partitions)
        settings = {"share.auto.offset.reset": "earliest", **{key.replace("_", "."): group[key] for key in group}}
        driver.ask("set_group", group=self.group, settings=settings)

    def assigned(self) -> int:
        """How many members have partitions."""
        peer = Peer(self.broker.address)
        (group,) = peer.ask("share_group_describe", 1, group_ids=[self.group])["groups"]
        peer.close()
        return sum(bool(member["assignment"]["topic_partitions"]) for member in group["members"])

    def produce(self, *values: str) -> None:
        """Each in a batch of its own."""
        producer = Producer({"bootstrap.servers": self.broker.address, "linger.ms": 0, "batch.num.messages": 1})
        for value in values:
            producer.produce(self.topic, value)
        assert producer.flush(WAIT_S) == 0

    def join(self, **settings: str) -> int:
        named = {key.replace("_", "."): settings[key] for key in settings}
        return int(self.driver.ask("join", group=self.group, topic=self.topic, settings=named))

    def poll(self, member: int, wait_s: float = WAIT_S) -> list[list[Any]]:
        """The next records, as [offset, value, deliveries]; none when there are none in time."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            found: list[list[Any]] = self.driver.ask("poll", member=member, timeout_ms=500)
            if found:
                return found
        return []

    def acknowledge(self, member: int, offset: int, kind: str) -> None:
        self.driver.ask("acknowledge", member=member, offset=offset, type=kind)

    def commit(self, member: int) -> None:
        assert self.driver.ask("commit", member=member) == []

    def leave(self, *members: int) -> None:
        for member in members:
            self.driver.ask("leave", member=member)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    started = chosen_broker()(tmp_path_factory.mktemp("shared"), SETTINGS)
    started.start()
    try:
        yield started
        assert started.process is not None and started.process.poll() is None, started.log_tail()
    finally:
        print(started.log_tail())
        started.kill()


@pytest.fixture(scope="module")
def java(shared: BrokerProcess) -> Iterator[ShareDriver]:
    made = ShareDriver(shared.address)
    yield made
    made.close()


def test_records_polled_are_accepted_by_the_next_poll(shared: BrokerProcess, java: ShareDriver) -> None:
    team = Team(shared, java)
    team.produce("a", "b", "c")
    first = team.join()
    seen: list[list[Any]] = []
    while len(seen) < 3:
        got = team.poll(first)
        assert got, seen
        seen += got
    assert seen == [[0, "a", 1], [1, "b", 1], [2, "c", 1]]
    assert team.poll(first, 1.5) == []
    team.leave(first)
    second = team.join()
    assert team.poll(second, 2) == []
    team.produce("d")
    assert team.poll(second) == [[3, "d", 1]]
    team.leave(second)


def test_released_records_come_again_rejected_ones_do_not(shared: BrokerProcess, java: ShareDriver) -> None:
    team = Team(shared, java)
    member = team.join(share_acknowledgement_mode="explicit")
    team.produce("keep", "again", "never")
    seen: dict[str, list[int]] = {}
    while seen.get("again") != [1, 2] or "never" not in seen or "keep" not in seen:
        got = team.poll(member)
        assert got, seen
        for offset, value, deliveries in got:
            seen.setdefault(value, []).append(deliveries)
            kind = {"keep": "ACCEPT", "never": "REJECT"}.get(value, "RELEASE" if deliveries == 1 else "ACCEPT")
            team.acknowledge(member, offset, kind)
        team.commit(member)
    assert seen == {"keep": [1], "again": [1, 2], "never": [1]}
    assert team.poll(member, 2) == []
    team.leave(member)


def test_a_record_is_given_up_at_the_delivery_limit(shared: BrokerProcess, java: ShareDriver) -> None:
    team = Team(shared, java, share_delivery_count_limit="3")
    member = team.join(share_acknowledgement_mode="explicit")
    team.produce("poison")
    counts = []
    while got := team.poll(member, 4 if len(counts) == 3 else WAIT_S):
        counts.append(got[0][2])
        team.acknowledge(member, 0, "RELEASE")
        team.commit(member)
    assert counts == [1, 2, 3]
    team.leave(member)


def test_a_lock_that_runs_out_gives_the_record_to_another(shared: BrokerProcess, java: ShareDriver) -> None:
    team = Team(shared, java, share_record_lock_duration_ms="6000")
    sleeper = team.join(share_acknowledgement_mode="explicit")
    team.produce("slow")
    assert team.poll(sleeper) == [[0, "slow", 1]]
    other = team.join(share_acknowledgement_mode="explicit")
    assert team.poll(other) == [[0, "slow", 2]]
    team.acknowledge(other, 0, "ACCEPT")
    team.commit(other)
    team.acknowledge(sleeper, 0, "ACCEPT")  # too late: the client itself knows, and sends nothing
    java.ask("commit", member=sleeper)
    assert team.poll(other, 3) == []
    team.leave(sleeper, other)


def test_a_renewed_lock_keeps_the_record(shared: BrokerProcess, java: ShareDriver) -> None:
    team = Team(shared, java, share_record_lock_duration_ms="6000")
    worker = team.join(share_acknowledgement_mode="explicit")
    team.produce("long")
    assert team.poll(worker) == [[0, "long", 1]]
    other = team.join(share_acknowledgement_mode="explicit")
    until = time.monotonic() + 9
    while time.monotonic() < until:
        team.acknowledge(worker, 0, "RENEW")
        team.commit(worker)
        assert [value for _, value, _ in team.driver.ask("poll", member=worker, timeout_ms=300)] in ([], ["long"])
        assert team.driver.ask("poll", member=other, timeout_ms=300) == []
    team.acknowledge(worker, 0, "ACCEPT")
    team.commit(worker)
    team.leave(worker, other)


def test_a_strict_limit_is_not_exceeded(shared: BrokerProcess, java: ShareDriver) -> None:
    """KIP-1206, over one batch of twenty records."""
    team = Team(shared, java)
    producer = Producer({"bootstrap.servers": shared.address, "linger.ms": 200})
    for number in range(20):
        producer.produce(team.topic, str(number))
    assert producer.flush(WAIT_S) == 0
    member = team.join(share_acquire_mode="record_limit", max_poll_records="6")
    sizes, values = [], []
    while len(values) < 20:
        got = team.poll(member)
        assert got, sizes
        sizes.append(len(got))
        values += [value for _, value, _ in got]
    assert max(sizes) <= 6 and values == [str(number) for number in range(20)]
    team.leave(member)


@pytest.mark.parametrize("kills", [0, 1])
def test_members_share_partitions_and_nothing_is_lost(shared: BrokerProcess, java: ShareDriver, kills: int) -> None:
    """Four members over two partitions; with kills the broker dies in the middle: whatever was accepted is accepted,
    and the rest comes. A record whose acceptance nobody heard of may come twice."""
    team = Team(shared, java, 2, share_record_lock_duration_ms="2000" if kills else "15000")
    members = [team.join() for _ in range(4)]
    for member in members:
        java.ask("work", member=member)
    eventually(lambda: team.assigned() == 4, "each has a partition")
    count = 2_000
    values = [str(number) for number in range(count)]
    for part in range(4):
        team.produce(*values[part::4])
        if part < kills:
            time.sleep(1)
            shared.kill_and_restart()
    seen: Counter[str] = Counter()
    until = time.monotonic() + WAIT_S
    while len(seen) < count:
        assert time.monotonic() < until, f"{count - len(seen)} of {count} are missing\n{shared.log_tail()}"
        time.sleep(0.3)
        seen = Counter()
        for member in members:
            seen.update(java.ask("worked", member=member))
    assert sorted(seen) == sorted(values)
    if not kills:
        assert set(seen.values()) == {1}
        assert sum(1 for member in members if java.ask("worked", member=member)) > 1, "one did it all"
    team.leave(*members)


def test_verifiable_share_consumer(shared: BrokerProcess, java: ShareDriver) -> None:
    team = Team(shared, java)
    team.produce(*(str(number) for number in range(300)))
    command = [*java_command("-Xmx256m", log_level="ERROR"), "org.apache.kafka.tools.VerifiableShareConsumer"]
    command += ["--bootstrap-server", shared.address, "--topic", team.topic, "--group-id", team.group]
    command += ["--max-messages", "300", "--acknowledgement-mode", "sync", "--offset-reset-strategy", "earliest"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    accepted = sum(each["count"] for each in events if each["name"] == "offsets_acknowledged" and each["success"])
    assert accepted == 300, done.stdout[-2_000:] + done.stderr[-2_000:]


def test_console_share_consumer(shared: BrokerProcess, java: ShareDriver) -> None:
    team = Team(shared, java)
    team.produce("one", "two")
    command = [*java_command("-Xmx256m", log_level="ERROR"), "org.apache.kafka.tools.consumer.ConsoleShareConsumer"]
    command += ["--bootstrap-server", shared.address, "--topic", team.topic, "--group", team.group]
    command += ["--max-messages", "2", "--timeout-ms", "60000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.stdout.split() == ["one", "two"], done.stdout + done.stderr


def test_share_consumer_performance(shared: BrokerProcess, java: ShareDriver, tmp_path: Path) -> None:
    team = Team(shared, java)
    producer = Producer({"bootstrap.servers": shared.address})
    for _ in range(5_000):
        producer.produce(team.topic, b"x" * 100)
    assert producer.flush(WAIT_S) == 0
    command = [*java_command("-Xmx256m", log_level="ERROR"), "org.apache.kafka.tools.ShareConsumerPerformance"]
    command += ["--bootstrap-server", shared.address, "--topic", team.topic, "--group", team.group]
    command += ["--num-records", "5000", "--timeout", "60000", "--threads", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert "5000" in done.stdout, done.stdout + done.stderr
